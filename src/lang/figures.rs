//! What a gate is made of: figures of reports, and conditions on them that only a run can decide.

use crate::base::predicate::Comparison;

/// A step of a program or a plan, as its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub usize);

/// The figures that the report of `eval` holds.
pub const REPORT_FIELDS: [&str; 16] = [
    "pass1",
    "pass1_low",
    "pass1_high",
    "majority",
    "majority_low",
    "majority_high",
    "rows",
    "answers",
    "correct",
    "wrong",
    "unparseable",
    "truncated",
    "format",
    "language",
    "mixed",
    "mean_length",
];

/// The figures that the report of `eval` holds for each source and each level of its problems, as `pass1_level_4`.
pub const GROUP_FIELDS: [&str; 4] = ["pass1", "pass1_low", "pass1_high", "rows"];

/// Whether the report of a stage may hold a figure of that name: one that all hold, `pass_at_16`, or one of a group.
#[must_use]
pub fn is_report_field(stage: Option<&str>, name: &str) -> bool {
    if report_fields(stage).contains(&name) {
        return true;
    }
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let grouped = |field: &str| {
        let rest = name.strip_prefix(field);
        let group = rest.and_then(|it| it.strip_prefix("_level_").or_else(|| it.strip_prefix("_source_")));
        group.is_some_and(|it| !it.is_empty())
    };
    stage.is_none_or(|it| it == "eval")
        && (name.strip_prefix("pass_at_").is_some_and(number) || GROUP_FIELDS.iter().any(|it| grouped(it)))
}

/// The figures that the report of a stage holds; where nothing runs and no stage is known, those of all reports.
#[must_use]
pub fn report_fields(stage: Option<&str>) -> Vec<&'static str> {
    const STANDING: [&str; 5] = ["accuracy", "accuracy_low", "accuracy_high", "margin", "rows"];
    const LIKELIHOODS: [&str; 2] = ["logps_chosen", "logps_rejected"];
    const SCORES: [&str; 3] = ["min_reward", "mean_reward", "max_reward"];
    match stage {
        Some("eval_pairs") => [&STANDING[..], &LIKELIHOODS].concat(),
        Some("eval_reward") => [&STANDING[..], &SCORES].concat(),
        Some(_) => REPORT_FIELDS.to_vec(),
        None => [&REPORT_FIELDS[..], &STANDING, &LIKELIHOODS, &SCORES].concat(),
    }
}

/// Whether a figure is a part of all answers, rows or pairs, from 0 to 1.
#[must_use]
pub fn is_share(field: &str) -> bool {
    let shares = ["pass1", "majority", "accuracy", "pass_at_"];
    matches!(field, "format" | "language" | "mixed") || shares.iter().any(|it| field.starts_with(it))
}

/// A number that is known when the reports it reads are.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    Number(f64),
    /// `scores[r1].pass1`
    Field {
        step: StepId,
        field: String,
    },
    Negate(Box<Self>),
    Add(Box<Self>, Box<Self>),
    Subtract(Box<Self>, Box<Self>),
    Multiply(Box<Self>, Box<Self>),
    Divide(Box<Self>, Box<Self>),
}

/// A condition on figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Compare { op: Comparison, left: Figure, right: Figure },
    All(Box<Self>, Box<Self>),
    Any(Box<Self>, Box<Self>),
    Not(Box<Self>),
}

impl Figure {
    /// How many figures it is made of, itself counted.
    #[must_use]
    pub fn parts(&self) -> usize {
        match self {
            Self::Number(_) | Self::Field { .. } => 1,
            Self::Negate(inner) => 1 + inner.parts(),
            Self::Add(left, right)
            | Self::Subtract(left, right)
            | Self::Multiply(left, right)
            | Self::Divide(left, right) => 1 + left.parts() + right.parts(),
        }
    }

    /// The number, where `read` knows every field in it.
    pub fn value(&self, read: &dyn Fn(StepId, &str) -> Option<f64>) -> Option<f64> {
        Some(match self {
            Self::Number(value) => *value,
            Self::Field { step, field } => read(*step, field)?,
            Self::Negate(inner) => -inner.value(read)?,
            Self::Add(left, right) => left.value(read)? + right.value(read)?,
            Self::Subtract(left, right) => left.value(read)? - right.value(read)?,
            Self::Multiply(left, right) => left.value(read)? * right.value(read)?,
            Self::Divide(left, right) => left.value(read)? / right.value(read)?,
        })
    }

    /// Every field that the figure reads, in the order of the text.
    #[must_use]
    pub fn fields(&self) -> Vec<(StepId, &str)> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Field { step, field } => vec![(*step, field)],
            Self::Negate(inner) => inner.fields(),
            Self::Add(left, right)
            | Self::Subtract(left, right)
            | Self::Multiply(left, right)
            | Self::Divide(left, right) => [left.fields(), right.fields()].concat(),
        }
    }

    /// The same figure with its steps numbered anew.
    #[must_use]
    pub fn renumbered(&self, number: &dyn Fn(StepId) -> StepId) -> Self {
        let inner = |it: &Self| Box::new(it.renumbered(number));
        match self {
            Self::Number(value) => Self::Number(*value),
            Self::Field { step, field } => Self::Field { step: number(*step), field: field.clone() },
            Self::Negate(it) => Self::Negate(inner(it)),
            Self::Add(left, right) => Self::Add(inner(left), inner(right)),
            Self::Subtract(left, right) => Self::Subtract(inner(left), inner(right)),
            Self::Multiply(left, right) => Self::Multiply(inner(left), inner(right)),
            Self::Divide(left, right) => Self::Divide(inner(left), inner(right)),
        }
    }
}

impl Condition {
    /// How many conditions and figures it is made of, itself counted.
    #[must_use]
    pub fn parts(&self) -> usize {
        match self {
            Self::Compare { left, right, .. } => 1 + left.parts() + right.parts(),
            Self::All(left, right) | Self::Any(left, right) => 1 + left.parts() + right.parts(),
            Self::Not(inner) => 1 + inner.parts(),
        }
    }

    /// Whether the condition holds, where `read` knows every field in it.
    pub fn holds(&self, read: &dyn Fn(StepId, &str) -> Option<f64>) -> Option<bool> {
        Some(match self {
            Self::Compare { op, left, right } => op.holds(&left.value(read)?, &right.value(read)?),
            Self::All(left, right) => left.holds(read)? & right.holds(read)?,
            Self::Any(left, right) => left.holds(read)? | right.holds(read)?,
            Self::Not(inner) => !inner.holds(read)?,
        })
    }

    /// Every field that the condition reads, in the order of the text.
    #[must_use]
    pub fn fields(&self) -> Vec<(StepId, &str)> {
        match self {
            Self::Compare { left, right, .. } => [left.fields(), right.fields()].concat(),
            Self::All(left, right) | Self::Any(left, right) => [left.fields(), right.fields()].concat(),
            Self::Not(inner) => inner.fields(),
        }
    }

    /// The same condition with its steps numbered anew.
    #[must_use]
    pub fn renumbered(&self, number: &dyn Fn(StepId) -> StepId) -> Self {
        let inner = |it: &Self| Box::new(it.renumbered(number));
        match self {
            Self::Compare { op, left, right } => {
                Self::Compare { op: *op, left: left.renumbered(number), right: right.renumbered(number) }
            }
            Self::All(left, right) => Self::All(inner(left), inner(right)),
            Self::Any(left, right) => Self::Any(inner(left), inner(right)),
            Self::Not(it) => Self::Not(inner(it)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(step: usize) -> Figure {
        Figure::Field { step: StepId(step), field: "pass1".into() }
    }

    #[test]
    fn a_condition_is_open_until_every_figure_is_known() {
        let margin = Figure::Subtract(Box::new(field(1)), Box::new(Figure::Number(0.1)));
        let condition = Condition::Compare { op: Comparison::GreaterOrEqual, left: field(0), right: margin };
        assert_eq!(condition.holds(&|step, _| (step == StepId(0)).then_some(0.8)), None);
        assert_eq!(condition.holds(&|step, _| Some(if step == StepId(0) { 0.8 } else { 0.85 })), Some(true));
        assert_eq!(condition.holds(&|step, _| Some(if step == StepId(0) { 0.5 } else { 0.85 })), Some(false));
        assert_eq!(condition.fields(), [(StepId(0), "pass1"), (StepId(1), "pass1")]);
    }
}
