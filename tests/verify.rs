//! `regimen verify`: damage is found, named, moved aside and made again; a second run of a step is compared.

use std::fs;

use regimen::store::{Record, Store};

use crate::harness::{Said, Test};

const RECIPE: &str = "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 2 rows)\noutput few\n";

fn ran() -> (Test, Store) {
    let test = Test::new().file("a.rgm", RECIPE);
    test.done("run a.rgm");
    let store = Store::open(test.path(".regimen"));
    (test, store)
}

fn of(store: &Store, address: &str) -> Record {
    store.records().into_iter().find(|it| it.address == address).unwrap()
}

/// Changes a byte of what a step made, behind the store's back.
fn change(store: &Store, record: &Record) {
    let path = store.object(&record.output).join("rows.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
}

/// What was said, without the digests of a record.
fn masked(said: &Said, record: &Record) -> String {
    said.to_string().replace(&record.key.hex(), "KEY").replace(&record.output.hex(), "OBJECT")
}

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let (test, _) = ran();
    insta::assert_snapshot!(test.done("verify"), @r"
    exit 0
    --- stdout
    2 objects, SIZE, and 2 records: all as they were written
    ");
    insta::assert_snapshot!(test.done("verify a.rgm few"), @r"
    exit 0
    --- stdout
    1 object, SIZE, and 1 record: all as they were written
    ");
    insta::assert_snapshot!(test.run("verify a.rgm fev"), @r"
    exit 1
    --- stderr
    error: the recipe has no step `fev`
      hint: did you mean `few`?
    ");
    assert_eq!(test.run("verify --store elsewhere").status, 1);
}

#[test]
fn a_damaged_object_is_named_moved_aside_and_made_again() {
    let (test, store) = ran();
    let facts = of(&store, "facts");
    change(&store, &facts);
    // A look at the lengths does not show it; to read it does.
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
    insta::assert_snapshot!(test.run("verify a.rgm --dry-run"), @r"
    exit 5
    --- stdout
    damaged: `rows.jsonl` of object DIGEST, made by `facts`
      left where it is
    2 objects, SIZE, and 2 records: 1 damaged
    ");
    test.done("verify a.rgm few");
    insta::assert_snapshot!(masked(&test.run("verify a.rgm"), &facts), @r"
    exit 5
    --- stdout
    damaged: `rows.jsonl` of object DIGEST, made by `facts`
      moved to .regimen/damaged/OBJECT.0; the next run makes it again
    2 objects, SIZE, and 2 records: 1 damaged
    ");
    insta::assert_snapshot!(test.done("verify a.rgm"), @r"
    exit 0
    --- stdout
    not made: facts, few
    0 objects, SIZE, and 0 records: all as they were written
    ");
    assert_eq!(test.done("run a.rgm --json").made(), ["facts"]);
    test.done("verify a.rgm");
    // What was set aside is there to be looked at until `gc`.
    assert_eq!(fs::read_dir(test.path(".regimen/damaged")).unwrap().count(), 1);
    test.done("gc a.rgm");
    assert_eq!(fs::read_dir(test.path(".regimen/damaged")).unwrap().count(), 0);
}

#[test]
fn a_damaged_record_is_named_moved_aside_and_made_again() {
    let (test, store) = ran();
    let few = of(&store, "few");
    let path = test.path(&format!(".regimen/records/{}.json", few.key));
    let text = fs::read_to_string(&path).unwrap();
    // Other metrics are as good JSON as any; but they are not what was written.
    fs::write(&path, text.replace("\"bytes\": 2", "\"bytes\": 3")).unwrap();
    insta::assert_snapshot!(masked(&test.run("verify"), &few), @r"
    exit 5
    --- stdout
    damaged: the record .regimen/records/KEY.json
      moved to .regimen/damaged/KEY.json.0; the next run makes it again
    2 objects, SIZE, and 2 records: 1 damaged
    ");
    assert_eq!(test.done("run a.rgm --json").made(), ["few"]);
    insta::assert_snapshot!(test.done("verify --json").stdout, @r#"{"objects":2,"bytes":1173,"records":2,"not_made":[],"damaged":[]}"#);
}

#[test]
fn objects_without_records_are_verified_too() {
    let (test, store) = ran();
    let facts = of(&store, "facts");
    fs::remove_file(test.path(&format!(".regimen/records/{}.json", facts.key))).unwrap();
    test.done("verify");
    change(&store, &facts);
    insta::assert_snapshot!(masked(&test.run("verify"), &facts), @r"
    exit 5
    --- stdout
    damaged: object DIGEST
      moved to .regimen/damaged/OBJECT.0; the next run makes it again
    2 objects, SIZE, and 1 record: 1 damaged
    ");
}

#[test]
fn a_second_run_of_a_step_is_compared_and_changes_nothing() {
    let (test, store) = ran();
    insta::assert_snapshot!(test.done("verify a.rgm few --rerun"), @r"
    exit 0
    --- stdout
    few (take): the same bytes again, DIGEST, in DURATION
    ");
    // As if the stage had given something else then: an object of other bytes under a record of this key.
    let few = of(&store, "few");
    let Ok(regimen::store::Claimed::Mine(claim)) = ({
        fs::remove_dir_all(store.object(&few.output)).unwrap();
        store.claim(&few.key, |_| true)
    }) else {
        panic!("it is gone")
    };
    let rows = fs::read_to_string(store.object(&of(&store, "facts").output).join("rows.jsonl")).unwrap();
    let line = rows.lines().nth(3).unwrap();
    fs::write(claim.out().join("rows.jsonl"), format!("{line}\n{line}\n")).unwrap();
    fs::write(claim.out().join("dataset.json"), "{}").unwrap();
    let facts = regimen::store::Facts {
        fields: few.fields.clone(),
        stage: few.stage.clone(),
        address: few.address.clone(),
        run: few.run.clone(),
        seconds: few.seconds,
        metrics: few.metrics.clone(),
        cost: few.cost.clone(),
        review: None,
    };
    let other = claim.commit(facts).unwrap();
    insta::assert_snapshot!(test.run("verify a.rgm few --rerun"), @r"
    exit 3
    --- stdout
    few (take): other bytes than before; `dataset.json` is the first file that differs, at byte 1
      kept DIGEST, now DIGEST
    ");
    assert_eq!(store.done(&few.key), Some(other));
    assert_eq!(fs::read_dir(test.path(".regimen/scratch")).unwrap().count(), 0);

    // A step whose input is damaged is not to blame.
    let facts = of(&store, "facts");
    change(&store, &facts);
    insta::assert_snapshot!(masked(&test.run("verify a.rgm few --rerun"), &facts), @r"
    exit 5
    --- stdout
    damaged: `rows.jsonl` of object DIGEST, made by `facts`
      moved to .regimen/damaged/OBJECT.0; the next run makes it again
    2 objects, SIZE, and 2 records: 1 damaged
    ");
    insta::assert_snapshot!(test.run("verify a.rgm few --rerun"), @r"
    exit 1
    --- stderr
    error: `few` is not made, so there is nothing to compare with
      hint: `regimen run` makes it
    ");
    assert_eq!(test.run("verify --rerun").status, 1);
}

#[test]
fn a_damaged_index_is_moved_aside_and_made_again_with_a_note() {
    let (test, _) = ran();
    let path = test.path(".regimen/index/db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    // Whoever only reads has no need of it.
    test.done("verify");
    test.write("a.rgm", &RECIPE.replace("rows = 2 rows", "rows = 3 rows"));
    let said = test.done("run a.rgm").stderr;
    assert!(said.contains("the index was damaged; it is made again, and kept as .regimen/damaged/index.0"), "{said}");
    test.write("a.rgm", &RECIPE.replace("rows = 2 rows", "rows = 4 rows"));
    let said = test.done("run a.rgm").stderr;
    assert!(!said.contains("index"), "{said}");
}
