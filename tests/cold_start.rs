//! The four ways to cold-start data, from nothing to the training that they are for.

use std::{collections::BTreeSet, fs};

use regimen::{data::rows::Sample, store::Store};

use crate::harness::Test;

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/cold_start.rgm");

#[test]
fn the_four_ways_run_end_to_end_and_what_a_person_refuses_is_not_learnt() {
    let test = Test::new();
    let run = format!("run {RECIPE} --set scale=quick --json");
    let first = test.done(&run);
    let made: BTreeSet<String> = first.made().into_iter().collect();
    for step in
        ["first.answers", "second.answers", "third.drafts", "third.readable", "cold.rows", "cold.refined", "dev1"]
    {
        assert!(made.contains(step), "{step}: {made:?}");
    }
    assert_eq!(test.done(&run).made(), Vec::<String>::new());
    let store = Store::open(test.path(".regimen"));
    let rows = |address: &str| -> Vec<Sample> {
        let record = store.records().into_iter().find(|it| it.address == address).unwrap();
        let text = fs::read_to_string(store.object(&record.output).join("rows.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let parts = ["first.answers", "second.answers", "third.readable"].map(|it| rows(it).len());
    assert!(parts.iter().all(|it| *it > 0), "{parts:?}");
    assert_eq!(rows("cold.refined").len(), parts.iter().sum::<usize>());

    // The same with a person, who refuses two rows and mends one.
    let run = format!("{run} --set cold.accept=person");
    assert_eq!(test.run(&run).status, 6);
    test.done("review cold.refined --by ada --refuse 1-2 --reason dull");
    test.done("review cold.refined --by ada --export rest.jsonl");
    let sheet = fs::read_to_string(test.path("rest.jsonl")).unwrap();
    let mut third: serde_json::Value = serde_json::from_str(sheet.lines().nth(2).unwrap()).unwrap();
    let completion = format!("{}\n", third["content"]["completion"].as_str().unwrap());
    third["content"]["completion"] = completion.clone().into();
    test.write("rest.jsonl", &format!("{third}\n"));
    test.done("review cold.refined --by ada --from rest.jsonl");
    test.done("review cold.refined --by ada --accept open");
    assert_eq!(test.done(&run).made()[0], "cold.refined");
    assert_eq!(rows("cold.refined").len(), parts.iter().sum::<usize>() - 2);
    let training = store.records().into_iter().find(|it| it.address == "dev1").unwrap();
    let reviewed = store.records().into_iter().find(|it| it.address == "cold.refined").unwrap();
    assert_eq!(training.fields["inputs"]["data"][0], reviewed.output.hex().as_str());
    let person = &reviewed.review.unwrap().people[0];
    assert_eq!((person.refused, person.edited), (2, 1));
    assert!(rows("cold.refined").iter().any(|row| row.completion == completion && row.lineage.seed.is_none()));
}
