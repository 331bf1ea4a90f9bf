//! Argument values in the words of a recipe: `cosine(5e-5 to 5e-6)`, `2 epochs`, `accuracy + format`.

use serde_json::Value;

use super::format;
use crate::base::{
    digest::Digest,
    predicate::{Comparison, Constant, Predicate},
    reward::Reward,
    schedule::Schedule,
    units::Amount,
};

/// A value as a recipe would say it; what was not there is `none`.
#[must_use]
pub fn text(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), number_text),
        Value::String(text) => match text.parse::<Digest>() {
            Ok(digest) => digest.short(),
            Err(_) => format!("{text:?}"),
        },
        Value::Array(values) => match values.as_slice() {
            // An input of one artifact is a list of one digest; the brackets would tell nothing.
            [Value::String(text)] if text.parse::<Digest>().is_ok() => plain(&Value::String(text.clone())),
            _ => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(", ")),
        },
        Value::Object(_) => structured(value).unwrap_or_else(|| value.to_string()),
        Value::Bool(_) => value.to_string(),
    }
}

fn structured(value: &Value) -> Option<String> {
    fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
        serde_json::from_value(value.clone()).ok()
    }
    None.or_else(|| read(value).map(amount))
        .or_else(|| read(value).map(|it| reward(&it)))
        .or_else(|| read(value).map(|it| schedule(&it)))
        .or_else(|| read(value).map(|it| predicate(&it)))
}

/// Small numbers are written with an exponent, as people write learning rates.
fn number_text(number: f64) -> String {
    if number != 0.0 && number.abs() < 1e-3 { format!("{number:e}") } else { number.to_string() }
}

fn amount(amount: Amount) -> String {
    let name = amount.unit.name();
    let name = if amount.value == 1.0 { name.trim_end_matches('s') } else { name };
    let whole = amount.value.fract() == 0.0 && amount.value >= 0.0;
    let number = if whole { format::count(amount.value as u64).replace(',', "_") } else { number_text(amount.value) };
    format!("{number} {name}")
}

fn reward(reward: &Reward) -> String {
    let terms = reward.terms.iter().map(|term| {
        let weight = if term.weight == 1.0 { String::new() } else { format!("{} * ", number_text(term.weight)) };
        let arguments: Vec<String> = term.arguments.iter().map(plain).collect();
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        format!("{weight}{}{arguments}", term.name)
    });
    terms.collect::<Vec<_>>().join(" + ")
}

fn schedule(schedule: &Schedule<Value>) -> String {
    let curve = |name: &str, from: &Value, to: &Value, warmup: u64, decay: Option<u64>| {
        let warmup = if warmup == 0 { String::new() } else { format!(", warmup = {warmup} steps") };
        let decay = decay.map(|decay| format!(", decay = {decay} steps")).unwrap_or_default();
        format!("{name}({} to {}{warmup}{decay})", plain(from), plain(to))
    };
    match schedule {
        Schedule::Constant(value) => plain(value),
        Schedule::Cosine { from, to, warmup, decay } => curve("cosine", from, to, *warmup, *decay),
        Schedule::Linear { from, to, warmup, decay } => curve("linear", from, to, *warmup, *decay),
        Schedule::Then { first, next, after } => {
            format!("{} then {} after {after} steps", self::schedule(first), self::schedule(next))
        }
    }
}

fn predicate(condition: &Predicate) -> String {
    let join = |parts: &[Predicate], word: &str| parts.iter().map(predicate).collect::<Vec<_>>().join(word);
    match condition {
        Predicate::All(parts) => join(parts, " and "),
        Predicate::Any(parts) => format!("({})", join(parts, " or ")),
        Predicate::Not(part) => format!("not ({})", predicate(part)),
        Predicate::Is(field) => field.clone(),
        Predicate::Compare { field, op, value } => {
            let value = match value {
                Constant::Number { value, unit: Some(unit) } => amount(Amount::new(*value, *unit)),
                Constant::Number { value, unit: None } => number_text(*value),
                Constant::Text(text) => format!("{text:?}"),
            };
            format!("{field} {} {value}", sign(*op))
        }
    }
}

fn sign(op: Comparison) -> &'static str {
    match op {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_as_a_recipe_says_them() {
        let values = [
            json!({"constant": 3e-6}),
            json!({"cosine": {"from": 5e-5, "to": 5e-6, "warmup": 20}}),
            json!({"linear": {"from": 1e-3, "to": 1e-4, "warmup": 0, "decay": 100}}),
            json!({"then": {"first": {"constant": {"value": 32.0, "unit": "tokens"}},
                            "next": {"constant": {"value": 64.0, "unit": "tokens"}}, "after": 8200}}),
            json!({"value": 10400.0, "unit": "steps"}),
            json!({"value": 1.0, "unit": "epochs"}),
            json!({"terms": [{"weight": 2.0, "name": "accuracy", "arguments": []},
                             {"weight": 1.0, "name": "language", "arguments": ["en"]}]}),
            json!({"all": [{"is": "correct"}, {"compare": {"field": "length", "op": "<",
                            "value": {"number": {"value": 2000.0, "unit": "tokens"}}}}]}),
            json!(["a", 1, null, true]),
            json!([Digest::of(b"x")]),
        ];
        let texts: Vec<String> = values.iter().map(|value| text(Some(value))).collect();
        assert_eq!(
            texts,
            [
                "3e-6",
                "cosine(5e-5 to 5e-6, warmup = 20 steps)",
                "linear(0.001 to 1e-4, decay = 100 steps)",
                "32 tokens then 64 tokens after 8200 steps",
                "10_400 steps",
                "1 epoch",
                "2 * accuracy + language(\"en\")",
                "correct and length < 2_000 tokens",
                "[\"a\", 1, none, true]",
                &Digest::of(b"x").short(),
            ]
        );
        assert_eq!(text(None), "none");
    }
}
