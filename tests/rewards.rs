//! Rewards and conditions: what an answer is worth, and which answers are kept.

use proptest::prelude::*;
use regimen::{
    base::{
        predicate::{Comparison, Constant, Predicate},
        reward::{Reward, Term},
        units::Unit,
    },
    data::rows::{Finish, Lineage, Sample},
    reward::{
        answer::{self, Verdict},
        format,
        number::Number,
        readable::readable,
        row,
        score::{Code, FUNCTIONS, Function, Score, Scorer},
    },
};
use serde_json::{Value, json};

fn sample(completion: &str) -> Sample {
    Sample {
        question: "3+5-2+8=?".to_owned(),
        answer: "14".to_owned(),
        prompt: "<|bos|><|user|>3+5-2+8=?<|assistant|>".to_owned(),
        completion: completion.to_owned(),
        tokens: completion.len(),
        finish: Finish::Stop,
        lineage: Lineage::default(),
    }
}

fn term(weight: f64, name: &str, arguments: &[Value]) -> Term {
    Term { weight, name: name.to_owned(), arguments: arguments.to_vec() }
}

fn scored(terms: &[Term], sample: &Sample) -> Result<Score, String> {
    let scorer = Scorer::new(&Reward { terms: terms.to_vec() }).map_err(|error| error.to_string())?;
    scorer.score(sample).map_err(|error| error.to_string())
}

/// What a function that looks at one sample by itself makes of it.
fn alone(function: &Function, sample: &Sample) -> Option<f64> {
    match function.code {
        Code::Each(code) => code(sample, &[json!(10)]),
        Code::Group(_) => None,
    }
}

const WORKED: &str = "<think>3+5=8 8-2=6 6+8=14</think><answer>14</answer>";

#[test]
fn a_reward_is_the_weighted_sum_of_its_terms() {
    let terms = [term(2.0, "accuracy", &[]), term(0.5, "format", &[])];
    let value = |completion: &str| scored(&terms, &sample(completion)).unwrap();
    assert_eq!(value(WORKED), Score { total: 2.5, terms: vec![Some(1.0), Some(1.0)] });
    assert_eq!(value("<answer>14</answer>"), Score { total: 2.0, terms: vec![Some(1.0), Some(0.0)] });
    assert_eq!(
        value("<think>so</think> <answer>15</answer>\n"),
        Score { total: 0.5, terms: vec![Some(0.0), Some(1.0)] }
    );
    assert_eq!(value("14"), Score { total: 0.0, terms: vec![Some(0.0), Some(0.0)] });
}

#[test]
fn brevity_falls_to_nothing_at_its_limit() {
    let terms = [term(1.0, "brevity", &[json!({ "value": 100.0, "unit": "tokens" })])];
    let value = |tokens| scored(&terms, &Sample { tokens, ..sample("") }).unwrap().total;
    assert_eq!([value(0), value(25), value(100), value(1000)], [1.0, 0.75, 0.0, 0.0]);
}

#[test]
fn rewards_that_cannot_be_evaluated_say_what_can() {
    let complain = |term| scored(&[term], &sample("")).unwrap_err();
    assert_eq!(
        complain(term(1.0, "acuracy", &[])),
        "expected a reward, found `acuracy`; there are `accuracy`, `format`, `brevity`; did you mean `accuracy`?"
    );
    assert_eq!(complain(term(1.0, "format", &[json!(1)])), "`format`: expected no arguments, found 1");
    assert_eq!(
        complain(term(1.0, "brevity", &[])),
        "`brevity`: expected one argument, a positive number of tokens, found 0 arguments"
    );
}

/// A template that has already written `<think>` must not make the format unreachable (TRL issue 6966).
#[test]
fn a_thought_opened_by_the_prompt_counts() {
    let prompt = "<|begin|>3+5-2+8=?<|Assistant|><think>\n".to_owned();
    let completion = "3+5=8 8-2=6 6+8=14</think><answer>14</answer>".to_owned();
    let sample = Sample { prompt, completion, ..sample("") };
    assert_eq!(scored(&[term(1.0, "format", &[])], &sample).unwrap().total, 1.0);
    assert_eq!(row::refuse(&Predicate::Is("readable".to_owned()), &sample), Ok(None));
}

fn is(field: &str) -> Predicate {
    Predicate::Is(field.to_owned())
}

fn shorter_than(value: f64, unit: Option<Unit>) -> Predicate {
    Predicate::Compare { field: "length".to_owned(), op: Comparison::Less, value: Constant::Number { value, unit } }
}

#[test]
fn a_refused_row_names_the_part_of_the_condition_that_it_fails() {
    let condition = Predicate::All(vec![
        is("correct"),
        Predicate::Any(vec![is("finished"), Predicate::Not(Box::new(is("formatted")))]),
        shorter_than(60.0, Some(Unit::Tokens)),
    ]);
    let refuse = |sample: &Sample| row::refuse(&condition, sample).unwrap();
    assert_eq!(refuse(&sample(WORKED)), None);
    assert_eq!(refuse(&sample("<answer>13</answer>")), Some("not correct".to_owned()));
    assert_eq!(
        refuse(&Sample { finish: Finish::Length, ..sample(WORKED) }),
        Some("not (finished or (not formatted))".to_owned())
    );
    assert_eq!(refuse(&Sample { tokens: 60, ..sample(WORKED) }), Some("not (length < 60 tokens)".to_owned()));
}

#[test]
fn conditions_that_cannot_be_evaluated_say_what_can() {
    let complain = |condition| row::check(&condition).unwrap_err().to_string();
    assert_eq!(
        complain(is("corect")),
        "expected a field of a sample, found `corect`; there are `correct`, `parseable`, `formatted`, `finished`, \
         `readable`, `length`, `question`, `answer`, `completion`; did you mean `correct`?"
    );
    assert_eq!(complain(shorter_than(5.0, Some(Unit::Rows))), "`length`: expected a number of tokens, found `5 rows`");
    assert_eq!(complain(shorter_than(5.0, None)), "`length`: expected a number of tokens, found `5`");
    assert_eq!(
        complain(is("length")),
        "`length`: expected a comparison, such as `length < 100 tokens`, found the bare field"
    );
}

#[test]
fn texts_are_compared_as_texts() {
    let condition = |text: &str| Predicate::Compare {
        field: "answer".to_owned(),
        op: Comparison::Equal,
        value: Constant::Text(text.to_owned()),
    };
    assert_eq!(row::refuse(&condition("14"), &sample("")), Ok(None));
    assert_eq!(row::refuse(&condition("15"), &sample("")), Ok(Some("not (answer == \"15\")".to_owned())));
}

/// Pieces that answers are made of, so that random texts reach every branch.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<answer>".to_owned()),
        Just("</answer>".to_owned()),
        Just("<think>".to_owned()),
        Just("</think>".to_owned()),
        Just("\\boxed{".to_owned()),
        Just("\\frac{1}{2}".to_owned()),
        Just("\\frac".to_owned()),
        Just("}".to_owned()),
        Just("####".to_owned()),
        Just("-".to_owned()),
        Just("1,000".to_owned()),
        Just("170141183460469231731687303715884105727".to_owned()),
        Just("e-38".to_owned()),
        Just("/".to_owned()),
        Just("%".to_owned()),
        Just("$".to_owned()),
        "[0-9.,]{0,6}",
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_a_verifier_panic(completion in text(), right in text(), prompt in text()) {
        let sample = Sample { prompt, answer: right.clone(), ..sample(&completion) };
        for function in FUNCTIONS {
            let value = alone(function, &sample).unwrap_or(0.0);
            prop_assert!((-1.0..=1.0).contains(&value), "{} gave {value}", function.name);
        }
        let _ = (answer::judge(&completion, &right), format::parts(&completion), readable(&completion));
    }

    #[test]
    fn a_right_answer_is_right_in_every_spelling(
        whole in -1_000_000i64..1_000_000,
        spelling in 0usize..8,
    ) {
        let grouped = {
            let digits = whole.unsigned_abs().to_string();
            let bytes: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|it| std::str::from_utf8(it).unwrap()).collect();
            format!("{}{}", if whole < 0 { "-" } else { "" }, bytes.join(","))
        };
        let spelt = match spelling {
            0 => whole.to_string(),
            1 => format!("{whole}.0"),
            2 => grouped,
            3 => format!("${whole}"),
            4 => format!("{}/2", 2 * whole),
            5 => format!("\\frac{{{}}}{{3}}", 3 * whole),
            6 => format!("{whole}00%").replace("-000%", "0%"),
            _ => format!(" {whole} apples. "),
        };
        prop_assert_eq!(answer::judge(&spelt, &whole.to_string()), Verdict::Correct, "{}", spelt);
        let wrong = (whole + 1).to_string();
        prop_assert_eq!(answer::judge(&wrong, &whole.to_string()), Verdict::Wrong);
    }

    #[test]
    fn equality_of_numbers_goes_both_ways(left in text(), right in text()) {
        if let (Some(left), Some(right)) = (Number::parse(&left), Number::parse(&right)) {
            prop_assert_eq!(left.equals(right), right.equals(left));
            prop_assert!(left.equals(left));
        }
    }
}

/// A hostile completion costs no more than reading it. Were any of this quadratic, the test would not end.
#[test]
fn a_megabyte_of_tags_is_judged_at_once() {
    for piece in ["<answer>", "\\boxed{", "####", "<think>", "</think> ", "</answer>", "{", "1,"] {
        let completion = piece.repeat((1 << 20) / piece.len());
        let sample = sample(&completion);
        let spread: f64 = FUNCTIONS.iter().filter_map(|it| alone(it, &sample)).map(f64::abs).sum();
        assert!(spread.is_finite(), "{piece}");
        let worth = ["accuracy", "format"].map(|name| scored(&[term(1.0, name, &[])], &sample).unwrap().total);
        assert_eq!(worth, [0.0, 0.0], "{piece}");
        assert!(!readable(&completion), "{piece}");
    }
}
