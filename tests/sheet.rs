//! Sheets of rows for a person: whatever the rows hold comes back, and mistakes are told at their lines.

use std::path::Path;

use proptest::prelude::*;
use regimen::{
    base::{decision::Verdict, digest::Digest},
    data::{
        rows::Kind,
        sheet::{Sheet, Slip},
    },
};
use serde_json::json;

fn rows(lines: &[String]) -> Vec<(Digest, String)> {
    lines.iter().map(|line| (Digest::of(line.as_bytes()), line.clone())).collect()
}

fn slip(row: usize, verdict: Verdict) -> Slip {
    Slip { row, verdict, reason: None, edited: None, by: None }
}

/// Text with all that a sheet could take for its own.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z ]{0,5}",
        Just("=== row 1 of 2  abc".to_owned()),
        Just("=== end".to_owned()),
        Just("--- answer".to_owned()),
        Just("decision: refuse".to_owned()),
        Just("# no comment".to_owned()),
        Just("\\".to_owned()),
        Just("\u{fc}\r".to_owned()),
        Just("\t\u{0}".to_owned()),
    ];
    prop::collection::vec(piece, 1..5).prop_map(|lines| format!("x{}", lines.join("\n")))
}

fn row(kind: Kind, [a, b, c]: [String; 3]) -> String {
    let row = match kind {
        Kind::Text => json!({"text": a}),
        Kind::Problem => json!({"question": a, "answer": b, "solution": c}),
        Kind::Chat => json!({"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}]}),
        Kind::Pair => json!({"prompt": a, "chosen": b, "rejected": c}),
        Kind::Label => json!({"prompt": a, "completion": b, "label": true}),
        Kind::Sample => json!({
            "question": a, "answer": b, "prompt": "p", "completion": c, "tokens": 3, "finish": "stop", "seed": 1,
            "draw": 2, "rewards": {"accuracy": 0.1},
        }),
    };
    row.to_string()
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Text, Kind::Problem, Kind::Chat, Kind::Pair, Kind::Label, Kind::Sample])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_sheet_that_nobody_touched_says_what_it_was_written_to_say(
        kind in kind(),
        texts in prop::collection::vec([text(), text(), text()], 1..4),
        verdicts in prop::collection::vec(0_usize..3, 4),
    ) {
        let lines: Vec<String> = texts.into_iter().map(|texts| row(kind, texts)).collect();
        let rows = rows(&lines);
        let sheet = Sheet { kind, rows: &rows };
        let verdict = |at: usize| [Verdict::Accept, Verdict::Refuse, Verdict::Undecided][verdicts[at]];
        let slips: Vec<Slip> = (0..rows.len()).map(|at| slip(at + 1, verdict(at))).collect();
        for text in [sheet.text("a head\nof lines", &slips).unwrap(), sheet.json(&slips).unwrap()] {
            prop_assert_eq!(sheet.read(Path::new("s"), &text).unwrap(), slips.clone());
        }
    }

    #[test]
    fn an_edit_comes_back_as_it_was_made(kind in kind(), old in [text(), text(), text()], new in [text(), text(), text()]) {
        let rows = rows(&[row(kind, old.clone())]);
        // Of a sample only the answers may change.
        let new = if kind == Kind::Sample { [old[0].clone(), new[1].clone(), new[2].clone()] } else { new };
        let edited = row(kind, new).replace(",\"seed\":1,\"draw\":2,\"rewards\":{\"accuracy\":0.1}", "");
        let sheet = Sheet { kind, rows: &rows };
        let slips = [Slip { edited: Some(edited.clone()), ..slip(1, Verdict::Edit) }];
        for text in [sheet.text("", &slips).unwrap(), sheet.json(&slips).unwrap()] {
            let read = sheet.read(Path::new("s"), &text).unwrap();
            let changed = read[0].verdict == Verdict::Edit;
            prop_assert!(changed || read[0].edited.is_none());
            prop_assert_eq!(read[0].edited.clone().unwrap_or_else(|| edited.clone()), edited.clone());
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(=== |--- |decision: |row 1 of 1|end|accept|\\{\"row\": ?1|\\}|\"|[a-z:\\\\\n]){0,20}") {
        let rows = rows(&[row(Kind::Problem, ["q".into(), "1".into(), "s".into()])]);
        let _ = Sheet { kind: Kind::Problem, rows: &rows }.read(Path::new("s"), &text);
    }
}

fn complaints(kind: Kind, line: &str, text: &str) -> String {
    let rows = rows(&[line.to_owned()]);
    let text = text.replace("DIGEST", &rows[0].0.short());
    match (Sheet { kind, rows: &rows }).read(Path::new("s.txt"), &text) {
        Ok(slips) => format!("{slips:?}"),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn mistakes_in_a_text_are_told_at_their_lines() {
    let line = row(Kind::Problem, ["1 + 1?".into(), "2".into(), "2".into()]);
    let body = "--- question\n1 + 1?\n--- answer\n2\n--- solution\n2\n";
    let tell = |text: &str| complaints(Kind::Problem, &line, text);
    let sheet = |decision: &str, body: &str| format!("# head\n=== row 1 of 1  DIGEST\n{decision}\n{body}=== end\n");
    insta::assert_snapshot!(tell(&sheet("decision: acept", body)), @"s.txt:3: expected accept, refuse, edit or undecided, found `acept`; did you mean `accept`?");
    insta::assert_snapshot!(tell(&sheet("", body)), @"s.txt:2: row 1 has no line `decision: ..`");
    insta::assert_snapshot!(tell(&sheet("verdict: accept", body)), @r"
    s.txt:3: expected `decision: ..`, found `verdict: accept`
    s.txt:2: row 1 has no line `decision: ..`
    ");
    insta::assert_snapshot!(tell(&sheet("decision: accept", "--- question\n1 + 1?\n--- anser\n2\n")), @"s.txt:2: expected the parts `question`, `answer`, `solution`, found `question`, `anser`");
    insta::assert_snapshot!(tell(&sheet("decision: accept", &body.replace("answer\n2", "answer\n "))), @"s.txt:2: row 1: expected a text in `answer`, found none");
    insta::assert_snapshot!(tell(&sheet("decision: accept", body).replace("=== end\n", "")), @"s.txt:10: expected `=== end` at the end of the sheet; it has been cut off");
    insta::assert_snapshot!(tell(&sheet("decision: accept", body).replace("DIGEST", "000000000000")), @"s.txt:2: row 1 is not the row that this sheet was written for");
    insta::assert_snapshot!(tell(&sheet("decision: accept", body).replace("row 1", "row 7")), @"s.txt:2: expected a row from 1 to 1, found `7`");
    insta::assert_snapshot!(tell(&sheet("decision: accept", body).replace("=== row 1 of 1  DIGEST", "=== row")), @"s.txt:2: expected `=== row N of N  DIGEST`, found `=== row`");
    insta::assert_snapshot!(tell("some words\n=== end\n"), @"s.txt:1: expected `=== row ..` before anything else");
    // A person who refuses a row need not leave it in order.
    insta::assert_snapshot!(tell(&sheet("decision: refuse too easy", &body.replace("answer\n2", "answer\n"))), @r#"[Slip { row: 1, verdict: Refuse, reason: Some("too easy"), edited: None, by: None }]"#);
    // Line ends of another system are no edit.
    insta::assert_snapshot!(tell(&sheet("decision: accept", body).replace('\n', "\r\n")), @"[Slip { row: 1, verdict: Accept, reason: None, edited: None, by: None }]");
}

#[test]
fn mistakes_in_json_lines_are_told_at_their_lines() {
    let line = row(Kind::Sample, ["1 + 1?".into(), "2".into(), "<answer>2</answer>".into()]);
    let tell = |text: &str| complaints(Kind::Sample, &line, text);
    insta::assert_snapshot!(tell("{\"decision\": \"accept\"}\n{\"row\": 9, \"decision\": \"accept\"}"), @r"
    s.txt:1: expected `row` or `digest`, found neither
    s.txt:2: there is no row 9: the rows are 1 to 1
    ");
    insta::assert_snapshot!(tell("{\"row\": 1}\n\n{\"row\": 1, \"decision\": \"yes\", \"why\": 1}\n{\"row\": 1"), @r"
    s.txt:1: expected a decision on a row: missing field `decision`
    s.txt:3: expected a decision on a row: unknown field `why`, expected one of `row`, `digest`, `decision`, `reason`, `by`, `content`
    s.txt:4: expected a JSON object, found `eof while parsing an object` at column 9
    ");
    let content = line.replace("1 + 1?", "2 + 2?");
    insta::assert_snapshot!(tell(&format!("{{\"row\": 1, \"decision\": \"accept\", \"content\": {content}}}")), @"s.txt:1: row 1: the question of a sample is what the model was asked; it stays as it is");
    insta::assert_snapshot!(tell("{\"row\": 1, \"decision\": \"accept\", \"content\": {\"text\": \"x\"}}"), @"s.txt:1: row 1: expected a row of the kind `sample`: missing field `question`");
}
