//! `regimen report`: the scores of a recipe side by side, as far as they are made.

use crate::harness::Test;

const RECIPE: &str = "
param seed: int = 1
train  = problems(rows = 40 rows, terms_min = 2, terms_max = 2)
vocab  = tokenizer(documents(train), vocab = 270)
zero   = init(vocab, hidden = 16, layers = 1, seed)
base   = init(vocab, hidden = 16, layers = 1, seed = 9)
scores = for model in [zero, base] { eval(model, take(train, rows = 4 rows), max_length = 2 tokens) }
output zero, scores
";

#[test]
fn scores_stand_in_the_order_of_the_recipe_as_far_as_they_are_made() {
    let test = Test::new().file("a.rgm", RECIPE);
    assert_eq!(test.done("report a.rgm").stdout, "2 reports are not made yet\n");
    test.done("run a.rgm");
    let labels = |said: &str| said.lines().map(|it| it.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>();
    let said = test.done("report a.rgm").stdout;
    assert_eq!(labels(&said), ["", "zero", "base"], "{said}");
    assert_eq!(said, test.done("run a.rgm").stdout, "a run ends with the same table");
    let said = test.done("report a.rgm --each seed=1,2").stdout;
    let expected = ["", "zero seed=1", "base", "", "", "1 report is not made yet"];
    assert_eq!(labels(&said), expected, "{said}");
    let figures = test.done("report a.rgm --json").json();
    assert_eq!(figures[0].as_array().unwrap().len(), 2);
}
