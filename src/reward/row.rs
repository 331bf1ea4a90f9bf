//! Conditions on sampled answers: `correct and length < 2k tokens`.

use crate::{
    base::{
        predicate::{Comparison, Constant, Predicate},
        units::Unit,
    },
    data::rows::{Finish, Sample},
    reward::{
        RewardError,
        answer::{Verdict, is_correct, judge},
        format::parts,
        language::one_language,
        readable::readable,
    },
};

/// What a condition can read of a row.
enum Field {
    Flag(fn(&Sample) -> bool),
    Count(Unit, fn(&Sample) -> usize),
    Text(fn(&Sample) -> &str),
}

const FIELDS: &[(&str, Field)] = &[
    ("correct", Field::Flag(|it| is_correct(&it.completion, &it.answer))),
    ("parseable", Field::Flag(|it| judge(&it.completion, &it.answer) != Verdict::Unparseable)),
    ("formatted", Field::Flag(|it| parts(&it.text()).is_some())),
    ("finished", Field::Flag(|it| it.finish == Finish::Stop)),
    ("readable", Field::Flag(|it| readable(&it.text()))),
    ("one_language", Field::Flag(|it| one_language(&it.text()))),
    ("length", Field::Count(Unit::Tokens, |it| it.tokens)),
    ("question", Field::Text(|it| &it.question)),
    ("answer", Field::Text(|it| &it.answer)),
    ("completion", Field::Text(|it| &it.completion)),
];

/// Why a row does not meet a condition, in the condition's own words; None where it does.
///
/// Of several parts joined by `and`, the first that fails is named, so that dropped rows are counted by reason.
pub fn refuse(condition: &Predicate, sample: &Sample) -> Result<Option<String>, RewardError> {
    check(condition)?;
    Ok(first_failing(condition, sample).map(|part| format!("not {}", nested(part))))
}

/// Whether every field exists and is compared with what it can be compared with.
pub fn check(condition: &Predicate) -> Result<(), RewardError> {
    match condition {
        Predicate::All(parts) | Predicate::Any(parts) => parts.iter().try_for_each(check),
        Predicate::Not(part) => check(part),
        Predicate::Is(name) => match field(name)? {
            Field::Flag(_) => Ok(()),
            _ => Err(RewardError::mismatch(name, "a comparison, such as `length < 100 tokens`", "the bare field")),
        },
        Predicate::Compare { field: name, op, value } => compares(name, *op, value),
    }
}

/// The condition as a recipe would write it.
#[must_use]
pub fn describe(condition: &Predicate) -> String {
    let joined = |parts: &[Predicate], word: &str| parts.iter().map(nested).collect::<Vec<_>>().join(word);
    match condition {
        Predicate::All(parts) => joined(parts, " and "),
        Predicate::Any(parts) => joined(parts, " or "),
        Predicate::Not(part) => format!("not {}", nested(part)),
        Predicate::Is(field) => field.clone(),
        Predicate::Compare { field, op, value } => format!("{field} {} {}", symbol(*op), constant(value)),
    }
}

fn nested(condition: &Predicate) -> String {
    match condition {
        Predicate::Is(_) => describe(condition),
        _ => format!("({})", describe(condition)),
    }
}

fn compares(name: &str, op: Comparison, value: &Constant) -> Result<(), RewardError> {
    let mismatch = |expected: String| Err(RewardError::mismatch(name, expected, format!("`{}`", constant(value))));
    match (field(name)?, value) {
        (Field::Flag(_), _) => {
            Err(RewardError::mismatch(name, "the bare field, which is true or false", "a comparison"))
        }
        (Field::Count(expected, _), Constant::Number { unit: Some(unit), .. }) if unit == expected => Ok(()),
        (Field::Count(expected, _), _) => mismatch(format!("a number of {}", expected.name())),
        (Field::Text(_), Constant::Text(_)) if matches!(op, Comparison::Equal | Comparison::NotEqual) => Ok(()),
        (Field::Text(_), Constant::Text(_)) => {
            Err(RewardError::mismatch(name, "`==` or `!=`", format!("`{}`", symbol(op))))
        }
        (Field::Text(_), Constant::Number { .. }) => mismatch("a text".to_owned()),
    }
}

/// The part of a condition that a row fails; None where it meets the whole.
fn first_failing<'a>(condition: &'a Predicate, sample: &Sample) -> Option<&'a Predicate> {
    match condition {
        Predicate::All(parts) => parts.iter().find_map(|part| first_failing(part, sample)),
        _ if holds(condition, sample) => None,
        _ => Some(condition),
    }
}

fn holds(condition: &Predicate, sample: &Sample) -> bool {
    match condition {
        Predicate::All(parts) => parts.iter().all(|part| holds(part, sample)),
        Predicate::Any(parts) => parts.iter().any(|part| holds(part, sample)),
        Predicate::Not(part) => !holds(part, sample),
        Predicate::Is(name) => matches!(field(name), Ok(Field::Flag(read)) if read(sample)),
        Predicate::Compare { field: name, op, value } => match (field(name), value) {
            (Ok(Field::Count(_, read)), Constant::Number { value, .. }) => op.holds(&(read(sample) as f64), value),
            (Ok(Field::Text(read)), Constant::Text(text)) => op.holds(&read(sample), &text.as_str()),
            _ => false,
        },
    }
}

fn field(name: &str) -> Result<&'static Field, RewardError> {
    let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
    let found = FIELDS.iter().find(|(it, _)| *it == name).map(|(_, field)| field);
    found.ok_or_else(|| RewardError::unknown("field of a sample", name, &known))
}

fn symbol(op: Comparison) -> &'static str {
    match op {
        Comparison::Equal => "==",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn constant(value: &Constant) -> String {
    match value {
        Constant::Number { value, unit: Some(unit) } => format!("{value} {}", unit.name()),
        Constant::Number { value, unit: None } => value.to_string(),
        Constant::Text(text) => format!("\"{text}\""),
    }
}
