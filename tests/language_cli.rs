//! Commands about recipes as texts: fmt, doc, pin, files of parameters, where values come from.

use std::{io::Write, process::Stdio};

use crate::harness::Test;

const UGLY: &str = "a=problems( rows = 3 rows )\noutput a\n";
const PRETTY: &str = "a = problems(rows = 3 rows)\noutput a\n";

#[test]
fn fmt_brings_files_and_folders_into_form() {
    let test = Test::new().file("some/a.rgm", UGLY).file("some/b.rgm", PRETTY).file("bad.rgm", "a = (\n");
    let checked = test.run("fmt --check some");
    assert_eq!((checked.status, checked.stdout.as_str()), (1, "some/a.rgm\n"));
    assert_eq!(test.done("fmt some").stdout, "");
    assert_eq!(std::fs::read_to_string(test.path("some/a.rgm")).unwrap(), PRETTY);
    test.done("fmt --check some");
    let bad = test.run("fmt bad.rgm");
    assert_eq!(bad.status, 1);
    assert!(bad.stderr.contains("this `(` is never closed"), "{bad}");
    assert_eq!(std::fs::read_to_string(test.path("bad.rgm")).unwrap(), "a = (\n");
}

#[test]
fn fmt_reads_standard_input() {
    let test = Test::new();
    let mut child = test.command("fmt -").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(UGLY.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), PRETTY);
}

#[test]
fn doc_shows_a_stage_as_its_comments_do() {
    let test = Test::new().file("own.rgm", "## Mine.\nparam rows: int = 3 in 1..9\na = load(\"m\")\noutput a\n");
    insta::assert_snapshot!(test.done("doc tokenizer").stdout, @r#"
    stage tokenizer -> Tokenizer  (std.model)

    A byte-level BPE tokenizer, trained on a text.

      text: Dataset<text> as train
          The text whose frequent pairs become tokens.
      vocab: int = 512 in 265..1_000_000
          How many tokens there are, the special ones included.
      template: str? = none
          The chat template, in Jinja; the built-in one where it is left out.
    "#);
    assert!(test.done("doc own.rgm").stdout.contains("stage own -> a"));
    assert!(test.done("doc").stdout.contains("\nstd.merge: Merging"));
    assert!(test.run("doc tokeniser").stderr.contains("did you mean `tokenizer`?"));
}

#[test]
fn a_pinned_input_that_changes_is_an_error() {
    let recipe = "input mine: Dataset<problem> = \"mine.jsonl\" as eval\nfew = take(mine, rows = 1 rows)\noutput few\n";
    let row = "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n";
    let test = Test::new().file("recipe.rgm", recipe).file("mine.jsonl", row);
    test.done("pin recipe.rgm");
    let pinned = std::fs::read_to_string(test.path("recipe.rgm")).unwrap();
    let before = "input mine: Dataset<problem> = \"mine.jsonl\" @ blake3:";
    assert!(pinned.starts_with(before) && pinned[before.len() + 64..].starts_with(" as eval\n"), "{pinned}");
    test.done("plan recipe.rgm");
    test.write("mine.jsonl", &format!("{row}{row}"));
    let refused = test.run("plan recipe.rgm");
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("error: `mine.jsonl` does not hold what is pinned"), "{refused}");
    test.done("pin recipe.rgm mine");
    test.done("plan recipe.rgm");
    test.done("pin recipe.rgm --remove");
    assert_eq!(std::fs::read_to_string(test.path("recipe.rgm")).unwrap(), recipe);
}

#[test]
fn every_value_comes_from_somewhere() {
    let recipe = "param few: int = 2\na = problems(rows = few * 1 rows, digits = 2)\noutput a\n";
    let test = Test::new().file("recipe.rgm", recipe).file("some.yaml", "few: 5\na:\n  seed: 3\n  digits: 4\n");
    insta::assert_snapshot!(test.done("plan recipe.rgm --origins --params some.yaml --set a.digits=7").stdout, @r#"
    few          5        some.yaml:1
    a.digits     7        --set
    a.operators  "+-"     default
    a.rows       5 rows   recipe.rgm:2
    a.seed       3        some.yaml:3
    a.split      "train"  default
    a.terms_max  6        default
    a.terms_min  4        default
    "#);
}

#[test]
fn what_a_file_of_parameters_gets_wrong_is_shown_in_it() {
    let recipe = "param few: int = 2\na = problems(rows = few * 1 rows, digits = 2)\noutput a\n";
    let wrong = "# Kürzer.\nfwe: 5\na:\n  seed: \"a few\"\n  rows: 2 * tokens\n  digits: [1, 2]\n";
    let test = Test::new().file("recipe.rgm", recipe).file("wrong.yaml", wrong);
    insta::assert_snapshot!(test.run("check recipe.rgm --params wrong.yaml").stderr, @r#"
    error: nothing to set at `fwe`
       ,-[ wrong.yaml:2:1 ]
       |
     2 | fwe: 5
       | ^^^
       = hint: name a param or an input, or an argument of a step, such as `dev1.lr`

    error: expected a new line, found `few`
       ,-[ wrong.yaml:4:12 ]
       |
     4 |   seed: "a few"
       |            ^^^

    error: unknown name `tokens`
       ,-[ wrong.yaml:5:13 ]
       |
     5 |   rows: 2 * tokens
       |             ^^^^^^

    error: expected int, found list<int>
       ,-[ wrong.yaml:6:11 ]
       |
     6 |   digits: [1, 2]
       |           ^^^^^^
       = hint: each step takes one; try several with `for x in [..] { .. }`
    "#);
    test.write("wrong.yaml", "few: 5\n  a: 3\n");
    insta::assert_snapshot!(test.run("check recipe.rgm --params wrong.yaml").stderr, @"
    error: mapping values are not allowed in this context
       ,-[ wrong.yaml:2:4 ]
       |
     2 |   a: 3
       |   ^
    ");
}

#[test]
fn a_recipe_uses_another_beside_it() {
    let other = "param rows: int = 3\na = problems(rows = rows * 1 rows)\noutput a\n";
    let test = Test::new()
        .file("parts/other.rgm", other)
        .file("main.rgm", "use ./parts/other.rgm as other\nx = other(rows = 4)\noutput x\n");
    assert_eq!(test.done("run main.rgm --json").made(), ["x.a"]);
    test.write("wrong.rgm", "use ./parts/othr.rgm as other\nx = other(rows = 4)\noutput x\n");
    let said = test.run("check wrong.rgm").stderr;
    assert!(
        said.contains("cannot use `parts/othr.rgm`: there is no such file")
            && said.contains("did you mean `other.rgm`?"),
        "{said}"
    );
}

#[test]
fn shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(Test::new().done(&format!("completions {shell}")).stdout.contains("regimen"));
    }
}

#[test]
fn what_a_recipe_is_warned_of_is_shown_before_it_is_planned_or_run() {
    let recipe = "train = problems(rows = 3 rows)\nmore = problems(rows = 4 rows)\noutput train\n";
    let test = Test::new().file("a.rgm", recipe);
    let warned = |command: &str| {
        let said = test.done(command).stderr;
        said.split("\n\n").next().unwrap_or_default().lines().take(6).map(|it| format!("{it}\n")).collect::<String>()
    };
    insta::assert_snapshot!(warned("plan a.rgm"), @r"
    warning: nothing uses `more`, and it is no output
       ,-[ a.rgm:2:1 ]
       |
     2 | more = problems(rows = 4 rows)
       | ^^^^
       = hint: write `output more` if it is wanted, or remove it
    ");
    assert_eq!(warned("run a.rgm --json"), warned("plan a.rgm"));
    assert_eq!(warned("why a.rgm train"), "", "who asks for one step is not told of others");
}
