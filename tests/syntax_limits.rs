//! The parser holds against any text: no stack runs out, nothing panics, and every span lies in the text.

use proptest::prelude::*;
use regimen::{
    base::span::{SourceId, Sources},
    report::diagnostics::{Colour, render},
    syntax::parse,
};

fn first_complaint(text: &str) -> String {
    parse(SourceId(0), text).1.iter().next().map_or("nothing".to_owned(), |it| it.message.clone())
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let deep = 20_000;
    let texts = [
        format!("x = {}", "(".repeat(deep)),
        format!("x = {}1{}", "[".repeat(deep), "]".repeat(deep)),
        format!("x = {}a", "not ".repeat(deep)),
        format!("x = {}1", "- ".repeat(deep)),
        format!("x = a{}", ".b".repeat(deep)),
        format!("x = a{}", "()".repeat(deep)),
        format!("x = 1{}", " + 1".repeat(deep)),
        format!("x = a{}", " then b after 1 steps".repeat(deep)),
        format!("x = {}{{ b }}", "if a { b } else ".repeat(deep)),
        format!("param x: {}int", "list<".repeat(deep)),
        format!("param x: {}int", "list<a | ".repeat(deep)),
        format!("x = {}", "for a in b { ".repeat(deep)),
        "stage a() -> T {\n".repeat(1_000),
        "stage a() -> T { ".repeat(1_000),
    ];
    let shown: Vec<String> = texts
        .iter()
        .map(|text| {
            let start: String = text.chars().take(24).collect();
            let first = first_complaint(text);
            format!("{} : {first}", start.trim_end())
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    x = (((((((((((((((((((( : brackets nest more than 64 deep
    x = [[[[[[[[[[[[[[[[[[[[ : brackets nest more than 64 deep
    x = not not not not not : the expression nests more than 256 deep
    x = - - - - - - - - - - : the expression nests more than 256 deep
    x = a.b.b.b.b.b.b.b.b.b. : the expression nests more than 256 deep
    x = a()()()()()()()()()( : the expression nests more than 256 deep
    x = 1 + 1 + 1 + 1 + 1 + : the expression nests more than 256 deep
    x = a then b after 1 ste : the expression nests more than 256 deep
    x = if a { b } else if a : the expression nests more than 256 deep
    param x: list<list<list< : brackets nest more than 64 deep
    param x: list<a | list<a : brackets nest more than 64 deep
    x = for a in b { for a i : brackets nest more than 64 deep
    stage a() -> T {
    stage a : this `{` is never closed
    stage a() -> T { stage a : brackets nest more than 64 deep
    "#);
}

/// Nesting and chains that people write are well within the limits, on the small stack of a thread.
#[test]
fn usual_nesting_is_no_error() {
    let brackets = format!("x = {}1{}", "f([".repeat(30), "])".repeat(30));
    let chains = format!("x = {}1{}{}", "(".repeat(60), ")".repeat(60), " + 1".repeat(150));
    for text in [brackets, chains] {
        assert_eq!(first_complaint(&text), "nothing");
    }
}

/// Words of the language and of none, in any order.
fn scraps() -> impl Strategy<Value = String> {
    let words = [
        "param", "input", "stage", "use", "output", "require", "x", "y", "=", "==", ":", "(", ")", "[", "]", "{", "}",
        "<", ">", ",", ".", "..", "->", "|", "?", "+", "-", "*", "/", "if", "else", "for", "in", "then", "after", "to",
        "and", "not", "as", "builtin", "3", "0.5", "20M", "5x", "steps", "\"a\"", "\"", "\\", "#", "##", "\n", "\n",
        "\t", "\r\n", "ß", "\u{201c}",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|it| it.join(" "))
}

/// Every span in something's debug text, as bytes.
fn spans(shown: &str) -> Vec<(usize, usize)> {
    let number = |text: &str| text.split(|it: char| !it.is_ascii_digit()).next().and_then(|it| it.parse().ok());
    let all = shown.split("start: ").skip(1);
    all.filter_map(|it| Some((number(it)?, number(it.split("end: ").nth(1)?)?))).collect()
}

fn survives(text: &str) {
    let mut sources = Sources::default();
    let id = sources.add("any.rgm", text);
    let (file, diagnostics) = parse(id, text);
    for (start, end) in spans(&format!("{file:?} {diagnostics:?}")) {
        let slice = text.get(start..end);
        assert!(
            slice.is_some_and(|it| it == it.trim_end_matches([' ', '\t', '\n'])),
            "{start}..{end} is {slice:?} in {text:?}"
        );
    }
    assert_eq!(render(&diagnostics, &sources, Colour::Ansi, usize::MAX).is_empty(), diagnostics.is_empty());
}

proptest! {
    // A failure is shown whole and becomes a test of its own, so no file keeps it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in "\\PC*|[ -~\n\t]*|(?s:.*)") {
        survives(&text);
    }

    #[test]
    fn any_scraps_are_survived(text in scraps()) {
        survives(&text);
    }
}
