//! Kill it anywhere: the next run goes on, and ends in the very same bytes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use regimen::base::rng::Stream;

use crate::harness::{Said, Test};

const RECIPE: &str = include_str!("fixtures/e2e/long.rgm");
const RUN: &str = "run a.rgm --json --store killed --checkpoint-every 0s";

/// Starts a run, and waits until it has told of so many things.
fn run_until(test: &Test, events: usize) -> Child {
    let mut run = test.command(RUN).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    lines.by_ref().take(events).for_each(|line| drop(line.unwrap()));
    // Somebody goes on reading, so that the run does not wait for a reader.
    thread::spawn(move || lines.for_each(drop));
    run
}

/// Kills a run after so many events and milliseconds; false where it was at its end before.
fn kill(test: &Test, events: usize, milliseconds: u64) -> bool {
    let mut run = run_until(test, events);
    thread::sleep(Duration::from_millis(milliseconds));
    run.kill().unwrap();
    run.wait().unwrap().code().is_none()
}

fn states(plan: &Said) -> Vec<String> {
    let plan = plan.json().remove(0);
    plan["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_killed_at_twenty_moments_ends_in_the_same_bytes() {
    let test = Test::new().file("a.rgm", RECIPE);
    let undisturbed = test.done("run a.rgm --json --store quiet");
    assert_eq!(undisturbed.made().len(), 23);
    let stream = Stream::new(20, "kill");
    let mut kills = 0;
    for round in 0..5 {
        // Each run tells of what it found made, and goes on; so the moments wander through the whole recipe.
        for moment in 0..4 {
            let draw = |column| stream.below(40, round * 4 + moment, column);
            kills += usize::from(kill(&test, 1 + draw(0) as usize, 3 * draw(1)));
        }
        let end = test.done(RUN);
        assert_eq!(end.outputs(), undisturbed.outputs());
        let plan = test.done("plan a.rgm --json --store killed --exit-code");
        assert_eq!(states(&plan), ["hit"; 23]);
        std::fs::remove_dir_all(test.path("killed")).unwrap();
    }
    // A run may be at its end before its moment has come, but not each of them.
    assert!(kills > 0);
}

/// Every stage of the R1 recipe at its smallest, killed at random moments. `KILLS` says how often, `SEED` when.
///
/// `KILLS=200 cargo test --test suite the_whole_recipe_killed -- --ignored --nocapture`
#[test]
#[ignore = "takes half an hour"]
fn the_whole_recipe_killed_again_and_again_ends_in_the_same_bytes() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |it| it.parse().unwrap());
    let (kills, seed) = (number("KILLS", 200), number("SEED", 1));
    println!("KILLS={kills} SEED={seed}");
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/r1.rgm");
    let run = |store: &str, every: &str| {
        format!("run {recipe} --set scale=quick --json --store {store} --checkpoint-every {every}")
    };
    let test = Test::new();
    test.done(&run("quiet", "never"));
    let undisturbed = test.done(&run("quiet", "never")).artifacts();
    let stream = Stream::new(seed, "kill");
    let (mut killed, mut resumed, mut round) = (0, 0, 0);
    while killed < kills {
        let store = format!("killed{round}");
        for moment in 0..20 {
            let every = ["0s", "1s"][(moment % 2) as usize];
            let mut child =
                test.command(&run(&store, every)).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let out = BufReader::new(child.stdout.take().unwrap());
            let reader = thread::spawn(move || {
                out.lines().map_while(Result::ok).filter(|line| line.contains("\"step_resumed\"")).count() as u64
            });
            thread::sleep(Duration::from_millis(50 + stream.below(4000, round * 20 + moment, 0)));
            child.kill().unwrap();
            killed += u64::from(child.wait().unwrap().code().is_none());
            resumed += reader.join().unwrap();
        }
        test.done(&run(&store, "60s"));
        assert_eq!(test.done(&run(&store, "60s")).artifacts(), undisturbed);
        std::fs::remove_dir_all(test.path(&store)).unwrap();
        round += 1;
        println!("{killed} kills in {round} stores, {resumed} steps went on inside themselves");
    }
    assert!(resumed > 0);
}

#[test]
fn ctrl_c_ends_a_run_and_the_next_one_goes_on() {
    let test = Test::new().file("a.rgm", RECIPE);
    let run = run_until(&test, 8);
    let signalled = Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    assert_eq!(end(run).code(), Some(130));
    let status = test.done("status --store killed").stdout;
    assert!(status.contains("interrupted"), "{status}");
    let left = states(&test.done("plan a.rgm --json --store killed"));
    assert!(left.iter().any(|it| it == "hit") && left.iter().any(|it| it == "run"), "{left:?}");
    let end = test.done(RUN);
    assert_eq!(end.made().len(), left.iter().filter(|it| *it == "run").count());
    assert_eq!(end.outputs(), test.done("run a.rgm --json --store quiet").outputs());
}

fn end(mut run: Child) -> ExitStatus {
    run.wait().unwrap()
}
