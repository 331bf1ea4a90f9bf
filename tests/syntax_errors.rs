//! What a person sees who writes a recipe wrong: the input, and beside it what is said of it.

use regimen::{
    base::span::Sources,
    report::diagnostics::{Colour, SCREENFUL, render},
    syntax::parse,
};

/// Each text, then its complaints as `line:columns message (hint)`.
fn complaints(texts: &[&str]) -> String {
    texts.iter().map(|text| complaint(text)).collect::<Vec<_>>().join("\n")
}

fn complaint(text: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", text);
    let mut shown = text.lines().map(|line| format!("{line}\n")).collect::<String>();
    for it in parse(id, text).1.iter() {
        let at = sources.place(it.span.expect("a place")).expect("a source");
        let hint = it.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
        shown += &format!("    {}:{}-{} {}{hint}\n", at.line, at.column, at.end_column, it.message);
    }
    shown
}

fn screen(text: &str) -> String {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", text);
    render(&parse(id, text).1, &sources, Colour::Plain, SCREENFUL)
}

#[test]
fn items() {
    let texts = [
        "parm p: int = 3",
        "let x = 3",
        "p: int = 3",
        "my-name = 3",
        "grpo(base)",
        "import std.r1",
        "input = load(\"x\")",
        "x == 3",
        "x := 3",
        "for m in y { m }",
        "42",
        "return x",
        "assert a > b",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    parm p: int = 3
        1:6-7 expected `=`, found `p` (did you mean `param`?)

    let x = 3
        1:5-6 expected `=`, found `x` (leave `let` away: `x = ..`)

    p: int = 3
        1:2-3 expected `=`, found `:` (declare it: `param p: ..` or `input p: ..`)

    my-name = 3
        1:3-4 expected `=`, found `-` (names are joined with `_`: `my_name`)

    grpo(base)
        1:5-6 expected `=`, found `(` (give the result a name: `name = grpo(..)`)

    import std.r1
        1:8-11 expected `=`, found `std` (write `use`: `use std.r1` for a library, `use ./other.rgm as other` for a recipe)

    input = load("x")
        1:7-8 expected a name, found `=` (`input` is a word of the language; choose another name)

    x == 3
        1:3-5 expected `=`, found `==` (a result is named with one `=`)

    x := 3
        1:3-5 expected `=`, found `:=` (write `=`)

    for m in y { m }
        1:1-4 expected an item, found the keyword `for` (a fan-out is a value with a name: `name = for x in values { .. }`)

    42
        1:1-3 expected an item, found `42` (a line starts with `use`, `param`, `input`, `stage`, `require`, `output` or `name = ..`)

    return x
        1:8-9 expected `=`, found `x` (results are named with `output`)

    assert a > b
        1:8-9 expected `=`, found `a` (conditions are written with `require`)
    "#);
}

#[test]
fn declarations() {
    let texts = [
        "param p = 3",
        "param p = \"x\"",
        "param p: int 16",
        "param p: int = 16 in 5",
        "param p: = 3",
        "param: int",
        "use std.",
        "use std.r1 { a b }",
        "output",
        "output a b",
        "output a,,b",
        "require",
        "require a = b",
        "input x: Dataset<problem = \"a\"",
        "input x: list<int) = 3",
        "x = f() as",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    param p = 3
        1:9-10 expected `:`, found `=` (write its type after the name: `p: int`)

    param p = "x"
        1:9-10 expected `:`, found `=` (write its type after the name: `p: str`)

    param p: int 16
        1:14-16 expected a new line, found `16` (a default follows `=`)

    param p: int = 16 in 5
        1:23-23 expected `..`, found the end of the line (bounds are written `in 2..64`)

    param p: = 3
        1:10-11 expected a type, found `=`

    param: int
        1:6-7 expected a name, found `:`

    use std.
        1:9-9 expected a name, found the end of the line

    use std.r1 { a b }
        1:16-17 expected `,` or `}`, found `b`

    output
        1:7-7 expected a name, found the end of the line

    output a b
        1:10-11 expected `,` or a new line, found `b`

    output a,,b
        1:10-11 expected a name or a new line, found `,`

    require
        1:8-8 expected an expression, found the end of the line

    require a = b
        1:11-12 expected a new line, found `=` (compare with `==`)

    input x: Dataset<problem = "a"
        1:26-27 expected `,` or `>`, found `=`

    input x: list<int) = 3
        1:18-19 expected `,` or `>`, found `)`

    x = f() as
        1:11-11 expected a name, found the end of the line
    "#);
}

#[test]
fn expressions() {
    let texts = [
        "x =",
        "x = a +",
        "x = f(a, lr: 3e-6)",
        "x = f(a b)",
        "x = [1 2]",
        "x = a b",
        "x = f(output)",
        "x = f(,)",
        "require a < b < c",
        "x = if a { b }",
        "x = if a b else c",
        "x = a then b",
        "x = for m of [a] { m }",
        "x = a && b",
        "x = !a",
        "x = a ? b : c",
        "x = 2 ** 3",
        "x = a.",
        "x = -> 3",
        "x = f(a = b = c)",
        "x = f(n = 4 seed = 3)",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    x =
        1:4-4 expected an expression, found the end of the line

    x = a +
        1:8-8 expected an expression, found the end of the line

    x = f(a, lr: 3e-6)
        1:12-13 expected `=`, found `:` (arguments are given with `=`: `lr = ..`)

    x = f(a b)
        1:9-10 expected `,` or `)`, found `b` (separate arguments with `,`)

    x = [1 2]
        1:8-9 expected `,` or `]`, found `2` (separate the parts of a list with `,`)

    x = a b
        1:7-8 expected a new line, found `b`

    x = f(output)
        1:13-14 expected `=`, found `)` (`output` is a word of the language; choose another name)

    x = f(,)
        1:7-8 expected an expression, found `,`

    require a < b < c
        1:15-16 expected a new line, found `<` (join two comparisons with `and`)

    x = if a { b }
        1:15-15 expected `else`, found the end of the line (an `if` is a value, so it needs both branches: `if condition { a } else { b }`)

    x = if a b else c
        1:10-11 expected `{`, found `b` (the value stands in braces: `{ value }`)

    x = a then b
        1:13-13 expected `after`, found the end of the line (a change is written `A then B after 100 steps`)

    x = for m of [a] { m }
        1:11-13 expected `in`, found `of` (a fan-out is written `for x in values { .. }`)

    x = a && b
        1:7-9 expected a new line, found `&&` (write `and`)

    x = !a
        1:5-6 expected an expression, found `!` (write `not`)

    x = a ? b : c
        1:7-8 expected a new line, found `?` (choose with `if condition { a } else { b }`)

    x = 2 ** 3
        1:7-9 expected a new line, found `**` (there is no power operator; multiply, or write the number out)

    x = a.
        1:7-7 expected a name, found the end of the line

    x = -> 3
        1:5-7 expected an expression, found `->`

    x = f(a = b = c)
        1:13-14 expected `,` or `)`, found `=` (compare with `==`)

    x = f(n = 4 seed = 3)
        1:18-19 expected `,` or `)`, found `=` (separate arguments with `,`: `, seed = ..`)
    "#);
}

#[test]
fn values() {
    let texts = [
        "x = 5steps",
        "x = 20Mtokens",
        "x = 5K",
        "x = 1__0",
        "x = .5",
        "x = 3x",
        "x = 99999999999999999999",
        "x = 1e999",
        "x = \"open",
        "x = \"a\\q\"",
        "x = 'a'",
        "x = \u{201c}a\u{201d}",
        "x = a\u{a0}+ b",
        "x = caf\u{e9}",
        "x = 5; y = 3",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    x = 5steps
        1:5-11 expected an expression, found `5steps` (write a space before the unit: `5 steps`)

    x = 20Mtokens
        1:5-14 expected an expression, found `20Mtokens` (write a space before the unit: `20M tokens`)

    x = 5K
        1:5-7 expected an expression, found `5K` (the suffixes are `k`, `M`, `G` and `T`)

    x = 1__0
        1:5-9 expected an expression, found `1__0` (`_` stands between two digits: `10_000`)

    x = .5
        1:5-6 expected an expression, found `.` (numbers start with a digit: `0.5`)

    x = 3x
        1:5-7 expected an expression, found `3x` (a name cannot start with a digit, and a unit needs a space: `3 x`)

    x = 99999999999999999999
        1:5-25 the number `99999999999999999999` is too large (whole numbers reach to 9_223_372_036_854_775_807; write larger ones with an exponent)

    x = 1e999
        1:5-10 the number `1e999` is too large (whole numbers reach to 9_223_372_036_854_775_807; write larger ones with an exponent)

    x = "open
        1:5-10 this text is never closed (add `"` at its end)

    x = "a\q"
        1:7-9 expected an escape of `n`, `t`, `r`, `"` or `\`, found `\q` (write `\\` for a backslash)

    x = 'a'
        1:5-6 expected an expression, found `'` (texts are written between double quotes, `"`)

    x = “a”
        1:5-6 expected an expression, found `“` (texts are written between straight double quotes, `"`)

    x = a + b
        1:6-7 expected a new line, found a no-break space (replace it with an ordinary space)

    x = café
        1:5-9 expected a new line, found `café` (names are written with the letters a to z, digits and `_`)

    x = 5; y = 3
        1:6-7 expected a new line, found `;` (remove it: every item stands on its own line)
    "#);
}

#[test]
fn brackets() {
    let texts = [
        "x = f(a))",
        ")",
        "x = f([1, 2)",
        "x = f(a,\ny = 3",
        "x = f(\n  a,\n  b\n",
        "stage s() -> Model {\n  output x\ny = 3",
        "stage s(a: int) -> Model {\n  x = f(\n  output x\n}\ny = )",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    x = f(a))
        1:9-10 this `)` closes nothing (remove it, or open a bracket before it)

    )
        1:1-2 this `)` closes nothing (remove it, or open a bracket before it)

    x = f([1, 2)
        1:12-13 expected `,` or `]`, found `)`

    x = f(a,
    y = 3
        1:6-7 this `(` is never closed (add `)`)

    x = f(
      a,
      b
        1:6-7 this `(` is never closed (add `)`)

    stage s() -> Model {
      output x
    y = 3
        1:20-21 this `{` is never closed (add `}` after the last item of the body)

    stage s(a: int) -> Model {
      x = f(
      output x
    }
    y = )
        2:8-9 this `(` is never closed (add `)`)
        5:5-6 expected an expression, found `)`
    "#);
}

#[test]
fn stages() {
    let texts = [
        "stage s(a: int) : Model = builtin",
        "stage s(a: int) -> Model",
        "stage s(a) -> Model = builtin",
        "stage s() -> Model = builtin { output x }",
        "stage s() -> Model { output x } y",
        "stage s(a: int -> Model = builtin",
        "stage -> Model = builtin",
    ];
    insta::assert_snapshot!(complaints(&texts), @r#"
    stage s(a: int) : Model = builtin
        1:17-18 expected `->`, found `:` (the type of the result follows the parameters: `-> Model`)

    stage s(a: int) -> Model
        1:25-25 expected `{` or `= builtin`, found the end of the line (a stage has a body, `{ .. }`, or is built in, `= builtin`)

    stage s(a) -> Model = builtin
        1:10-11 expected `:`, found `)` (write its type after the name: `a: Type`)

    stage s() -> Model = builtin { output x }
        1:1-29 a built-in stage cannot have a body (remove `= builtin` or the body)

    stage s() -> Model { output x } y
        1:33-34 expected a new line, found `y` (items stand on lines of their own)

    stage s(a: int -> Model = builtin
        1:16-18 expected `,` or `)`, found `->`

    stage -> Model = builtin
        1:7-9 expected a name, found `->`
    "#);
}

#[test]
fn every_mistake_of_a_file_is_shown_at_once() {
    let text = "\
use std.r1
param group: int = 16 in 2..
zero = grpo(base, math, lr: 3e-6)
cold = review(drafts
dev1 = sft(zero, cold, budget = 2epochs)

dev2 = sft(dev1, [cold, zero)
output dev1 dev2
";
    insta::assert_snapshot!(screen(text), @"
    error: expected an expression, found the end of the line
       ,-[ recipe.rgm:2:29 ]
       |
     2 | param group: int = 16 in 2..
       |                            ^
       = hint: a range has both its ends: `1..3`

    error: expected `=`, found `:`
       ,-[ recipe.rgm:3:27 ]
       |
     3 | zero = grpo(base, math, lr: 3e-6)
       |                           ^
       = hint: arguments are given with `=`: `lr = ..`

    error: this `(` is never closed
       ,-[ recipe.rgm:4:14 ]
       |
     4 | cold = review(drafts
       |              ^
       = hint: add `)`

    error: expected an expression, found `2epochs`
       ,-[ recipe.rgm:5:33 ]
       |
     5 | dev1 = sft(zero, cold, budget = 2epochs)
       |                                 ^^^^^^^
       = hint: write a space before the unit: `2 epochs`

    error: expected `,` or `]`, found `)`
       ,-[ recipe.rgm:7:29 ]
       |
     7 | dev2 = sft(dev1, [cold, zero)
       |                  ^          ^
       |                  |
       |                  `------------- this `[` is open

    error: expected `,` or a new line, found `dev2`
       ,-[ recipe.rgm:8:13 ]
       |
     8 | output dev1 dev2
       |             ^^^^
    ");
}

#[test]
fn a_screen_holds_ten_errors() {
    let text = "x = )\n".repeat(12);
    let shown = screen(&text);
    assert_eq!(shown.matches("error:").count(), 10);
    assert!(shown.ends_with("\nand 2 more errors\n"));
}
