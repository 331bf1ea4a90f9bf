//! Sampling, rejection sampling and evaluation as a person runs them: what goes in is what comes out and what was counted.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Stdio};

use regimen::{
    data::rows::{Finish, Sample},
    reward::answer::is_correct,
};
use serde_json::Value;

use crate::harness::Test;

const RECIPE: &str = include_str!("fixtures/e2e/pool.rgm");
const PLANTED: &str = "Which of the two numbers do you like best of all on a Sunday?";

/// A pool of problems whose right answers are 5 or 7, and of which one is a problem of the evaluation but for its case.
fn kitchen() -> Test {
    let row = |question: &str, answer: u32, level: u32| {
        format!("{{\"question\":\"{question}\",\"answer\":\"{answer}\",\"level\":{level}}}\n")
    };
    let question = |at: u32| format!("No {at}?");
    let mut pool: Vec<String> = (0..20).map(|at| row(&question(at), 5 + 2 * (at % 2), 1)).collect();
    pool.insert(1, row(&format!("He asks: {}", PLANTED.to_uppercase()), 5, 1));
    let test: String = (30..38).map(|at| row(&question(at), 5, 1 + at % 2)).collect();
    Test::new()
        .file("a.rgm", RECIPE)
        .file("pool.jsonl", &pool.concat())
        .file("test.jsonl", &(test + &row(PLANTED, 5, 3)))
}

/// The folder of an output of a run with `--json`.
fn object(run: &[Value], test: &Test, output: &str) -> PathBuf {
    test.path(run.last().unwrap()["outputs"][output]["path"].as_str().unwrap())
}

fn lines<T: serde::de::DeserializeOwned>(path: PathBuf) -> Vec<T> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn json(path: PathBuf) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_answer_of_a_rejection_is_kept_or_counted() {
    let test = kitchen();
    let run = test.done("run a.rgm --json --store s").json();
    let mut reasons = BTreeMap::new();
    for (output, n) in [("kept", 6), ("some", 6)] {
        let folder = object(&run, &test, output);
        let samples: Vec<Sample> = lines(folder.join("rows.jsonl"));
        let prompts: Vec<Value> = lines(folder.join("prompts.jsonl"));
        let summary = json(folder.join("dataset.json"));
        assert_eq!(prompts.len(), 21);
        let mut total: BTreeMap<String, u64> = BTreeMap::new();
        for prompt in &prompts {
            let dropped = prompt["dropped"].as_object().unwrap();
            let gone: u64 = dropped.values().map(|it| it.as_u64().unwrap()).sum();
            assert_eq!((prompt["answers"].as_u64(), prompt["kept"].as_u64().unwrap() + gone), (Some(n), n), "{prompt}");
            let rows = samples.iter().filter(|it| it.question == prompt["question"].as_str().unwrap()).count();
            assert_eq!(prompt["kept"], rows, "{prompt}");
            dropped.iter().for_each(|(name, it)| *total.entry(name.clone()).or_default() += it.as_u64().unwrap());
        }
        assert_eq!(summary["counts"], serde_json::to_value(&total).unwrap());
        assert_eq!(summary["rows"], samples.len());
        assert_eq!(samples.len() as u64 + total.values().sum::<u64>(), 21 * n);
        assert_eq!(total["contaminated"], n);
        assert!(samples.iter().all(|it| !it.question.to_lowercase().contains("sunday")));
        reasons.insert(output, total);
        if output == "kept" {
            assert!(samples.iter().all(|it| is_correct(&it.completion, &it.answer) && it.finish == Finish::Stop));
            assert!(samples.iter().all(|it| it.lineage.level.as_deref() == Some("1")));
            for prompt in prompts.iter().filter(|it| it["kept"].as_u64().unwrap() > 0) {
                assert!((2..=5).contains(&prompt["right"].as_u64().unwrap()), "a pass rate from 0.2 to 0.9: {prompt}");
            }
        } else {
            assert_eq!(samples.len(), 7);
        }
    }
    let named = |output: &str, reason: &str| reasons[output].contains_key(reason);
    assert!(named("kept", "not correct") && named("kept", "pass rate below 0.2"), "{reasons:?}");
    assert!(named("some", "not asked, as there were rows enough"), "{reasons:?}");
}

#[test]
fn batches_and_kills_change_no_byte_of_what_is_sampled() {
    let test = kitchen();
    let whole = test.done("run a.rgm --json --store whole --batch 64 --checkpoint-every never").outputs();
    assert_eq!(test.done("run a.rgm --json --store some --batch 5 --checkpoint-every 0s").outputs(), whole);
    // Killed in the midst of sampling, as states are kept after every problem, and gone on with.
    let run = "run a.rgm --json --store killed --batch 1 --checkpoint-every 0s";
    let mut killed = test.command(run);
    killed.env("REGIMEN_FAILPOINT", "rename:after:140=kill").stdout(Stdio::null()).stderr(Stdio::null());
    assert!(killed.status().unwrap().code().is_none());
    let end = test.done(run);
    let events = end.json();
    let resumed = events.iter().filter(|it| it["event"] == "step_resumed").map(|it| it["address"].as_str().unwrap());
    assert!(resumed.into_iter().any(|it| ["kept", "some"].contains(&it)), "{end}");
    assert_eq!(end.outputs(), whole);
}

#[test]
fn an_answer_is_asked_for_begun_and_ended_as_the_arguments_say() {
    let test = kitchen();
    let run = test.done("run a.rgm --json --store s").json();
    let rows: Vec<Sample> = lines(object(&run, &test, "shown").join("rows.jsonl"));
    assert_eq!(rows.len(), 6);
    for row in &rows {
        // The question's own example is left out, and the other one is there.
        let shown = |at: u32| format!("<|user|>No {at}? Now.<|assistant|><answer>5</answer><|eos|>");
        let examples: String = (30..32).filter(|at| row.question != format!("No {at}?")).map(shown).collect();
        assert_eq!(row.prompt, format!("<|bos|>Be quick.{examples}<|user|>{} Now.<|assistant|>", row.question));
        let sampled = row.completion.strip_prefix("<answer>").unwrap();
        let stop = ["</answer>", "5"].iter().filter_map(|it| Some(sampled.find(it)? + it.len())).min();
        assert!(stop.is_none_or(|end| end == sampled.len()), "{row:?}");
        assert!(stop.is_none() || row.finish == Finish::Stop, "{row:?}");
        assert!(row.finish == Finish::Stop || row.tokens == 9, "{row:?}");
    }
    assert!(rows.iter().any(|it| it.completion.ends_with('5')));
    let said = test.done("show shown --rows 1 --store s").stdout;
    assert!(
        said.starts_with("row 1\n  question       No 30?\n  answer         5\n  prompt         <|bos|>Be quick."),
        "{said}"
    );
}

/// All figures once more, from the answers alone and by counting.
#[test]
fn the_figures_of_a_report_are_those_of_its_answers() {
    let test = kitchen();
    let run = test.done("run a.rgm --json --store s").json();
    let folder = object(&run, &test, "score");
    let (report, answers) = (json(folder.join("report.json")), lines::<Value>(folder.join("answers.jsonl")));
    assert_eq!(answers.len(), 9 * 4);
    let figure = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no `{name}`"));
    let right = |it: &Value| it["verdict"] == "correct";
    let near =
        |name: &str, expected: f64| assert!((figure(name) - expected).abs() < 1e-12, "{name}: {expected} {report}");
    near("pass1", answers.iter().filter(|it| right(it)).count() as f64 / 36.0);
    for k in [1, 2, 4_u32] {
        let share = |answers: &[Value]| {
            let draws: Vec<u32> = (0..16_u32).filter(|it| it.count_ones() == k).collect();
            let hit = |draw: &&u32| (0..4).any(|at| **draw >> at & 1 == 1 && right(&answers[at]));
            draws.iter().filter(hit).count() as f64 / draws.len() as f64
        };
        near(&format!("pass_at_{k}"), answers.chunks(4).map(share).sum::<f64>() / 9.0);
    }
    for class in ["correct", "wrong", "unparseable", "truncated"] {
        near(class, answers.iter().filter(|it| it["verdict"] == class).count() as f64);
    }
    near("mean_length", answers.iter().map(|it| it["tokens"].as_f64().unwrap()).sum::<f64>() / 36.0);
    near("format", answers.iter().filter(|it| it["format"] == true).count() as f64 / 36.0);
    near("language", answers.iter().map(|it| it["language"].as_f64().unwrap()).sum::<f64>() / 36.0);
    for level in ["1", "2", "3"] {
        let of: Vec<&Value> = answers.iter().filter(|it| it["level"] == level).collect();
        near(&format!("pass1_level_{level}"), of.iter().filter(|it| right(it)).count() as f64 / of.len() as f64);
        near(&format!("rows_level_{level}"), of.len() as f64 / 4.0);
    }
    assert!(figure("pass1_low") <= figure("pass1") && figure("pass1") <= figure("pass1_high"));
    // A person reads them, and a gate.
    let said = test.done("show score --store s").stdout;
    assert!(said.contains("figures\n  pass1 "), "{said}");
    let said = test.done("show score --rows 2 --from 35 --store s").stdout;
    assert!(said.starts_with("row 35\n  question    Which of the two"), "{said}");
    assert_eq!(said.lines().filter(|it| it.starts_with("row ")).count(), 2);
    let gated = RECIPE.to_owned() + "require score.pass_at_4 >= score.pass1 and score.rows_level_1 == 4\n";
    test.write("b.rgm", &gated);
    test.done("run b.rgm --store s");
    test.write("b.rgm", &(RECIPE.to_owned() + "require score.pass_on_4 >= 0.5\n"));
    assert_eq!(test.run("check b.rgm").status, 1);
}

/// What no step could do is told before any step begins.
#[test]
fn arguments_that_do_not_agree_are_told_before_a_run_begins() {
    let test = kitchen();
    let mut told = String::new();
    for (step, argument) in [
        ("score", "pass_at=[5]"),
        ("score", "language=xx"),
        ("kept", "min_pass=0.95"),
        ("shown", "prompt=Now."),
        ("shown", "stop=[\"\"]"),
    ] {
        let said = test.run(&format!("run a.rgm --store s --set {step}.{argument}"));
        assert_eq!(said.status, 1, "{said}");
        told += said.stderr.lines().next().unwrap();
        told += "\n";
    }
    assert!(!test.path("s").join("records").exists());
    insta::assert_snapshot!(told, @r#"
    error: expected `pass_at` from 1 to `samples`, which is 4, found 5
    error: expected `language` to be a code such as `en` or `zh`, found `xx`
    error: expected `min_pass` up to `max_pass`, found 0.95 and 0.9
    error: expected `{question}` in `prompt`, found "Now."
    error: expected texts in `stop`, found an empty one
    "#);
}
