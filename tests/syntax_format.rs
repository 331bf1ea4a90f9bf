//! The formatter: one form, that of every shipped recipe; it changes no meaning and, once applied, nothing.

use std::{fs, path::Path};

use proptest::prelude::*;
use regimen::{
    base::span::SourceId,
    syntax::{bare::bare, format, parse},
};

fn formatted(text: &str) -> String {
    format(SourceId(0), text).unwrap()
}

/// Holds for every text: what parses is formatted to what says the same and stays as it is.
fn keeps(text: &str) {
    let (file, complaints) = parse(SourceId(0), text);
    let Ok(once) = format(SourceId(0), text) else {
        assert!(complaints.has_errors(), "refused although it parses: {text:?}");
        return;
    };
    let (again, _) = parse(SourceId(0), &once);
    assert_eq!(bare(again), bare(file), "{text:?} became {once:?}");
    assert_eq!(format(SourceId(0), &once).as_ref(), Ok(&once), "{text:?}");
    let comments = |text: &str| {
        let mut found: Vec<String> =
            text.lines().filter_map(|it| Some(it.split_once('#')?.1.trim().to_owned())).collect();
        found.sort();
        found
    };
    if !text.contains('"') {
        assert_eq!(comments(&once), comments(text), "{text:?}");
    }
}

#[test]
fn every_shipped_recipe_is_in_canonical_form() {
    for folder in ["stdlib", "workflows", "examples"] {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "rgm") {
                let text = fs::read_to_string(&path).unwrap();
                assert_eq!(formatted(&text), text, "{}", path.display());
            }
        }
    }
}

#[test]
fn blanks_lines_and_columns_are_put_right() {
    let text = "\n\n## The recipe.\nuse  std.reward{accuracy ,format}\n\n\n\nparam seed :int=17\nparam group:int=16 in 2 .. 64 # answers\n\
                input a:Dataset< chat|text >  =  \"a\"   as eval\nx=f( a,b =- 1 ,c=2 k )\n# note\nlonger = x . y [ z ]+1\n\
                short=not(a)and b<3 tokens\nrequire x>=- 1\noutput x ,\n  short,";
    insta::assert_snapshot!(formatted(&text.replace("2 k", "2k")), @r#"
    ## The recipe.
    use std.reward { accuracy, format }

    param seed:  int = 17
    param group: int = 16 in 2..64  # answers
    input a: Dataset<chat | text> = "a" as eval
    x = f(a, b = -1, c = 2k)
    # note
    longer = x.y[z] + 1
    short  = not (a) and b < 3 tokens
    require x >= -1
    output x, short
    "#);
}

#[test]
fn long_lines_are_broken_below_their_bracket() {
    let text = "model = grpo(base, train, budget = 2 steps, prompts = 2, group = 4, lr = cosine(1e-4 to 1e-5, warmup = 20 steps), \
                reward = accuracy then accuracy + format after 1 step, max_length = 16 tokens)\n\
                scores = for model in [base, zero, dev1, dev2, dev3] { eval(model, test, samples = if quick { 1 } else { 4 }, top_p = 0.95) }\n\
                require scores[base].pass1 >= 0.5 and scores[zero].pass1 >= 0.5 and scores[dev1].pass1 >= 0.5 and scores[dev2].pass1 > 0.25\n\
                stage tiny(text: Dataset<text>, width: int = 32, layers: int = 2, heads: int = 2, seed: int = 0 in 0..1_000_000) -> Model{\n\
                x=1\n\n\noutput x}";
    insta::assert_snapshot!(formatted(text), @r#"
    model  = grpo(base, train, budget = 2 steps, prompts = 2, group = 4, lr = cosine(1e-4 to 1e-5, warmup = 20 steps),
                  reward = accuracy then accuracy + format after 1 step, max_length = 16 tokens)
    scores = for model in [base, zero, dev1, dev2, dev3] {
        eval(model, test, samples = if quick { 1 } else { 4 }, top_p = 0.95)
    }
    require scores[base].pass1 >= 0.5 and scores[zero].pass1 >= 0.5 and scores[dev1].pass1 >= 0.5
        and scores[dev2].pass1 > 0.25
    stage tiny(
        text: Dataset<text>,
        width: int = 32,
        layers: int = 2,
        heads: int = 2,
        seed: int = 0 in 0..1_000_000,
    ) -> Model {
        x = 1

        output x
    }
    "#);
}

#[test]
fn comments_stay_where_they_belong() {
    let text = "x = f(  # opening\n  a, # first\n  # before b\n  b\n  # last\n)\nstage s( ## no docs\n  ## docs\n  a: int,\n\n  b: int) -> Model { # body\n\
                # one\n\n\n y = a + # why\n  b  # end\n  # two\n}\n# done";
    insta::assert_snapshot!(formatted(text), @"
    x = f(  # opening
        a,  # first
        # before b
        b,
        # last
    )
    stage s(  ## no docs
        ## docs
        a: int,

        b: int,
    ) -> Model {  # body
        # one

        y = a +  # why
            b  # end
        # two
    }
    # done
    ");
}

#[test]
fn a_comma_at_the_end_goes_and_its_comments_stay() {
    let text = "output a, b\n  # one\n\n  , # two\nx = 1\n";
    assert_eq!(formatted(text), "output a, b\n# one\n\n# two\nx = 1\n");
    keeps(text);
    keeps("output a,  # one\n# two\n");
}

#[test]
fn the_name_of_a_file_may_hold_words_of_the_language() {
    assert_eq!(formatted("use   ./train.as.rgm  as train\n"), "use ./train.as.rgm as train\n");
}

/// A bracket that closes a type is one, whatever stands behind it; between values `>=` stays whole.
#[test]
fn what_follows_a_type_is_parted_from_it() {
    let text = "param x: list<int>= [1]\na = command(\"..\", b) -> Dataset<problem>==c\nd = f(a < b, c>=d)\n";
    insta::assert_snapshot!(formatted(text), @r#"
    param x: list<int> = [1]
    a = command("..", b) -> Dataset<problem> == c
    d = f(a < b, c >= d)
    "#);
}

#[test]
fn a_text_with_mistakes_is_not_touched() {
    let complaints = format(SourceId(0), "x = f(").unwrap_err();
    assert_eq!(complaints.iter().next().unwrap().message, "this `(` is never closed");
}

/// An expression that parses, in any spelling.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "b_1",
        "3",
        "0.5",
        "600k",
        "1e-3",
        "20M tokens",
        "1 step",
        "\"x # y\"",
        "true",
        "seed",
        "to",
        "after",
        "from",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 4, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), prop::sample::select(vec!["+", "-", "*", "/", "and", "or", "<", ">=", "==", "to", ".."]))
                .prop_map(|((a, b), op)| format!("({a}  {op} {b})")),
            (two.clone(), prop::sample::select(vec!["# c\n", "\n", " ", "\n\n## d\n\n"]))
                .prop_map(|((a, b), gap)| format!("f({gap}{a},{gap}k = {b}{gap})")),
            (two.clone(), prop::sample::select(vec!["", ",", " , # e\n"]))
                .prop_map(|((a, b), end)| format!("[{a}, {b}{end}]")),
            two.clone().prop_map(|(a, b)| format!("if {a} {{ {b} }} else {{{a}}}")),
            two.clone().prop_map(|(a, b)| format!("for x in {a}, y in 1..3 {{ {b} }}")),
            (inner.clone()).prop_map(|a| format!("-{a}")),
            (inner.clone()).prop_map(|a| format!("(not {a})")),
            (inner.clone()).prop_map(|a| format!("({a} then {a} after 3 steps)")),
            inner.prop_map(|a| format!("scores[{a}].pass1")),
        ]
    })
}

fn recipe() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        expression().prop_map(|it| format!("name = {it}")),
        expression().prop_map(|it| format!("long_name_{} =\n   {it}   # trailing", it.len())),
        expression().prop_map(|it| format!("param x: (steps | epochs)? = {it}")),
        expression().prop_map(|it| format!("input x: Dataset<text|chat> = {it} as eval")),
        expression()
            .prop_map(|it| format!("stage s(a: int = {it}, ## d\n b: list<float>) -> Model {{\nq = {it}\noutput q }}")),
        Just("# a comment".to_owned()),
        Just("## docs\nuse std.reward { a, b }".to_owned()),
        Just(String::new()),
    ];
    prop::collection::vec(item, 0..8).prop_map(|it| it.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_form_says_the_same_and_stays(text in recipe()) {
        keeps(&text);
    }

    #[test]
    fn any_text_is_survived_by_the_formatter(text in "\\PC*|[ -~\n\t]*|(?s:.*)") {
        keeps(&text);
    }
}
