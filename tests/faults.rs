//! The disk fails, the process dies, bytes turn: whatever happens to a store, it says so, stays sound, and heals.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use regimen::{
    base::{
        digest::Digest,
        faults::{self, Operation},
        rng::Stream,
        span::Sources,
    },
    lang::{self, Overrides},
    plan::Plan,
    report,
    run::{self, Event, Interrupts, Options, RunError, Status},
    stages,
    store::{Begun, Checkpoint, Checkpoints, Claimed, History, Hold, Indexed, Records, Store, StoreError, gc::Roots},
    syntax,
};

use crate::harness::Test;

const RECIPE: &str = include_str!("fixtures/e2e/small.rgm");
const ANSWERS: &str = include_str!("fixtures/e2e/answers.jsonl");

/// A folder with the small recipe in it, in memory where there is such a disk: what is tried here many times over is
/// what happens when a disk fails, and not how long it takes to sync.
pub fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.unwrap();
    fs::write(folder.path().join("a.rgm"), RECIPE).unwrap();
    fs::write(folder.path().join("answers.jsonl"), ANSWERS).unwrap();
    folder
}

pub fn plan(folder: &Path) -> Plan {
    plan_of(RECIPE, folder)
}

pub fn plan_of(recipe: &str, folder: &Path) -> Plan {
    let mut sources = Sources::default();
    let id = sources.add("a.rgm", recipe);
    let (file, _) = syntax::parse(id, recipe);
    let (program, complaints) = lang::check(&mut sources, &file, &Overrides::default());
    assert!(!complaints.has_errors(), "{complaints:#?}");
    let mut plan = Plan::new(&program, &|name| stages::find(name).unwrap().version);
    for path in plan.steps.iter_mut().flat_map(|step| step.files.values_mut()) {
        *path = folder.join(&*path);
    }
    plan
}

/// How a run came out: the digests of the outputs, or everything that was said to be wrong.
pub fn run(plan: &Plan, store: &Store, watch: impl FnMut(&Event)) -> Result<BTreeMap<String, Digest>, String> {
    run_keeping(plan, store, None, watch)
}

/// As [`run`], with states of long steps kept so often.
pub fn run_keeping(
    plan: &Plan,
    store: &Store,
    every: Option<Duration>,
    mut watch: impl FnMut(&Event),
) -> Result<BTreeMap<String, Digest>, String> {
    let options = Options {
        threads: NonZeroUsize::MIN,
        checkpoint_every: every,
        cancelled: Arc::new(AtomicBool::new(false)),
        interrupts: Interrupts::Leave,
        ..Options::default()
    };
    let mut errors = Vec::new();
    let mut report = |event: &Event| {
        watch(event);
        if let Event::StepFailed { error, .. } = event {
            errors.push(error.clone());
        }
    };
    match run::run(plan, store, &|name| stages::find(name), &options, &mut report) {
        Ok(outcome) if outcome.status == Status::Done => {
            Ok(outcome.outputs.into_iter().map(|(name, output)| (name, output.digest)).collect())
        }
        Ok(_) => Err(errors.join("\n")),
        Err(RunError::Store(error)) => Err(error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

/// The objects that are not as they were written.
fn damaged(store: &Store) -> Vec<Digest> {
    store.objects().into_iter().filter(|digest| store.inspect(digest, None).is_some()).collect()
}

pub fn assert_sound(store: &Store, case: &str) {
    assert_eq!(damaged(store), [], "{case}");
    assert_eq!(store.damaged_records(), Vec::<PathBuf>::new(), "{case}");
}

/// How a failing disk is named, and what is said of it.
const FAILURES: [(&str, &str); 2] = [("ENOSPC", "the disk is full"), ("EIO", "Input/output error (os error 5)")];

/// Strikes every `stride`th operation of a run in turn, with each kind of failure or with the two by turns: gives how many
/// cases there were, and how many of them ended the run. In all of them the store is sound, and the next run ends in the
/// same bytes.
pub fn strike_each(recipe: &str, every: Option<Duration>, stride: u64, by_turns: bool) -> (usize, usize) {
    let folder = folder();
    let plan = plan_of(recipe, folder.path());
    let quiet = Store::open(folder.path().join("quiet"));
    let armed = faults::arm(quiet.root(), "").unwrap();
    let undisturbed = run_keeping(&plan, &quiet, every, |_| {}).unwrap();
    let (operations, writes) = (armed.operations(), armed.count(Operation::Write));
    assert!(operations > 100 && writes > 20, "{operations} operations, {writes} writes");
    drop(armed);
    let (mut cases, mut ended) = (0, 0);
    for (what, count) in [("any:before", operations), ("any:after", operations), ("write:half", writes)] {
        for number in (1..=count).step_by(stride as usize) {
            for (at, (error, text)) in (0..).zip(FAILURES) {
                if by_turns && at != number % 2 {
                    continue;
                }
                let case = format!("{what}:{number}={error}");
                let store = Store::open(folder.path().join("struck"));
                let armed = faults::arm(store.root(), &case).unwrap();
                let first = run_keeping(&plan, &store, every, |_| {});
                // How often a run writes its log and the index differs by a few times from run to run.
                let struck = armed.struck();
                assert!(struck == 1 || number + 20 > count, "{case} of {count}");
                drop(armed);
                cases += struck as usize;
                match first {
                    // To remove what is left over, and the index, are not worth ending a run for.
                    Ok(outputs) => assert_eq!(outputs, undisturbed, "{case}"),
                    Err(errors) => {
                        ended += 1;
                        let path = store.root().display().to_string();
                        let told = |line: &str| line.contains(&path) && line.ends_with(text);
                        assert!(errors.lines().all(told) && !errors.is_empty(), "{case}: {errors}");
                    }
                }
                assert_sound(&store, &case);
                assert_eq!(run_keeping(&plan, &store, every, |_| {}).as_ref(), Ok(&undisturbed), "{case}");
                assert_sound(&store, &case);
                fs::remove_dir_all(store.root()).unwrap();
            }
        }
        println!("{what}: {cases} cases, of which {ended} ended the run");
    }
    (cases, ended)
}

#[test]
fn a_disk_that_fails_under_any_operation_is_told_of_and_harms_nothing() {
    let (cases, ended) = strike_each(RECIPE, None, 5, false);
    assert!(cases > 100 && ended > cases / 2, "{ended} of {cases}");
}

/// Every operation instead of a sample of them: `cargo test --test suite every_operation_that_fails -- --ignored`.
#[test]
#[ignore = "takes a minute"]
fn every_operation_that_fails_is_told_of_and_harms_nothing() {
    strike_each(RECIPE, None, 1, false);
}

#[test]
fn a_disk_that_stays_full_ends_the_run_at_once() {
    let folder = folder();
    let plan = plan(folder.path());
    let undisturbed = run(&plan, &Store::open(folder.path().join("quiet")), |_| {}).unwrap();
    for number in [1, 2, 3, 10, 20] {
        let store = Store::open(folder.path().join(format!("full{number}")));
        let armed = faults::arm(store.root(), &format!("write:half:{number}+=ENOSPC")).unwrap();
        let error = run(&plan, &store, |_| {}).unwrap_err();
        assert!(error.ends_with("the disk is full"), "{error}");
        drop(armed);
        assert_sound(&store, "full");
        assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed));
    }
}

/// Runs the program with a failpoint and one thread; true where it was killed.
fn run_with(test: &Test, failpoint: &str) -> bool {
    let mut command = test.command("run a.rgm --json --threads 1 --store killed");
    let command = command.env(faults::VARIABLE, failpoint).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().unwrap();
    assert!(status.success() || status.code().is_none(), "{failpoint}: {status}");
    !status.success()
}

/// Every failpoint that a run of the recipe passes, each as an order to kill.
fn killing_failpoints(test: &Test) -> Vec<String> {
    let mut command = test.command("run a.rgm --json --threads 1 --store traced");
    let output = command.env(faults::VARIABLE, "trace").output().unwrap();
    assert!(output.status.success());
    fs::remove_dir_all(test.path("traced")).unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let passed: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let mut failpoints = Vec::new();
    for words in &passed {
        let ["failpoint", "any", _, operation, number, ..] = words[..] else { continue };
        failpoints.push(format!("{operation}:before:{number}=kill"));
        if operation == "write" {
            failpoints.push(format!("{operation}:half:{number}=kill"));
        }
        failpoints.push(format!("{operation}:after:{number}=kill"));
    }
    failpoints
}

/// Kills a run at failpoints: gives how many times. After each the next run ends in the same bytes.
fn kill_at(test: &Test, choose: impl Fn(usize) -> bool) -> usize {
    let undisturbed = test.done("run a.rgm --json --threads 1 --checkpoint-every never --store quiet").outputs();
    // Long steps keep a state wherever they can, so that this is struck as well.
    test.write("regimen.yaml", "checkpoint_every: 0s\n");
    let failpoints = killing_failpoints(test);
    assert!(failpoints.len() > 200, "{failpoints:?}");
    let chosen: Vec<&String> = failpoints.iter().enumerate().filter(|(at, _)| choose(*at)).map(|(_, it)| it).collect();
    let mut kills = 0;
    for failpoint in chosen {
        // How often a step tells of its progress depends on the time, so one run may not come as far as another.
        kills += usize::from(run_with(test, failpoint));
        let store = Store::open(test.path("killed"));
        assert_sound(&store, failpoint);
        let end = test.done("run a.rgm --json --threads 1 --store killed");
        assert_eq!(end.outputs(), undisturbed, "{failpoint}");
        assert_sound(&store, failpoint);
        fs::remove_dir_all(store.root()).unwrap();
    }
    kills
}

#[test]
fn a_run_killed_at_a_failpoint_ends_in_the_same_bytes() {
    let test = Test::new().file("a.rgm", RECIPE).file("answers.jsonl", ANSWERS);
    let stream = Stream::new(20, "failpoints");
    // About twenty of them, another twenty for another seed.
    let share = killing_failpoints(&test).len() as u64 / 20;
    assert!(kill_at(&test, |at| stream.below(share, at as u64, 0) == 0) > 5);
}

/// Every failpoint of a run: `cargo test --test suite every_failpoint -- --ignored --nocapture`. `RECIPE` names another
/// recipe to do it with, and `STRIDE` takes every so many of its failpoints. `TMPDIR=/dev/shm` makes it quick.
#[test]
#[ignore = "takes minutes"]
fn a_run_killed_at_every_failpoint_ends_in_the_same_bytes() {
    let recipe = std::env::var("RECIPE").map_or(RECIPE.to_owned(), |path| fs::read_to_string(path).unwrap());
    let test = Test::new().file("a.rgm", &recipe).file("answers.jsonl", ANSWERS);
    let stride = std::env::var("STRIDE").map_or(1, |it| it.parse::<usize>().unwrap());
    println!("{} kills", kill_at(&test, |at| at % stride == 0));
}

/// Every file below the folders of a store, with what kind of thing it is.
fn files(store: &Store) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    for kind in ["objects", "records", "index", "index.digest", "checkpoints", "runs"] {
        let mut open = vec![store.root().join(kind)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if fs::metadata(&path).is_ok_and(|it| it.len() > 0) {
                found.push((kind, path));
            }
        }
    }
    found.sort();
    found
}

/// Turns one bit of a file, or cuts it off.
fn damage(path: &Path, stream: &Stream, round: u64) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = stream.below(bytes.len() as u64, round, 1) as usize;
    let how = if stream.below(4, round, 2) == 0 {
        bytes.truncate(at);
        format!("cut off at {at}")
    } else {
        let bit = stream.below(8, round, 3);
        bytes[at] ^= 1 << bit;
        format!("bit {bit} of byte {at} turned")
    };
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    format!("round {round}: {}, {how}", path.display())
}

/// Two states of a step that is not done.
fn keep_states(states: &Checkpoints, begun: &Begun) {
    states.folder(begun).unwrap();
    for position in [10_u64, 20] {
        let fill = |folder: &Path| {
            fs::write(folder.join("state"), position.to_string().repeat(50)).unwrap();
            Ok::<_, StoreError>(())
        };
        states.keep(position, fill).unwrap();
    }
}

/// Damages a store so many times, and heals it each time. The seed is in every message.
fn damage_and_heal(rounds: u64, seed: u64) -> BTreeMap<&'static str, usize> {
    let folder = folder();
    let plan = plan(folder.path());
    let store = Store::open(folder.path().join("store"));
    let undisturbed = run(&plan, &store, |_| {}).unwrap();
    let Ok(Claimed::Mine(unfinished)) = store.claim(&Digest::of(b"unfinished"), |_| false) else {
        panic!("it is free")
    };
    let states = store.checkpoints_of(&unfinished);
    let begun = Begun { fields: serde_json::json!({"arguments": {"lr": 1e-3}}), address: "base".into() };
    keep_states(&states, &begun);
    let kept = |state: &Checkpoint| fs::read_to_string(state.folder.join("state")).unwrap();
    let stream = Stream::new(seed, "damage");
    let mut counts = BTreeMap::new();
    for round in 0..rounds {
        let files = files(&store);
        let kinds: Vec<&str> = ["objects", "records", "index", "runs", "checkpoints"].to_vec();
        let kind = kinds[stream.below(kinds.len() as u64, round, 4) as usize];
        let files: Vec<_> = files.into_iter().filter(|(it, _)| it.starts_with(kind)).collect();
        let (kind, path) = &files[stream.below(files.len() as u64, round, 0) as usize];
        *counts.entry(*kind).or_default() += 1;
        if *kind == "index" && stream.below(2, round, 5) == 0 {
            // As after a kill: nothing but the library's own checks stands between.
            let _ = fs::remove_file(store.root().join("index.digest"));
        }
        let case = format!("seed {seed}, {}", damage(path, &stream, round));

        // A state is passed over, or it is what it was; and whose it is is not mistaken.
        assert!(states.kept().iter().all(|state| kept(state) == state.position.to_string().repeat(50)), "{case}");
        assert!(store.begun().iter().all(|(_, it, _)| *it == begun), "{case}");
        if *kind == "checkpoints" {
            assert!(states.kept().len() + store.begun().len() == 2, "{case}");
            states.clear().unwrap();
            keep_states(&states, &begun);
        }

        // Everything that reads goes on reading.
        let truth = Records::new(&store).of_stage("problems").all().collect::<Vec<_>>();
        let told = Indexed::new(&store).of_stage("problems").all().collect::<Vec<_>>();
        assert!(told.iter().all(|it| truth.contains(it)), "{case}");
        assert!(report::status::newest(&store).is_some(), "{case}");
        let _ = store.garbage(&Roots::default());
        let mut roots = Roots::default();
        run::needs(&store, &store.runs()[0], &mut roots);

        // What verifying finds is that object, or that record, and nothing else.
        let object = (*kind == "objects").then(|| path.parent().unwrap().file_name().unwrap().to_str().unwrap());
        let object: Vec<Digest> = object.into_iter().map(|name| name.parse().unwrap()).collect();
        let record: Vec<PathBuf> = if *kind == "records" { vec![path.clone()] } else { vec![] };
        assert_eq!((damaged(&store), store.damaged_records()), (object.clone(), record), "{case}");
        if round % 2 == 0 {
            object.iter().for_each(|digest| drop(store.set_aside(digest).unwrap()));
        } else if let [digest] = object[..] {
            // Without verifying: a step that reads the object finds it, and it is made again.
            store.records().iter().filter(|it| it.output != digest).for_each(|it| {
                let _ = fs::remove_dir_all(store.object(&it.output));
            });
        }
        let again = run(&plan, &store, |_| {});
        assert_eq!(again.as_ref(), Ok(&undisturbed), "{case}");
        for digest in damaged(&store) {
            // Only one that nothing has read may still be damaged.
            assert_eq!(object, [digest], "{case}");
            store.set_aside(&digest).unwrap();
            assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed), "{case}");
        }
        assert_sound(&store, &case);
        let _ = fs::remove_dir_all(store.root().join("damaged"));
        if *kind == "runs" {
            fs::remove_dir_all(store.root().join("runs")).unwrap();
            fs::create_dir(store.root().join("runs")).unwrap();
            fs::remove_dir_all(store.root().join("records")).unwrap();
            assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed), "{case}");
        }
    }
    counts
}

/// The right to remove objects, which nobody has for long: a process that another test begins has all open files, and so
/// their locks, until it is another program.
fn alone(store: &Store) -> Hold {
    for _ in 0..1_000 {
        if let Some(hold) = store.hold_alone().unwrap() {
            return hold;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("others work with the store for ever")
}

#[test]
fn a_removal_that_fails_halfway_leaves_the_store_sound() {
    let folder = folder();
    let plan = plan(folder.path());
    let store = Store::open(folder.path().join("store"));
    let undisturbed = run(&plan, &store, |_| {}).unwrap();
    let mut failed = 0;
    for number in 1.. {
        let case = format!("any:before:{number}=EIO");
        let mut garbage = store.garbage(&Roots::default());
        assert_eq!(garbage.items.len(), 6, "{case}");
        let alone = alone(&store);
        let armed = faults::arm(store.root(), &case).unwrap();
        failed += usize::from(store.remove(&mut garbage, Some(&alone)).is_err());
        let struck = armed.struck();
        drop((alone, armed));
        assert_sound(&store, &case);
        assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed), "{case}");
        // Nor does what was on its way out stay for ever.
        assert_eq!(fs::read_dir(store.root().join("scratch")).unwrap().count(), 0, "{case}");
        if struck == 0 {
            break;
        }
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn turned_bits_and_cut_off_files_are_found_and_healed() {
    damage_and_heal(60, 1);
}

/// A thousand of them: `cargo test --test suite a_thousand -- --ignored --nocapture`, with another `SEED` if wanted.
#[test]
#[ignore = "takes a minute"]
fn a_thousand_turned_bits_and_cut_off_files_are_found_and_healed() {
    let seed = std::env::var("SEED").map_or(1, |it| it.parse().unwrap());
    println!("seed {seed}: {:?}", damage_and_heal(1000, seed));
}

#[test]
fn a_full_or_read_only_disk_is_told_of_with_what_to_do() {
    let test = Test::new().file("a.rgm", RECIPE).file("answers.jsonl", ANSWERS);
    let run = |failpoint: &str| {
        let output = test.command("run a.rgm --threads 1").env(faults::VARIABLE, failpoint).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run("any:before:1+=EROFS");
    assert_eq!(code, Some(5));
    // The first line is the plan's sum.
    insta::assert_snapshot!(text.split_once('\n').unwrap().1, @r"
    error: .regimen: the disk is read-only
      hint: to run, the store must be writable: `--store DIR` names another
    ");
    let (code, text) = run("write:before:2+=ENOSPC");
    assert_eq!(code, Some(5));
    assert!(text.contains(".jsonl: the disk is full\n  hint: free some space"), "{text}");
    let (code, text) = run("rename:before:1=ENOSPC");
    assert_eq!(code, Some(3));
    assert!(text.contains(": the disk is full"), "{text}");
    let (code, text) = run("renam:before:1=ENOSPC");
    assert_eq!(code, Some(5));
    assert!(text.contains("found `renam:before:1=ENOSPC`"), "{text}");
    test.done("run a.rgm");
}

#[test]
fn a_file_that_vanishes_during_a_run_is_named_and_the_rest_goes_on() {
    let folder = folder();
    let plan = plan(folder.path());
    let store = Store::open(folder.path().join("store"));
    let file = folder.path().join("answers.jsonl");
    let error = run(&plan, &store, |event| {
        if matches!(event, Event::Plan { .. }) {
            fs::remove_file(&file).unwrap();
        }
    });
    let expected = format!("{}: No such file or directory (os error 2)", file.display());
    assert_eq!(error, Err(expected));
    assert_eq!(store.records().len(), 4);
    fs::write(&file, ANSWERS).unwrap();
    assert!(run(&plan, &store, |_| {}).is_ok());
}
