//! The disk fails under what stages write and under the index: each time it is said, nothing is harmed, and it heals.

use std::{collections::BTreeMap, fs, process::Stdio, time::Duration};

use regimen::{
    base::{digest::Digest, faults, rng::Stream},
    stages,
    store::{History, Indexed, Records, Store},
};

use crate::{
    faults::{assert_sound, folder, plan, plan_of, run, run_keeping, strike_each},
    harness::Test,
};

const EVERY_STAGE: &str = include_str!("fixtures/e2e/faults.rgm");

/// Lets a disk fail again and again under a recipe with every kind of stage: each run comes further than the one before,
/// and the last one is not struck. Gives by kind of operation how many were struck.
fn strike_on_the_way(seed: u64, most: u64) -> BTreeMap<String, usize> {
    let folder = folder();
    let plan = plan_of(EVERY_STAGE, folder.path());
    let undisturbed = run(&plan, &Store::open(folder.path().join("quiet")), |_| {}).unwrap();
    let store = Store::open(folder.path().join("struck"));
    let stream = Stream::new(seed, "strike");
    let mut struck = BTreeMap::new();
    for round in 0.. {
        let draw = |count, column| stream.below(count, round, column);
        // The further they lie apart, the fewer are struck; a step that keeps states comes on at any distance.
        let apart = 2 + draw(most, 0) + round;
        let what = ["any:before", "any:after", "write:half", "write:before"][draw(4, 1) as usize];
        let points: Vec<String> =
            (1..=100).map(|at| format!("{what}:{}={}", at * apart, ["ENOSPC", "EIO"][(at % 2) as usize])).collect();
        let case = format!("seed {seed}, round {round}, each {apart}th of {what}");
        let armed = faults::arm(store.root(), &points.join(",")).unwrap();
        // Without states a step is struck in the files that it leaves, with them in what it goes on from.
        let every = (round % 2 == 0).then_some(Duration::ZERO);
        let end = run_keeping(&plan, &store, every, |_| {});
        let hit = armed.struck();
        drop(armed);
        *struck.entry(what.to_owned()).or_default() += hit as usize;
        assert_sound(&store, &case);
        match end {
            Ok(outputs) => assert_eq!(outputs, undisturbed, "{case}"),
            Err(errors) => {
                let path = store.root().display().to_string();
                let texts = ["the disk is full", "Input/output error (os error 5)"];
                let told = |line: &str| line.contains(&path) && texts.iter().any(|text| line.ends_with(text));
                assert!(errors.lines().all(told) && !errors.is_empty(), "{case}: {errors}");
                continue;
            }
        }
        if hit == 0 {
            break;
        }
    }
    assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed), "seed {seed}");
    struck
}

#[test]
fn a_disk_that_fails_under_any_stage_is_told_of_and_harms_nothing() {
    let struck = strike_on_the_way(1, 30);
    assert!(struck.values().sum::<usize>() > 20 && struck.len() > 2, "{struck:?}");
}

/// Many times over: `cargo test --test suite under_all_stages -- --ignored --nocapture`. `ROUNDS` says how often, `SEED`
/// from where on.
#[test]
#[ignore = "takes minutes"]
fn a_disk_that_fails_under_all_stages_is_told_of_and_harms_nothing() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |it| it.parse().unwrap());
    let first = number("SEED", 1);
    let mut struck = BTreeMap::<String, usize>::new();
    for seed in first..first + number("ROUNDS", 40) {
        strike_on_the_way(seed, 10 + seed % 70)
            .into_iter()
            .for_each(|(kind, hits)| *struck.entry(kind).or_default() += hits);
        println!("seed {seed}: {struck:?}");
    }
}

/// Every operation in turn: `cargo test --test suite under_all_stages_in_turn -- --ignored --nocapture`. `STRIDE` leaves
/// some out.
#[test]
#[ignore = "takes an hour"]
fn a_disk_that_fails_under_all_stages_in_turn_is_told_of_and_harms_nothing() {
    let stride = std::env::var("STRIDE").map_or(1, |it| it.parse().unwrap());
    strike_each(EVERY_STAGE, Some(Duration::ZERO), stride, true);
}

/// No process may write a file longer than so many KiB, whoever writes it: the stages, the store, or the index's library.
fn run_with_files_up_to(test: &Test, arguments: &str, kibibytes: u64) -> std::process::Output {
    // The signal that comes with it would end the process; without it there is an error.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * kibibytes);
    let program = test.command("").get_program().to_owned();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(program).args(arguments.split_whitespace()).current_dir(test.path(""));
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn files_that_cannot_grow_are_told_of_and_harm_nothing() {
    let test = Test::new().file("a.rgm", EVERY_STAGE);
    let undisturbed = test.done("run a.rgm --json --store quiet").outputs();
    let run = "run a.rgm --json --threads 1 --checkpoint-every 0s --store limited";
    let mut ended = Vec::new();
    for kibibytes in [1, 2, 5, 9, 16, 40, 200, 700] {
        let output = run_with_files_up_to(&test, run, kibibytes);
        let (out, err) = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned()).into();
        assert!(!err.contains("panicked"), "{kibibytes}: {err}");
        assert_sound(&Store::open(test.path("limited")), &format!("{kibibytes} KiB"));
        if output.status.success() {
            continue;
        }
        assert!([3, 5].contains(&output.status.code().unwrap()), "{kibibytes}: {:?} {err}", output.status);
        assert!((out + &err).contains("larger than the system allows"), "{kibibytes}: {err}");
        ended.push(kibibytes);
    }
    assert!(ended.len() > 2, "{ended:?}");
    let store = Store::open(test.path("limited"));
    assert_eq!(test.done(run).outputs(), undisturbed);
    assert_sound(&store, "without a limit");
    // The index lost writes, or all of itself, and no record with that.
    assert_eq!(all_stages(&Indexed::new(&store)), all_stages(&Records::new(&store)));
}

/// The keys of all records by stage, as a history tells them.
fn all_stages(history: &dyn History) -> BTreeMap<&'static str, Vec<Digest>> {
    let keys = |stage: &'static str| history.of_stage(stage).all().map(|it| it.key).collect();
    stages::REGISTRY.iter().map(|stage| (stage.name, keys(stage.name))).collect()
}

#[test]
fn an_index_that_is_damaged_in_any_way_tells_what_the_records_tell() {
    let folder = folder();
    let plan = plan(folder.path());
    let store = Store::open(folder.path().join("store"));
    run(&plan, &store, |_| {}).unwrap();
    let truth = all_stages(&Records::new(&store));
    assert_eq!(all_stages(&Indexed::new(&store)), truth);
    let stream = Stream::new(1, "index");
    for round in 0..150 {
        let draw = |count: usize, column| stream.below(count as u64, round, column) as usize;
        if draw(2, 0) == 0 {
            // As after a kill: nothing but the library's own checks stands between.
            let _ = fs::remove_file(store.root().join("index.digest"));
        }
        let mut files = vec![store.root().join("index.digest")];
        let mut open = vec![store.root().join("index")];
        while let Some(path) = open.pop() {
            match fs::read_dir(&path) {
                Ok(entries) => open.extend(entries.map(|it| it.unwrap().path())),
                Err(_) => files.push(path),
            }
        }
        files.retain(|path| fs::metadata(path).is_ok_and(|it| it.len() > 0));
        files.sort();
        let path = &files[draw(files.len(), 1)];
        let mut bytes = fs::read(path).unwrap();
        let (at, how) = (draw(bytes.len(), 2), draw(5, 3));
        match how {
            0 => bytes[at] ^= 1 << draw(8, 4),
            1 => bytes.truncate(at),
            2 => bytes[at..].fill(0),
            3 => bytes.extend([0x5a; 700]),
            _ => bytes.clear(),
        }
        fs::write(path, bytes).unwrap();
        if how == 4 {
            fs::remove_file(path).unwrap();
        }
        let case = format!("round {round}: {}, {how} at {at}", path.display());
        assert_eq!(all_stages(&Indexed::new(&store)), truth, "{case}");
        let _ = fs::remove_dir_all(store.root().join("damaged"));
    }
    assert_sound(&store, "with an index that was damaged");
}

#[test]
fn an_index_that_fails_to_write_loses_no_record() {
    let folder = folder();
    let plan = plan(folder.path());
    let undisturbed = run(&plan, &Store::open(folder.path().join("quiet")), |_| {}).unwrap();
    let mut struck = 0;
    for case in (1..).flat_map(|number| ["before", "after"].map(|phase| format!("index:{phase}:{number}"))) {
        let store = Store::open(folder.path().join("struck"));
        let armed = faults::arm(store.root(), &format!("{case}=ENOSPC")).unwrap();
        assert_eq!(run(&plan, &store, |_| {}).as_ref(), Ok(&undisturbed), "{case}");
        let hit = armed.struck();
        drop(armed);
        assert_sound(&store, &case);
        assert_eq!(all_stages(&Indexed::new(&store)), all_stages(&Records::new(&store)), "{case}");
        fs::remove_dir_all(store.root()).unwrap();
        struck += hit;
        if hit == 0 {
            break;
        }
    }
    assert!(struck > 10, "{struck}");
}
