//! What each stage made when its version was last set. A stage that makes something else needs another version, since its
//! version is all that its key knows of its code.
//!
//! `UPDATE=1 cargo test versions::` writes down what the stages make now, for those whose version has changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fmt::Write,
    fs,
    path::Path,
};

use regimen::{
    base::{digest::Digest, precision::Precision},
    store::Store,
};
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::harness::Test;

const RECIPE: &str = include_str!("fixtures/e2e/versions.rgm");
const ROWS: &str = "{\"question\": \"1+1=?\", \"answer\": \"2\"}\n";
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/versions.txt");

/// Digits that do not depend on how a processor sums: three of each figure.
fn figure(value: f64) -> String {
    format!("{value:.2e}")
}

/// What an artifact is, as far as it is the same on every machine.
fn fingerprint(object: &Path) -> String {
    let read = |name: &str| fs::read_to_string(object.join(name)).ok();
    if let Some(metrics) = read("metrics.jsonl") {
        let last: BTreeMap<String, Value> = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        let figures = last.iter().filter_map(|(name, it)| Some(format!("{name} {}", figure(it.as_f64()?))));
        return figures.collect::<Vec<_>>().join(", ");
    }
    if let Some(report) = read("report.json") {
        let report: BTreeMap<String, Value> = serde_json::from_str(&report).unwrap();
        let figures = report.iter().filter_map(|(name, it)| Some(format!("{name} {}", figure(it.as_f64()?))));
        return figures.collect::<Vec<_>>().join(", ");
    }
    if let Some(rows) = read("rows.jsonl") {
        // Which model drew a row differs from machine to machine as the models do.
        let strip = |line: &str| {
            let mut row: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            row.shift_remove("model");
            Value::from(row).to_string() + "\n"
        };
        let rows: String = rows.lines().map(strip).collect();
        return format!("rows {}", Digest::of(rows.as_bytes()).short());
    }
    if let Ok(bytes) = fs::read(object.join("model.safetensors")) {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let sum = |tensor: &TensorView| -> f64 {
            let precision = Precision::parse(&format!("{:?}", tensor.dtype())).unwrap();
            let mut numbers = vec![0.0; tensor.data().len() / precision.size()];
            precision.decode(tensor.data(), &mut numbers);
            numbers.into_iter().map(|it| f64::from(it.abs())).sum()
        };
        let sum: f64 = tensors.tensors().iter().map(|(_, tensor)| sum(tensor)).sum();
        let kinds: BTreeSet<_> = tensors.tensors().iter().map(|(_, it)| format!("{:?}", it.dtype())).collect();
        let kinds: String = kinds.iter().filter(|it| *it != "F32").map(|it| format!(", with {it}")).collect();
        return format!("weights {}{kinds}", figure(sum));
    }
    let folder = regimen::store::digest_folder(object).unwrap();
    format!("files {}", folder.short())
}

#[test]
fn a_stage_that_makes_something_else_has_another_version() {
    let test = Test::new().file("a.rgm", RECIPE).file("rows.jsonl", ROWS);
    test.done("run a.rgm --json --store s --threads 1");
    let store = Store::open(test.path("s"));
    let mut records = store.records();
    records.sort_by(|a, b| a.address.cmp(&b.address));
    let mut made: BTreeMap<String, (u64, String)> = BTreeMap::new();
    for record in &records {
        let version = record.fields["version"].as_u64().unwrap();
        let entry = made.entry(record.stage.clone()).or_insert((version, String::new()));
        writeln!(entry.1, "  {}: {}", record.address, fingerprint(&store.object(&record.output))).unwrap();
    }
    let text: String = made.iter().map(|(stage, (version, lines))| format!("{stage} {version}\n{lines}")).collect();
    let known = fs::read_to_string(KNOWN).unwrap_or_default();
    if known == text {
        return;
    }
    let versions = |text: &str| text.lines().filter(|it| !it.starts_with(' ')).map(str::to_owned).collect::<Vec<_>>();
    if env::var("UPDATE").is_ok() && versions(&known) != versions(&text) {
        fs::write(KNOWN, &text).unwrap();
        return;
    }
    assert_eq!(known, text, "a stage makes something else: give it another version, and run this with UPDATE=1");
}
