//! `regimen test`: the tests that stand in recipes pass, fail with their figures, and take no time twice.

use crate::harness::Test;

const RECIPE: &str = r#"
stage halves(data: Dataset<problem>) -> Dataset<problem> {
    kept = split(data, share = 0.5)
    output kept
}

test "a model that knows nothing answers nothing" {
    train = problems(rows = 40 rows, terms_min = 2, terms_max = 2)
    fresh = init(tokenizer(documents(train), vocab = 270), hidden = 16, layers = 1)
    score = eval(fresh, take(halves(train), rows = 4 rows), max_length = 4 tokens)
    require score.rows == 4 and score.pass1 < 0.5
}

test "a test may fail" {
    train = problems(rows = 40 rows, terms_min = 2, terms_max = 2)
    fresh = init(tokenizer(documents(train), vocab = 270), hidden = 16, layers = 1)
    score = eval(fresh, take(halves(train), rows = 4 rows), max_length = 4 tokens)
    require score.pass1 > 0.9
}
"#;

#[test]
fn tests_pass_and_fail_and_are_made_once() {
    let test = Test::new().file("a.rgm", RECIPE);
    let said = test.run("test a.rgm");
    insta::assert_snapshot!(said, @r"
    exit 4
    --- stdout
    ok      a model that knows nothing answers nothing (7 steps, 0 made before)
    FAILED  a test may fail (7 steps)
            require score.pass1 > 0.9: score.pass1 is 0
    2 tests, 1 failed
    ");
    let said = test.done("test a.rgm --only nothing");
    insta::assert_snapshot!(said.stdout, @r"
    ok      a model that knows nothing answers nothing (7 steps, 7 made before)
    1 test, 0 failed
    ");
}

#[test]
fn a_recipe_is_planned_without_its_tests() {
    let test = Test::new().file("a.rgm", RECIPE);
    assert_eq!(test.done("check a.rgm").stdout, "ok: 0 steps\n");
}

#[test]
fn tests_keep_their_form_when_formatted() {
    let ragged = "test   \"a\"{\n a=problems(rows=1 rows) # one\n\n\n  require   true\n}\n";
    let test = Test::new().file("a.rgm", ragged);
    test.done("fmt a.rgm");
    insta::assert_snapshot!(std::fs::read_to_string(test.path("a.rgm")).unwrap(), @r#"
    test "a" {
        a = problems(rows = 1 rows)  # one

        require true
    }
    "#);
    test.done("fmt --check a.rgm");
}
