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
