//! `regimen gc`: what goes, what stays, and what it says of both.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use regimen::store::{Claimed, Store};

use crate::harness::Test;

const ONE: &str = "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 2 rows)\noutput few\n";
const TWO: &str = "facts = problems(rows = 9 rows)\nless = take(facts, rows = 1 row)\noutput less\n";

/// A folder with two recipes that share a step, both run.
fn ran() -> Test {
    let test = Test::new().file("one.rgm", ONE).file("two.rgm", TWO);
    test.done("run one.rgm");
    test.done("run two.rgm");
    test
}

fn objects(test: &Test) -> usize {
    Store::open(test.path(".regimen")).objects().len()
}

#[test]
fn what_the_named_recipes_need_stays_and_the_rest_goes() {
    let test = ran();
    insta::assert_snapshot!(test.done("gc one.rgm --dry-run"), @r"
    exit 0
    --- stdout
      object  less SIZE DURATION
    would remove 1 thing: SIZE, DURATION to make again; 2 objects kept, SIZE
    ");
    assert_eq!(objects(&test), 3);
    insta::assert_snapshot!(test.done("gc one.rgm"), @r"
    exit 0
    --- stdout
      object  less SIZE DURATION
    removed 1 thing: SIZE freed, DURATION to make again; 2 objects kept, SIZE
    ");
    assert_eq!(test.done("run one.rgm --json").made(), Vec::<String>::new());
    // What is gone can be made again, and until then `why` says what became of it.
    insta::assert_snapshot!(test.done("why two.rgm less"), @r"
    exit 0
    --- stdout
    less (take) would run: its object DIGEST is gone or damaged
    ");
    insta::assert_snapshot!(test.done("plan two.rgm"), @r"
    exit 0
    --- stdout
    2 steps: 1 made, 1 to run; about DURATION, SIZE of memory, SIZE of disk
      hit  facts  problems
      run  less   take      its object DIGEST is gone or damaged DURATION SIZE SIZE
    ");
    assert_eq!(test.done("run two.rgm --json").made(), ["less"]);
    insta::assert_snapshot!(test.done("gc one.rgm two.rgm"), @r"
    exit 0
    --- stdout
    nothing to remove; 3 objects kept, SIZE
    ");
}

#[test]
fn without_a_word_on_what_stays_nothing_goes() {
    let test = ran();
    insta::assert_snapshot!(test.run("gc"), @r"
    exit 1
    --- stderr
    error: nothing says what is to stay, and everything would go
      hint: name recipes (`gc a.rgm`), or keep what the last runs made or used (`gc --keep 3`)
    ");
    insta::assert_snapshot!(test.run("gc one.rgm --store elsewhere"), @r"
    exit 1
    --- stderr
    error: there is no store in elsewhere
    ");
    // A recipe with a mistake, or with a file that cannot be read, asks for nothing: so nothing goes.
    test.write("bad.rgm", "facts = problem(rows = 9 rows)\noutput facts\n");
    assert_eq!(test.run("gc bad.rgm").status, 1);
    assert_eq!(objects(&test), 3);
}

#[test]
fn the_last_runs_keep_what_they_made_and_what_they_used() {
    let test = ran();
    // The second run made `less` out of `facts`, which the first had made.
    let said = test.done("gc --keep 1 --json").json().remove(0);
    let gone: Vec<&str> =
        said["items"].as_array().unwrap().iter().map(|it| it["makers"][0].as_str().unwrap()).collect();
    assert_eq!((gone, &said["kept"]["objects"]), (vec!["few"], &2.into()));
    assert_eq!(test.done("run two.rgm --json").made(), Vec::<String>::new());
    assert_eq!(test.done("gc --keep 0 --json").json()[0]["kept"]["objects"], 0);
    assert_eq!(objects(&test), 0);
    // Records stay, and with them what things cost.
    assert_eq!(Store::open(test.path(".regimen")).records().len(), 3);
}

#[test]
fn what_may_turn_out_to_be_needed_stays() {
    let test = ran();
    // Only when `facts` is there again can it be known which `few` the recipe means.
    let store = Store::open(test.path(".regimen"));
    let facts = store.records().into_iter().find(|it| it.address == "facts").unwrap();
    fs::remove_dir_all(store.object(&facts.output)).unwrap();
    assert_eq!(test.done("gc one.rgm --json").json()[0]["items"][0]["makers"][0], "less");
    assert_eq!(test.done("run one.rgm --json").made(), ["facts"]);
}

#[test]
fn what_is_left_over_goes_as_well() {
    let test = ran();
    let store = Store::open(test.path(".regimen"));
    let of = |address: &str| store.records().into_iter().find(|it| it.address == address).unwrap();
    let (few, less) = (of("few"), of("less"));
    for key in [few.key, less.key] {
        fs::create_dir_all(store.checkpoints(&key)).unwrap();
        fs::write(store.checkpoints(&key).join("state"), "half way").unwrap();
    }
    // `few` is asked for and not done: its states are what it goes on from. `less` is done; only a longer run could begin
    // with its.
    fs::remove_dir_all(store.object(&few.output)).unwrap();
    fs::create_dir_all(test.path(&format!(".regimen/scratch/{}-1", few.key))).unwrap();
    test.write(".regimen/damaged/of-old.0", "bytes");
    insta::assert_snapshot!(test.done("gc one.rgm two.rgm"), @r"
    exit 0
    --- stdout
      scratch  DIGEST SIZE  left by a process that died
      damaged  of-old.0 SIZE  set aside
    removed 2 things: SIZE freed; 2 objects kept, SIZE
    ");
    insta::assert_snapshot!(test.done("gc one.rgm two.rgm --checkpoints"), @r"
    exit 0
    --- stdout
      checkpoint  less SIZE  its step is done
    removed 1 thing: SIZE freed; 2 objects kept, SIZE
    ");
    assert!(store.checkpoints(&few.key).exists());
    insta::assert_snapshot!(test.done("gc two.rgm"), @r"
    exit 0
    --- stdout
      checkpoint  few SIZE  nothing asks for its step
    removed 1 thing: SIZE freed; 2 objects kept, SIZE
    ");
    assert!(!store.checkpoints(&few.key).exists());
}

#[test]
fn what_a_live_run_may_need_stays_while_it_goes_on() {
    // A step that another process holds keeps the run waiting for as long as the test likes.
    let test = ran();
    let store = Store::open(test.path(".regimen"));
    let less = store.records().into_iter().find(|it| it.address == "less").unwrap();
    fs::remove_dir_all(store.object(&less.output)).unwrap();
    let Claimed::Mine(claim) = store.claim(&less.key, |_| true).unwrap() else { panic!("it is gone") };
    let mut run = test.command("run two.rgm --json").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("step_waits")).unwrap().unwrap();

    // Reading commands go on as ever.
    assert!(test.done("status").stdout.contains("is going on"));
    test.done("verify");
    test.done("plan two.rgm");
    let dry = test.done("gc --keep 0 --dry-run");
    insta::assert_snapshot!(dry.to_string().replace(&store.runs()[2], "RUN"), @r"
    exit 0
    --- stdout
    nothing to remove; 2 objects kept, SIZE
    SIZE more could go, but run RUN is going on: run `gc` again later
    ");
    let kept = test.done("gc --keep 0");
    assert_eq!(kept.to_string(), dry.to_string());
    assert_eq!(objects(&test), 2);

    drop(claim);
    lines.for_each(drop);
    assert!(run.wait().unwrap().success());
    assert_eq!(objects(&test), 3);
    test.done("gc --keep 0");
    assert_eq!(objects(&test), 0);
}
