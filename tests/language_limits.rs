//! No short recipe takes the machine's memory or its time: what doubles with each line is stopped, and what is the same on
//! many ways is looked at once.

use std::fmt::Write;

use regimen::{
    base::span::Sources,
    lang::{self, Overrides},
    syntax::parse,
};

/// The messages about a recipe, and how many steps it has.
fn checked(text: &str) -> (Vec<String>, usize) {
    let mut sources = Sources::default();
    let id = sources.add("a.rgm", text);
    let (file, complaints) = parse(id, text);
    assert!(complaints.is_empty(), "{complaints:?}");
    let (program, complaints) = lang::check(&mut sources, &file, &Overrides::default());
    (complaints.iter().map(|it| it.message.clone()).collect(), program.calls.len())
}

/// A first line, and forty lines of which each uses the one before twice.
fn doubling(first: &str, next: impl Fn(&str) -> String) -> String {
    let mut text = first.to_owned();
    for line in 1..=40 {
        let _ = write!(text, "\na{line} = {}", next(&format!("a{}", line - 1)));
    }
    text
}

#[test]
fn what_doubles_with_each_line_is_stopped() {
    let report = "m = dataset(\"x.jsonl\", kind = \"problem\")\ns = eval(load(\"m\"), m)\n";
    let texts = [
        doubling("a0 = [1, 2]", |a| format!("[{a}, {a}]")),
        doubling("a0 = accuracy", |a| format!("{a} + {a}")),
        doubling("a0 = correct", |a| format!("{a} and {a}")),
        doubling("a0 = correct", |a| format!("not {a}")),
        doubling(&format!("{report}a0 = s.pass1"), |a| format!("{a} + {a}")),
        doubling(&format!("{report}a0 = s.pass1 > 0.5"), |a| format!("{a} or {a}")),
        doubling("a0 = 1e-3", |a| format!("{a} then {a} after 1 steps")),
        "a = for x in 1..1000, y in 1..1000, z in 1..1000 { problems(rows = 20 rows, seed = x) }".to_owned(),
        "a = for x in 1..10000, y in 1..10000, z in 1..10000 { x }".to_owned(),
    ];
    let shown: Vec<String> = texts.iter().map(|text| checked(text).0.join("; ")).collect();
    insta::assert_snapshot!(shown.join("\n"), @"
    the recipe comes to more than 4000000 values
    the expression has more than 1000 parts
    the expression has more than 1000 parts

    the expression has more than 1000 parts
    the expression has more than 1000 parts
    the expression has more than 1000 parts
    the `for` has more than 100000 members
    the `for` has more than 100000 members
    ");
}

#[test]
fn many_ways_to_the_same_steps_are_looked_at_once() {
    let mut text = "facts = problems(rows = 20 rows)\n".to_owned();
    for side in ["a", "b"] {
        let _ = writeln!(text, "{side}0 = documents(facts)");
        for line in 1..=60 {
            let before = line - 1;
            let _ = writeln!(text, "{side}{line} = mix([{side}{before}, {side}{before}], rows = [1 row, 1 row])");
        }
        let _ = writeln!(text, "m{side} = init(tokenizer({side}60), layers = 1)");
    }
    text.push_str("soup = merge.linear([ma, mb])\noutput soup\n");
    assert_eq!(checked(&text), (Vec::new(), 128));
}
