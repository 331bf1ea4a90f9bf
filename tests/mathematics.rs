//! The verifier of mathematical answers: what it holds to be equal, on cases of its own and on files of others.

use std::{env, fs};

use regimen::reward::answer::{Verdict, grade};
use serde_json::Value;

/// Measures agreement on a file of cases: `REGIMEN_CASES=cases.jsonl cargo test agreement -- --ignored --nocapture`.
/// A row holds `gold`, `pred` and `expected`, which is 1 where they are equal.
#[test]
#[ignore = "needs a file of cases in REGIMEN_CASES"]
fn agreement_on_a_file_of_cases() {
    let text = fs::read_to_string(env::var("REGIMEN_CASES").unwrap()).unwrap();
    let mut agreed = 0;
    let mut disagreements = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (gold, pred) = (row["gold"].as_str().unwrap(), row["pred"].as_str().unwrap());
        let verdict = grade(pred, gold);
        if (verdict == Some(Verdict::Correct)) == (row["expected"] == 1) {
            agreed += 1;
        } else {
            let tail: String = pred.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            disagreements.push(format!("{}: {gold} | {tail} | {verdict:?}, expected {}", index + 1, row["expected"]));
        }
    }
    println!("{agreed} of {} agree\n{}", agreed + disagreements.len(), disagreements.join("\n"));
    assert!(agreed * 100 >= 95 * (agreed + disagreements.len()));
}
