//! `regimen score`: what the answers in a file are worth.

use crate::harness::Test;

const ROWS: &str = concat!(
    r#"{"question": "6*12", "answer": "72", "completion": "so \\boxed{72}"}"#,
    "\n",
    r#"{"question": "why", "answer": "???", "completion": "72"}"#,
    "\n",
    r#"{"prompt": [{"role": "user", "content": "q"}], "solution": "$x<3$", "#,
    r#""completions": [{"role": "assistant", "content": "<think>so</think><answer>3 > x</answer>"}], "completion_ids": [1, 2]}"#,
    "\n",
);

#[test]
fn every_row_has_its_object_and_its_place() {
    let test = Test::new().file("a.jsonl", ROWS);
    insta::assert_snapshot!(test.run("score a.jsonl --json --reward 2*accuracy+format"), @r#"
    exit 0
    --- stdout
    {"reward":2.0,"rewards":{"accuracy":1.0,"format":0.0}}
    {"reward":null,"rewards":{"accuracy":null,"format":0.0}}
    {"reward":3.0,"rewards":{"accuracy":1.0,"format":1.0}}
    "#);
}

#[test]
fn the_table_counts_what_has_no_value() {
    let test = Test::new().file("a.jsonl", ROWS);
    insta::assert_snapshot!(test.run("score a.jsonl --reward accuracy+format"), @r"
    exit 0
    --- stdout
    term        mean  spread  rows  no value
    accuracy       1       0     2         1
    format    0.3333  0.5774     3         0
    reward    1.5000  0.7071     2         1
    1 row without a reward: the right answer cannot be read
    ");
}

#[test]
fn what_cannot_be_scored_is_named_at_its_place() {
    let test = Test::new().file("a.jsonl", ROWS).file("b.jsonl", "{\"completion\": \"5\"}\n{\"completion\": 5}\n");
    insta::assert_snapshot!(test.run("score b.jsonl --reward format"), @r"
    exit 1
    --- stderr
    error: b.jsonl:2: `completion`: expected a text or a list of messages, found a number
    ");
    insta::assert_snapshot!(test.run("score b.jsonl --reward accuracy"), @r"
    exit 1
    --- stderr
    error: b.jsonl:1: the reward needs the right answer, expected a column `answer` or `solution`
    ");
    insta::assert_snapshot!(test.run("score a.jsonl --reward length_reward"), @r"
    exit 1
    --- stderr
    error: a.jsonl:1: the reward needs the length, expected a column `tokens` or `completion_ids`
    ");
    insta::assert_snapshot!(test.run("score a.jsonl --reward acuracy"), @r"
    exit 1
    --- stderr
    error: unknown name `acuracy`
       ,-[ --set:1:8 ]
       |
     1 | scored=acuracy
       |        ^^^^^^^
       = hint: did you mean `accuracy`?
    ");
}
