//! Killing a review loses nothing that was told, and what was refused never reaches training.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use regimen::{
    base::faults,
    base::{decision::Verdict, rng::Stream},
    store::{Review, Store},
};
use serde_json::json;

use crate::harness::Test;

/// A folder in which a run has asked for a review of so many rows.
fn asked(rows: usize) -> (Test, Review) {
    let recipe = format!("cold = review(problems(rows = {rows} rows, terms_max = 4))\noutput cold\n");
    let test = Test::new().file("a.rgm", &recipe);
    assert_eq!(test.run("run a.rgm").status, 6);
    let (_, review) = Store::open(test.path(".regimen")).reviews().remove(0);
    (test, review)
}

fn walk(test: &Test) -> Child {
    let mut command = test.command("review cold --by ada --walk");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Decides row after row until killed; gives how many decisions were told of. The kill comes at a moment of the stream's.
fn decide_until_killed(test: &Test, stream: &Stream, round: u64) -> usize {
    let mut child = walk(test);
    let mut keys = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || while keys.write_all(b"a\nr dull\n").is_ok() {});
    let told = thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines.filter(|line| line.ends_with("1 accepted") || line.ends_with("1 refused")).count()
    });
    thread::sleep(Duration::from_millis(20 + stream.below(120, round, 0)));
    child.kill().unwrap();
    child.wait().unwrap();
    told.join().unwrap()
}

#[test]
fn killing_it_again_and_again_loses_no_decision_that_was_told() {
    let (test, review) = asked(120);
    let stream = Stream::new(7, "review kill");
    let mut told = 0;
    for round in 0..12 {
        told += decide_until_killed(&test, &stream, round);
        let journal = review.journal().unwrap();
        assert_eq!(journal.damaged, Vec::<usize>::new());
        // One more may be durable whose telling the kill cut short.
        let kept = journal.decisions.standing().count();
        assert!((told..=told + 1).contains(&kept), "told of {told}, kept {kept}");
        told = kept;
    }
    assert!(told > 0);
    test.done("review cold --by ada --accept open");
    test.done("run a.rgm");
    let refused = review.journal().unwrap().decisions.standing().filter(|it| it.verdict == Verdict::Refuse).count();
    let record = Store::open(test.path(".regimen")).records().into_iter().find(|it| it.address == "cold").unwrap();
    assert_eq!(record.review.unwrap().people[0].accepted, 120 - refused);
}

/// A power cut before, in the middle of, and after every change to the disk.
#[test]
fn a_review_cut_off_at_every_write_holds_whole_decisions_and_goes_on() {
    let (test, review) = asked(3);
    let decide = |failpoint: &str| -> Option<i32> {
        let mut command = test.command("review cold --by ada --accept 1-3");
        command.env(faults::VARIABLE, failpoint).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().code()
    };
    let mut kills = 0;
    for phase in ["before", "half", "after"] {
        for number in 1..20 {
            let _ = fs::remove_file(review.journal_file());
            let operation = if phase == "half" { "write" } else { "any" };
            if decide(&format!("{operation}:{phase}:{number}=kill")) == Some(0) {
                break;
            }
            kills += 1;
            let journal = review.journal().unwrap();
            assert_eq!(journal.damaged, Vec::<usize>::new(), "{phase} {number}");
            assert!(journal.decisions.standing().all(|it| it.verdict == Verdict::Accept));
            assert_eq!(decide(""), Some(0), "{phase} {number}");
            assert_eq!(review.journal().unwrap().decisions.standing().count(), 3, "{phase} {number}");
        }
    }
    assert!(kills > 5, "{kills}");
    // A disk that is full loses nothing that was there.
    let before = fs::read(review.journal_file()).unwrap();
    let mut refuse = test.command("review cold --by ada --refuse 1");
    let full = refuse.env(faults::VARIABLE, "write:half:1+=ENOSPC").output().unwrap();
    assert_eq!(full.status.code(), Some(5), "{}", String::from_utf8_lossy(&full.stderr));
    assert!(fs::read(review.journal_file()).unwrap().starts_with(&before));
    assert!(review.journal().unwrap().decisions.standing().all(|it| it.verdict == Verdict::Accept));
}

/// Refused rows are neither in the data of the training nor in what its record names as its source.
#[test]
fn what_was_refused_never_reaches_training() {
    let sample = |number: usize| {
        let completion = format!("<think>{number} + 1</think><answer>{}</answer>", number + 1);
        json!({
            "question": format!("{number}+1="), "answer": (number + 1).to_string(), "prompt": format!("{number}+1="),
            "completion": completion, "tokens": 12, "finish": "stop",
        })
    };
    let drafts: String = (1..=6).map(|number| format!("{}\n", sample(number))).collect();
    let recipe = r#"
drafts = dataset("drafts.jsonl", kind = "sample")
cold   = review(drafts)
raw    = init(tokenizer(documents(problems(rows = 20 rows)), vocab = 280), hidden = 16, layers = 2)
dev1   = sft(raw, mix([cold]), budget = 1 step, batch = 2)
output dev1
"#;
    let test = Test::new().file("a.rgm", recipe).file("drafts.jsonl", &drafts);
    assert_eq!(test.run("run a.rgm").status, 6);
    test.done("review cold --by ada --refuse 2,5 --reason wrong");
    test.done("review cold --by ada --accept open");
    test.done("run a.rgm");
    let store = Store::open(test.path(".regimen"));
    let records = store.records();
    let training = records.iter().find(|it| it.stage == "sft").unwrap();
    let data = training.fields["inputs"]["data"][0].as_str().unwrap().parse().unwrap();
    let learnt = fs::read_to_string(store.object(&data).join("rows.jsonl")).unwrap();
    let mut questions: Vec<&str> = learnt.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
    questions.sort_unstable();
    assert_eq!(questions, ["1+1=", "3+1=", "4+1=", "6+1="]);
    let trace = Command::new(env!("CARGO_BIN_EXE_regimen"))
        .args(["trace", "cold:2"])
        .current_dir(test.path(""))
        .output()
        .unwrap();
    assert!(String::from_utf8(trace.stdout).unwrap().contains("3+1="));
}
