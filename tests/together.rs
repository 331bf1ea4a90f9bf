//! Two processes on one store: they share the work, wait for each other, and say for whom.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Stdio},
};

use regimen::{
    base::digest::Digest,
    store::{Claimed, Store},
};
use serde_json::Value;

use crate::harness::Test;

const RECIPE: &str = include_str!("fixtures/e2e/small.rgm");
const ANSWERS: &str = include_str!("fixtures/e2e/answers.jsonl");

fn start(test: &Test) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut run = test.command("run a.rgm --json").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    (run, lines)
}

#[test]
fn two_processes_on_an_empty_store_make_each_step_once_and_say_whom_they_wait_for() {
    let test = Test::new().file("a.rgm", RECIPE).file("answers.jsonl", ANSWERS);
    // The key of a step that both begin with, which this process holds until both have told that they wait for it.
    test.done("run a.rgm --store elsewhere");
    let elsewhere = Store::open(test.path("elsewhere"));
    let key: Digest = elsewhere.records().into_iter().find(|it| it.address == "facts").unwrap().key;
    let store = Store::open(test.path(".regimen"));
    store.prepare().unwrap();
    let Claimed::Mine(claim) = store.claim(&key, |_| false).unwrap() else { panic!("the store is empty") };
    let runs = [start(&test), start(&test)].map(|(run, mut lines)| {
        let mut events: Vec<Value> = Vec::new();
        // They may have to wait for each other as well, over another step.
        while !events.last().is_some_and(|it| it["event"] == "step_waits" && it["address"] == "facts") {
            events.push(serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
        }
        assert_eq!(events.last().unwrap()["process"], std::process::id());
        (run, lines, events)
    });
    assert!(test.done("status").stdout.contains("another process is making it"));
    drop(claim);
    let mut made = Vec::new();
    let mut outputs = Vec::new();
    for (mut run, lines, mut events) in runs {
        events.extend(lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()));
        assert!(run.wait().unwrap().success());
        let finished = events.iter().filter(|event| event["event"] == "step_finished");
        made.extend(finished.map(|event| event["address"].as_str().unwrap().to_owned()));
        outputs.push(events.last().unwrap()["outputs"].clone());
    }
    made.sort();
    assert_eq!(made, ["answers", "both", "facts", "few", "kept", "part"]);
    assert_eq!(outputs[0], outputs[1]);
    // Neither was in the other's way.
    test.done("verify");
    assert_eq!(test.done("gc a.rgm --json").json()[0]["items"], serde_json::json!([]));
}
