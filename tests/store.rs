//! The store's promises: whole or not at all, once ever, and nothing that matters in the index.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proptest::prelude::*;
use regimen::{
    base::digest::Digest,
    store::{Claimed, Done, Facts, Folder, History, Index, Indexed, Record, Records, Store, digest_folder},
};
use serde_json::json;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store"));
    store.prepare().unwrap();
    (folder, store)
}

fn facts(stage: &str, address: &str) -> Facts {
    Facts {
        fields: json!({"stage": stage}),
        stage: stage.into(),
        address: address.into(),
        run: "1".into(),
        seconds: 1.5,
        metrics: BTreeMap::from([("loss".into(), 0.25)]),
        cost: None,
        review: None,
    }
}

fn key(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Makes a step's object of the given files, unless it is there.
fn make(store: &Store, key: &Digest, files: &BTreeMap<String, Vec<u8>>) -> Record {
    let claim = match store.claim(key, |_| true).unwrap() {
        Claimed::Mine(claim) => claim,
        Claimed::Done(record) => return *record,
    };
    for (name, bytes) in files {
        let path = claim.out().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    claim.commit(facts("toy", "a")).unwrap()
}

fn one_file(text: &str) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([("rows.jsonl".to_owned(), text.as_bytes().to_vec())])
}

/// Every file below a folder with its bytes, the locks and the index left out.
fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_committed_is_what_is_read(
        files in prop::collection::btree_map("[a-z]{1,3}/[a-z]{1,8}", prop::collection::vec(any::<u8>(), 0..300), 1..6)
    ) {
        let (_folder, store) = store();
        let record = make(&store, &key("k"), &files);
        let object = store.object(&record.output);
        let read: BTreeMap<String, Vec<u8>> =
            contents(&object).into_iter().map(|(path, bytes)| (path.to_str().unwrap().to_owned(), bytes)).collect();
        prop_assert_eq!(&read, &files);
        prop_assert_eq!(digest_folder(&object).unwrap(), record.output);
        prop_assert_eq!(store.damage(&Done::from(&record)), None);
        prop_assert_eq!(store.done(&key("k")), Some(record));
    }

    #[test]
    fn a_torn_record_is_not_done(keep in 0.0..1.0f64) {
        let (_folder, store) = store();
        make(&store, &key("k"), &one_file("row"));
        let path = store.root().join("records").join(format!("{}.json", key("k")));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
        prop_assert_eq!(store.done(&key("k")), None);
        prop_assert_eq!(store.records(), []);
        // The step is made again, over what is left.
        prop_assert_eq!(make(&store, &key("k"), &one_file("row")).output, store.done(&key("k")).unwrap().output);
    }
}

#[test]
fn opening_and_reading_a_store_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store"));
    assert_eq!(store.done(&key("k")), None);
    assert_eq!(store.records(), []);
    assert_eq!(store.runs(), Vec::<String>::new());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_record_under_the_name_of_another_is_none() {
    let (_folder, store) = store();
    make(&store, &key("k"), &one_file("row"));
    let records = store.root().join("records");
    fs::rename(records.join(format!("{}.json", key("k"))), records.join(format!("{}.json", key("l")))).unwrap();
    assert_eq!(store.record(&key("l")), None);
}

#[test]
fn a_step_that_wrote_nothing_is_not_done() {
    let (_folder, store) = store();
    let Claimed::Mine(claim) = store.claim(&key("k"), |_| true).unwrap() else { panic!("nobody made it") };
    assert_eq!(claim.commit(facts("toy", "a")).unwrap_err().to_string(), "the stage wrote nothing");
    assert_eq!(store.done(&key("k")), None);
}

#[test]
fn a_missing_or_shortened_object_is_not_done() {
    let (_folder, store) = store();
    let record = make(&store, &key("k"), &one_file("a row"));
    let file = store.object(&record.output).join("rows.jsonl");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "a r").unwrap();
    assert_eq!(store.done(&key("k")), None);
    // It is made again; what was damaged is kept aside.
    assert_eq!(make(&store, &key("k"), &one_file("a row")), store.done(&key("k")).unwrap());
    assert_eq!(fs::read(&file).unwrap(), b"a row");
    assert_eq!(fs::read(store.root().join(format!("damaged/{}.0/rows.jsonl", record.output))).unwrap(), b"a r");
}

/// Whoever finds it damaged puts the same bytes in its place, and nobody moves away what another has mended.
#[test]
fn steps_that_mend_one_object_at_once_do_not_meet() {
    let (_folder, store) = store();
    let names: Vec<String> = (0..8).map(|at| format!("k{at}")).collect();
    let record = make(&store, &key("k"), &one_file("a row"));
    for _ in 0..25 {
        names.iter().for_each(|name| _ = fs::remove_file(store.root().join(format!("records/{}.json", key(name)))));
        let file = store.object(&record.output).join("rows.jsonl");
        fs::remove_file(&file).unwrap();
        fs::write(&file, "a r").unwrap();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| make(&store, &key(name), &one_file("a row")));
            }
        });
        names.iter().for_each(|name| assert!(store.done(&key(name)).is_some()));
        assert_eq!(fs::read(&file).unwrap(), b"a row");
    }
    assert_eq!(fs::read_dir(store.root().join("damaged")).unwrap().count(), 25);
}

#[test]
fn a_changed_byte_is_found_by_reading() {
    let (_folder, store) = store();
    let record = make(&store, &key("k"), &one_file("a row"));
    let file = store.object(&record.output).join("rows.jsonl");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "A row").unwrap();
    assert!(store.done(&key("k")).is_some(), "a look at the lengths does not show it");
    let damage = store.damage(&Done::from(&record)).unwrap();
    assert_eq!((damage.digest, damage.file.as_deref()), (record.output, Some("rows.jsonl")));
    store.set_aside(&record.output).unwrap();
    assert_eq!(store.done(&key("k")), None);
}

#[test]
fn a_kill_before_the_record_costs_no_more_than_the_step() {
    let (_folder, store) = store();
    let record = make(&store, &key("k"), &one_file("row"));
    fs::remove_file(store.root().join("records").join(format!("{}.json", key("k")))).unwrap();
    assert_eq!(store.done(&key("k")), None);
    assert_eq!(make(&store, &key("k"), &one_file("row")).output, record.output);
    assert!(!store.root().join("damaged").exists());
}

#[test]
fn two_keys_with_the_same_bytes_share_an_object() {
    let (_folder, store) = store();
    let [one, other] = ["k", "l"].map(|name| make(&store, &key(name), &one_file("row")));
    assert_eq!(one.output, other.output);
    assert_eq!(fs::read_dir(store.root().join("scratch")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.root().join("locks")).unwrap().count(), 0);
}

#[test]
fn of_many_who_claim_a_key_one_makes_it() {
    let (_folder, store) = store();
    let (made, waited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outputs: Vec<Digest> = std::thread::scope(|scope| {
        let claim_it = || {
            let claimed = store.claim(&key("k"), |_| waited.fetch_add(1, Ordering::Relaxed) < 10_000).unwrap();
            match claimed {
                Claimed::Done(record) => record.output,
                Claimed::Mine(claim) => {
                    made.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(30));
                    fs::write(claim.out().join("rows.jsonl"), "row").unwrap();
                    claim.commit(facts("toy", "a")).unwrap().output
                }
            }
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(claim_it)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.into_inner(), 1);
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_claim_given_up_leaves_the_key_free() {
    let (_folder, store) = store();
    let Claimed::Mine(claim) = store.claim(&key("k"), |_| true).unwrap() else { panic!("nobody made it") };
    let mut holder = None;
    let refused = store.claim(&key("k"), |it| {
        holder = it;
        false
    });
    assert_eq!(refused.unwrap_err().to_string(), "interrupted");
    assert_eq!(holder, Some(std::process::id()));
    drop(claim);
    assert!(matches!(store.claim(&key("k"), |_| false), Ok(Claimed::Mine(_))));
}

#[test]
fn what_a_dead_process_left_is_swept_and_what_a_live_one_has_is_not() {
    let (_folder, store) = store();
    let dead = store.root().join("scratch").join(format!("{}-1", key("dead")));
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join("half"), "of it").unwrap();
    let claim = store.claim(&key("live"), |_| true).unwrap();
    store.prepare().unwrap();
    assert!(!dead.exists());
    let Claimed::Mine(claim) = claim else { panic!("nobody made it") };
    assert!(claim.out().exists());
}

/// The index, which nobody holds for long: a process that another test begins has all open files, and so their locks, until
/// it is another program.
fn index(store: &Store) -> Index {
    for _ in 0..200 {
        if let Some(index) = Index::open(store) {
            return index;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the index stays taken")
}

#[test]
fn the_index_tells_what_the_files_tell_and_may_be_deleted_or_damaged() {
    let (_folder, store) = store();
    for name in ["k", "l", "m"] {
        make(&store, &key(name), &one_file(name));
    }
    let told = || Indexed::new(&store).of_stage("toy").all().collect::<Vec<_>>();
    let truth = Records::new(&store).of_stage("toy").all().collect::<Vec<_>>();
    assert_eq!(truth.len(), 3);
    let before = contents(store.root());

    let path = store.root().join("index");
    for _ in 0..2 {
        assert_eq!(told().len(), 3);
        assert!(told().iter().all(|record| truth.contains(record)));
        // Another process is turned away, and asks the files.
        let _held = index(&store);
        assert!(Index::open(&store).is_none());
        assert_eq!(told(), truth);
    }
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(told().len(), 3);
    drop(index(&store));

    // Something else wrote over it.
    for entry in fs::read_dir(&path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let length = fs::metadata(&path).unwrap().len().min(4096) as usize;
            fs::write(&path, vec![0xA5; length]).unwrap();
        }
    }
    assert_eq!(told().len(), 3);
    drop(index(&store));
    assert!(store.root().join("damaged/index.0/db").exists(), "it was moved out of the way");

    fs::remove_dir_all(&path).unwrap();
    fs::remove_dir_all(store.root().join("damaged")).unwrap();
    fs::remove_file(store.root().join("index.digest")).unwrap();
    assert_eq!(contents(store.root()), before);
}

#[test]
fn the_index_keeps_up_with_what_other_processes_write_and_remove() {
    let (_folder, store) = store();
    let told = || {
        drop(index(&store));
        let mut keys: Vec<Digest> = Indexed::new(&store).of_stage("toy").all().map(|it| it.key).collect();
        keys.sort();
        keys
    };
    let expected = |names: &[&str]| {
        let mut keys: Vec<Digest> = names.iter().map(|name| key(name)).collect();
        keys.sort();
        keys
    };
    for name in ["k", "l", "m"] {
        make(&store, &key(name), &one_file(name));
    }
    assert_eq!(told(), expected(&["k", "l", "m"]));
    make(&store, &key("n"), &one_file("n"));
    assert_eq!(told(), expected(&["k", "l", "m", "n"]));
    // One more and one less, so that there are as many as before.
    fs::remove_file(store.root().join(format!("records/{}.json", key("k")))).unwrap();
    make(&store, &key("o"), &one_file("o"));
    assert_eq!(told(), expected(&["l", "m", "n", "o"]));
    // One that was lost and made again, later.
    fs::remove_file(store.root().join(format!("records/{}.json", key("m")))).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    make(&store, &key("m"), &one_file("m"));
    assert_eq!(told(), expected(&["l", "m", "n", "o"]));
}

#[test]
fn a_file_is_digested_again_when_it_changes() {
    let (folder, store) = store();
    let index = index(&store);
    let path = folder.path().join("data");
    let mut seen = Vec::new();
    for text in ["one", "two", "three"] {
        fs::write(&path, text).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(index.digest_file(&path, &metadata).unwrap(), Digest::of(text.as_bytes()));
        seen.push(Folder::read(folder.path()).unwrap().digest());
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}
