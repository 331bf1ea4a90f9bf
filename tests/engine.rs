//! The engine's promises, shown with toy stages: once ever, early cutoff, failures kept apart, Ctrl-C, gates.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use regimen::{
    base::{device::Device, digest::Digest, named::Named, predicate::Comparison, span::Span},
    lang::Type,
    plan::{Condition, Figure, Gate, Graph, Output, Plan, Side, Step, StepId},
    run::{Event, Interrupts, Logged, Options, Outcome, RunError, Status, digest_inputs, run},
    schedule::{Schedule, Why},
    stages::{Context, Progress, Stage, StageError, context::figures},
    store::{Records, Store},
};
use serde_json::{Value, json};

static STAGES: [Stage; 11] = [
    Stage { name: "write", version: 1, run: write, check: None, extends: None },
    Stage { name: "join", version: 1, run: join, check: None, extends: None },
    Stage { name: "count", version: 1, run: count, check: None, extends: None },
    Stage { name: "copy", version: 1, run: copy, check: None, extends: None },
    Stage { name: "problems", version: 1, run: alone, check: None, extends: None },
    Stage { name: "spoil", version: 1, run: spoil, check: None, extends: None },
    Stage { name: "score", version: 1, run: score, check: None, extends: None },
    Stage {
        name: "fail",
        version: 1,
        run: |_| Err(StageError::Data("row 3 holds no answer".into())),
        check: None,
        extends: None,
    },
    Stage { name: "panic", version: 1, run: |_| panic!("index out of bounds"), check: None, extends: None },
    Stage { name: "endless", version: 1, run: endless, check: None, extends: None },
    Stage { name: "meet", version: 1, run: meet, check: None, extends: None },
];

fn find(name: &str) -> Option<&'static Stage> {
    STAGES.iter().find(|stage| stage.name == name)
}

fn put(context: &Context, name: &str, text: &str) -> Result<(), StageError> {
    let path = context.out.join(name);
    fs::write(&path, text).map_err(|error| StageError::File { path, error })
}

fn text_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("text")).unwrap()
}

fn write(context: &Context) -> Result<(), StageError> {
    context.progress(Progress {
        done: 1,
        total: 1,
        unit: "rows",
        metrics: figures([("loss", 0.5), ("odd", f64::NAN)]),
    });
    put(context, "text", context.arguments["text"].as_str().unwrap())
}

fn join(context: &Context) -> Result<(), StageError> {
    let parts: Vec<String> = context.inputs("data").iter().map(|folder| text_of(folder)).collect();
    put(context, "text", &parts.join("+"))
}

/// Its output is the same for any text of the same length.
fn count(context: &Context) -> Result<(), StageError> {
    put(context, "text", &text_of(context.input("data")?).len().to_string())
}

fn copy(context: &Context) -> Result<(), StageError> {
    put(context, "text", &fs::read_to_string(context.file("path")?).unwrap())
}

/// Somebody writes into its file while it runs.
fn spoil(context: &Context) -> Result<(), StageError> {
    copy(context)?;
    let path = context.file("path")?.to_owned();
    fs::write(&path, "other").map_err(|error| StageError::File { path, error })
}

fn score(context: &Context) -> Result<(), StageError> {
    put(context, "report.json", &context.arguments.to_string())
}

fn endless(context: &Context) -> Result<(), StageError> {
    loop {
        context.check_cancelled()?;
        context.progress(Progress { done: 1, total: 2, unit: "steps", metrics: vec![] });
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends only once two of its kind run at the same time.
fn meet(context: &Context) -> Result<(), StageError> {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    HERE.fetch_add(1, Ordering::SeqCst);
    let start = Instant::now();
    while HERE.load(Ordering::SeqCst) < 2 {
        if start.elapsed() > Duration::from_secs(20) {
            return Err(StageError::Data("nobody came".into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    put(context, "text", &format!("{} {}", context.arguments["name"], context.pool.current_num_threads()))
}

/// Fails where another of its kind runs at the same time.
fn alone(context: &Context) -> Result<(), StageError> {
    static HERE: AtomicUsize = AtomicUsize::new(0);
    if HERE.fetch_add(1, Ordering::SeqCst) > 0 {
        return Err(StageError::Data("somebody is here".into()));
    }
    std::thread::sleep(Duration::from_millis(20));
    HERE.fetch_sub(1, Ordering::SeqCst);
    put(context, "text", &context.arguments["seed"].to_string())
}

/// A recipe in the making, with a store for it.
pub struct Kitchen {
    pub folder: tempfile::TempDir,
    pub plan: Plan,
    pub options: Options,
}

impl Kitchen {
    pub fn new() -> Self {
        let options = Options {
            threads: NonZeroUsize::new(2).unwrap(),
            cancelled: Arc::new(AtomicBool::new(false)),
            interrupts: Interrupts::Leave,
            ..Options::default()
        };
        Self { folder: tempfile::tempdir().unwrap(), plan: Plan::default(), options }
    }

    pub fn store(&self) -> Store {
        Store::open(self.folder.path().join("store"))
    }

    pub fn step(&mut self, address: &str, stage: &str, arguments: Value, inputs: &[StepId]) -> StepId {
        let id = StepId(self.plan.steps.len());
        let inputs =
            if inputs.is_empty() { Named::default() } else { [("data", inputs.to_vec())].into_iter().collect() };
        self.plan.steps.push(Step {
            id,
            address: address.into(),
            stage: stage.into(),
            version: 1,
            device: Device::Cpu,
            arguments: arguments.as_object().unwrap().clone().into_iter().map(|(name, it)| (name, it.into())).collect(),
            files: BTreeMap::new(),
            inputs,
            returns: Type::Report,
            span: Span::default(),
            argument_spans: Named::default(),
        });
        self.plan.outputs.insert(address.into(), Output::Step(id));
        self.plan.graph = Graph::new(&self.plan.steps);
        id
    }

    pub fn write(&mut self, address: &str, text: &str) -> StepId {
        self.step(address, "write", json!({"text": text}), &[])
    }

    fn read(&mut self, address: &str, path: PathBuf) -> StepId {
        let id = self.step(address, "copy", json!({}), &[]);
        self.plan.steps[id.0].files.insert("path".into(), path);
        id
    }

    pub fn set(&mut self, id: StepId, text: &str) {
        self.plan.steps[id.0].arguments.insert("text", text.into());
    }

    pub fn require(&mut self, left: StepId, op: Comparison, right: f64) {
        let left = Figure::Field { step: left, field: "pass1".into() };
        let condition = Condition::Compare { op, left, right: Figure::Number(right) };
        self.plan.gates.push(Gate { condition, text: "s.pass1 against it".into(), span: Span::default() });
    }

    fn try_run(&self) -> Result<(Outcome, Vec<Event>), RunError> {
        let mut events = Vec::new();
        let outcome = run(&self.plan, &self.store(), &find, &self.options, &mut |event| events.push(event.clone()))?;
        Ok((outcome, events))
    }

    pub fn run(&self) -> (Outcome, String) {
        let (outcome, events) = self.try_run().unwrap();
        (outcome, tell(&events))
    }

    fn text(&self, outcome: &Outcome, output: &str) -> String {
        text_of(&outcome.outputs[output].path)
    }

    pub fn schedule(&self) -> Schedule {
        let store = self.store();
        let files = digest_inputs(&self.plan).unwrap();
        Schedule::new(&self.plan, &files, &Records::new(&store))
    }
}

/// The events as short lines, without what differs from run to run.
fn tell(events: &[Event]) -> String {
    let lines = events.iter().filter_map(|event| {
        Some(match event {
            Event::Plan { hits, runs, waits, .. } => format!("plan {hits} hit, {runs} run, {waits} wait"),
            Event::StepHit { address, .. } => format!("{address} hit"),
            Event::StepWaits { address, .. } => format!("{address} waits for another"),
            Event::StepStarted { address, .. } => format!("{address} started"),
            Event::StepResumed { address, done } => format!("{address} goes on after {done}"),
            Event::StepFinished { address, .. } => format!("{address} finished"),
            Event::StepFailed { address, error, .. } => format!("{address} failed: {error}"),
            Event::StepStopped { address } => format!("{address} stopped"),
            Event::StepAsks { address, .. } => format!("{address} asks a person"),
            Event::Reviewed { address, people } => format!("{address} was looked over by {}", people.len()),
            Event::StepSkipped { address, after } => format!("{address} skipped after {after}"),
            Event::Gate { text, passed, .. } => format!("{text}: {}", if *passed { "passed" } else { "failed" }),
            Event::Note { text } => format!("note: {}", text.split(':').next().unwrap()),
            Event::Finished { status, outputs, .. } => {
                format!("{status:?} with {}", outputs.keys().cloned().collect::<Vec<_>>().join(", "))
            }
            Event::Progress { .. } => return None,
        })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Two texts, their join, and its length.
pub fn chain() -> (Kitchen, [StepId; 4]) {
    let mut kitchen = Kitchen::new();
    kitchen.options.threads = NonZeroUsize::MIN;
    let one = kitchen.write("one", "aa");
    let two = kitchen.write("two", "bb");
    let both = kitchen.step("both", "join", json!({}), &[one, two]);
    let length = kitchen.step("length", "count", json!({}), &[both]);
    (kitchen, [one, two, both, length])
}

#[test]
fn a_run_makes_every_step_and_the_next_run_none() {
    let (kitchen, _) = chain();
    let (outcome, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 0 hit, 2 run, 2 wait
    one started
    one finished
    two started
    two finished
    both started
    both finished
    length started
    length finished
    Done with both, length, one, two
    ");
    assert_eq!(kitchen.text(&outcome, "length"), "5");

    let before = fs::read_dir(kitchen.store().root()).unwrap().count();
    let (again, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 4 hit, 0 run, 0 wait
    one hit
    two hit
    both hit
    length hit
    Done with both, length, one, two
    ");
    assert_eq!((again.outputs, again.run), (outcome.outputs, None));
    assert_eq!(kitchen.store().runs(), [outcome.run.unwrap()]);
    assert_eq!(fs::read_dir(kitchen.store().root()).unwrap().count(), before);
}

#[test]
fn equal_outputs_stop_the_reruns_downstream() {
    let (mut kitchen, [one, ..]) = chain();
    let end = kitchen.step("end", "join", json!({}), &[StepId(3)]);
    kitchen.run();
    kitchen.set(one, "cc");
    let (outcome, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 1 hit, 1 run, 3 wait
    two hit
    one started
    one finished
    both started
    both finished
    length started
    length finished
    end hit
    Done with both, end, length, one, two
    ");
    assert_eq!(kitchen.text(&outcome, "both"), "cc+bb");
    assert_eq!(end, StepId(4));
}

#[test]
fn renaming_a_step_runs_nothing() {
    let (mut kitchen, [one, ..]) = chain();
    kitchen.run();
    kitchen.plan.steps[one.0].address = "first".into();
    assert!(kitchen.run().1.starts_with("plan 4 hit, 0 run, 0 wait\nfirst hit\n"));
}

#[test]
fn why_names_the_first_field_that_differs() {
    let (mut kitchen, [one, _, both, length]) = chain();
    assert_eq!(kitchen.schedule().get(one).unwrap().why, Some(Why::New));
    kitchen.run();
    kitchen.set(one, "cc");
    let schedule = kitchen.schedule();
    let Some(Why::Changed(change)) = &schedule.get(one).unwrap().why else { panic!("it changed") };
    let difference = &change.difference;
    assert_eq!(difference.field, "arguments.text");
    assert_eq!((&difference.old, &difference.new), (&Side::Value(json!("aa")), &Side::Value(json!("cc"))));
    assert_eq!((change.than.as_str(), change.others), ("one", 0));
    assert_eq!(schedule.get(both).unwrap().why, Some(Why::After(vec!["one".into()])));
    assert_eq!(schedule.get(length).unwrap().why, Some(Why::After(vec!["both".into()])));
    assert!(schedule.get(one).unwrap().price.is_some());
    assert_eq!(schedule.get(both).unwrap().key, None);

    // A step that is new at its address is compared with the nearest of its stage.
    let other = kitchen.write("other", "aa");
    kitchen.plan.steps[other.0].arguments.insert("seed", 1.into());
    let schedule = kitchen.schedule();
    let Some(Why::Changed(change)) = &schedule.get(other).unwrap().why else { panic!("it changed") };
    assert_eq!((change.difference.field.as_str(), &change.difference.old), ("arguments.seed", &Side::Absent));
    assert_eq!(change.than, "one");

    // What was made and is gone says so.
    kitchen.set(one, "aa");
    let output = kitchen.store().records().into_iter().find(|it| it.address == "one").unwrap().output;
    fs::remove_dir_all(kitchen.store().object(&output)).unwrap();
    assert_eq!(kitchen.schedule().get(one).unwrap().why, Some(Why::Lost { object: output }));
}

#[test]
fn a_failure_stops_only_what_depends_on_it() {
    let mut kitchen = Kitchen::new();
    kitchen.options.threads = NonZeroUsize::MIN;
    let bad = kitchen.step("bad", "fail", json!({}), &[]);
    let after = kitchen.step("after", "count", json!({}), &[bad]);
    kitchen.step("last", "count", json!({}), &[after]);
    let good = kitchen.write("good", "aa");
    kitchen.step("length", "count", json!({}), &[good]);
    let (outcome, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 0 hit, 2 run, 3 wait
    bad started
    bad failed: row 3 holds no answer
    after skipped after bad
    last skipped after bad
    good started
    good finished
    length started
    length finished
    Failed with good, length
    ");
    assert_eq!(outcome.status, Status::Failed);
    // What failed leaves nothing behind.
    assert_eq!(fs::read_dir(kitchen.store().root().join("scratch")).unwrap().count(), 0);
    assert_eq!(kitchen.store().records().len(), 2);
}

#[test]
fn a_panic_is_a_failure_of_its_step() {
    let mut kitchen = Kitchen::new();
    kitchen.step("bad", "panic", json!({}), &[]);
    let (outcome, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 0 hit, 1 run, 0 wait
    bad started
    bad failed: the stage panicked: index out of bounds
    Failed with
    ");
    assert_eq!(outcome.status, Status::Failed);
}

#[test]
fn a_run_that_is_cancelled_stops_its_steps_and_says_so() {
    let mut kitchen = Kitchen::new();
    let first = kitchen.write("first", "aa");
    let long = kitchen.step("long", "endless", json!({}), &[first]);
    kitchen.step("after", "count", json!({}), &[long]);
    let cancelled = Arc::clone(&kitchen.options.cancelled);
    let mut events = Vec::new();
    let outcome = run(&kitchen.plan, &kitchen.store(), &find, &kitchen.options, &mut |event| {
        if matches!(event, Event::Progress { address, .. } if address == "long") {
            cancelled.store(true, Ordering::Relaxed);
        }
        events.push(event.clone());
    });
    assert_eq!(outcome.unwrap().status, Status::Interrupted);
    insta::assert_snapshot!(tell(&events), @r"
    plan 0 hit, 1 run, 2 wait
    first started
    first finished
    long started
    long stopped
    Interrupted with first
    ");
}

#[test]
fn a_gate_is_decided_when_its_report_is_there() {
    let mut kitchen = Kitchen::new();
    kitchen.options.threads = NonZeroUsize::MIN;
    let score = kitchen.step("s", "score", json!({"pass1": 0.5}), &[]);
    kitchen.write("later", "aa");
    kitchen.require(score, Comparison::GreaterOrEqual, 0.5);
    kitchen.require(score, Comparison::Greater, 0.5);
    let (outcome, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 0 hit, 2 run, 0 wait
    s started
    s finished
    s.pass1 against it: passed
    s.pass1 against it: failed
    later started
    later finished
    GateFailed with later, s
    ");
    assert_eq!(outcome.status, Status::GateFailed);
    // It holds for a run with nothing to do as well.
    assert_eq!(kitchen.run().0.status, Status::GateFailed);
}

#[test]
fn independent_steps_run_side_by_side_and_share_the_threads() {
    let mut kitchen = Kitchen::new();
    kitchen.options.threads = NonZeroUsize::new(4).unwrap();
    kitchen.step("left", "meet", json!({"name": "left"}), &[]);
    kitchen.step("right", "meet", json!({"name": "right"}), &[]);
    let (outcome, _) = kitchen.run();
    assert_eq!(outcome.status, Status::Done);
    assert_eq!(kitchen.text(&outcome, "left"), "\"left\" 4");
}

#[test]
fn steps_of_the_same_key_run_once() {
    let mut kitchen = Kitchen::new();
    for address in ["a", "b", "c"] {
        kitchen.write(address, "aa");
    }
    let (outcome, told) = kitchen.run();
    assert_eq!(told.matches("finished").count(), 1);
    assert_eq!(outcome.digest("a"), outcome.digest("c"));
}

#[test]
fn two_runs_at_once_make_each_step_once() {
    let (kitchen, _) = chain();
    let told: Vec<(Outcome, String)> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| kitchen.run())).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(told.iter().map(|(_, told)| told.matches("finished").count()).sum::<usize>(), 4);
    assert!(told.iter().all(|(outcome, _)| outcome.outputs == told[0].0.outputs && outcome.status == Status::Done));
}

#[test]
fn missing_files_are_all_named_and_nothing_is_written() {
    let mut kitchen = Kitchen::new();
    kitchen.read("a", "no/such.jsonl".into());
    kitchen.write("b", "aa");
    kitchen.read("c", "nor/this.jsonl".into());
    let Err(RunError::Inputs(complaints)) = kitchen.try_run() else { panic!("the files are missing") };
    let messages: Vec<&str> = complaints.iter().map(|it| it.message.as_str()).collect();
    assert_eq!(
        messages,
        ["cannot read `no/such.jsonl`: there is no such file", "cannot read `nor/this.jsonl`: there is no such file"]
    );
    assert!(!kitchen.store().root().exists());
}

#[test]
fn a_file_counts_by_its_content() {
    let mut kitchen = Kitchen::new();
    let path = kitchen.folder.path().join("data.jsonl");
    fs::write(&path, "rows").unwrap();
    let id = kitchen.read("a", path);
    kitchen.run();
    let moved = kitchen.folder.path().join("moved.jsonl");
    fs::write(&moved, "rows").unwrap();
    kitchen.plan.steps[id.0].files.insert("path".into(), moved.clone());
    assert!(kitchen.run().1.starts_with("plan 1 hit"));
    fs::write(&moved, "others").unwrap();
    let (outcome, told) = kitchen.run();
    assert!(told.starts_with("plan 0 hit, 1 run"));
    assert_eq!(kitchen.text(&outcome, "a"), "others");
}

#[test]
fn a_file_that_changes_under_a_step_is_not_taken_for_what_it_was() {
    let mut kitchen = Kitchen::new();
    let path = kitchen.folder.path().join("rows");
    fs::write(&path, "whole").unwrap();
    let id = kitchen.read("spoiled", path.clone());
    kitchen.plan.steps[id.0].stage = "spoil".into();
    let (outcome, said) = kitchen.run();
    assert_eq!(outcome.status, Status::Failed);
    let complaint = format!("`{}` changed while the step ran; run again, and its new content is taken", path.display());
    assert!(said.contains(&complaint), "{said}");
    // What it holds now it holds when the step is done as well.
    let (outcome, _) = kitchen.run();
    assert_eq!(outcome.status, Status::Done);
    assert_eq!(fs::read_to_string(outcome.outputs["spoiled"].path.join("text")).unwrap(), "other");
}

#[test]
fn steps_that_do_not_fit_into_memory_together_run_one_after_the_other() {
    let mut kitchen = Kitchen::new();
    // The stage of that name is foretold to hold some sixteen megabytes, of which two do not fit.
    let rows = json!({"value": 10.0, "unit": "rows"});
    for seed in 0..3 {
        let arguments = json!({"rows": rows, "terms_min": 2, "terms_max": 3, "digits": 1, "seed": seed});
        kitchen.step(&format!("s{seed}"), "problems", arguments, &[]);
    }
    kitchen.options.memory = Some(20_000_000);
    let (outcome, said) = kitchen.run();
    assert_eq!(outcome.status, Status::Done, "{said}");
}

#[test]
fn a_damaged_input_is_set_aside_and_made_again() {
    let (mut kitchen, _) = chain();
    let (outcome, _) = kitchen.run();
    let file = outcome.outputs["both"].path.join("text");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "aa-bb").unwrap();
    kitchen.step("again", "join", json!({}), &[StepId(2), StepId(0)]);
    let (mended, told) = kitchen.run();
    insta::assert_snapshot!(told, @r"
    plan 4 hit, 1 run, 0 wait
    one hit
    two hit
    both hit
    length hit
    again started
    again stopped
    note: what `both` made is damaged
    both started
    both finished
    again started
    again finished
    Done with again, both, length, one, two
    ");
    assert_eq!(mended.digest("both"), outcome.digest("both"));
    assert_eq!(kitchen.text(&mended, "again"), "aa+bb+aa");
}

#[test]
fn deleting_the_index_changes_no_output() {
    let (mut kitchen, [one, ..]) = chain();
    kitchen.run();
    kitchen.set(one, "cc");
    fs::remove_dir_all(kitchen.store().root().join("index")).unwrap();
    let (without, _) = kitchen.run();

    let (mut other, [one, ..]) = chain();
    other.run();
    other.set(one, "cc");
    let (with, _) = other.run();
    let digests = |outcome: &Outcome| -> Vec<Digest> { outcome.outputs.values().map(|it| it.digest).collect() };
    assert_eq!(digests(&without), digests(&with));
}

#[test]
fn a_run_keeps_its_events() {
    let mut kitchen = Kitchen::new();
    kitchen.write("one", "aa");
    let (outcome, events) = kitchen.try_run().unwrap();
    let log = fs::read_to_string(kitchen.store().run_file(&outcome.run.unwrap())).unwrap();
    let kept: Vec<Event> = log.lines().map(|line| serde_json::from_str::<Logged>(line).unwrap().event).collect();
    assert_eq!(kept, events);
    let record = kitchen.store().records().remove(0);
    assert_eq!(record.metrics, BTreeMap::from([("loss".into(), 0.5)]));
    let last: Value = serde_json::to_value(events.last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["status"]), (&json!("finished"), &json!("done")));
    assert_eq!(last["outputs"]["one"]["digest"], json!(record.output));
}
