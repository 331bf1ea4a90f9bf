//! The values that expressions have when a recipe is checked.

use serde_json::{Value as Json, json};

use crate::{
    base::{
        predicate::{Constant, Predicate},
        reward::Reward,
        schedule::Schedule,
        units::{Amount, Unit},
    },
    lang::{
        figures::{Condition, Figure, StepId},
        labels::Taint,
        types::Type,
    },
};

/// What an expression comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A value of this type that is not known yet, or never will be because of a mistake.
    Unknown(Type),
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// The name of a file, relative to the recipe.
    Path(String),
    Amount(Amount),
    List(Vec<Element>),
    /// What `for` makes: values by key, one part of the key for each clause.
    Collection(Vec<(Vec<String>, Self)>),
    /// What a recipe with several outputs gives: a value by name.
    Record(Vec<(String, Self)>),
    Reward(Reward),
    Predicate(Predicate),
    /// A field of a row that is a number, of the unit it counts.
    RowField {
        name: String,
        unit: Option<Unit>,
    },
    Schedule(Box<Schedule<Self>>),
    Artifact(Artifact),
    Figure(Figure),
    Condition(Condition),
}

/// A member of a list, with the word that names it where `for` goes over the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    pub key: String,
    pub value: Value,
}

/// What a step makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// None where nothing runs: a branch not taken, or the parameter of a stage that is checked on its own.
    pub step: Option<StepId>,
    pub ty: Type,
    pub taint: Option<Taint>,
    /// The step whose tokenizer a model reads with, or a text is written for, where that is known.
    pub tokenizer: Option<StepId>,
    pub shape: Option<Shape>,
    /// Whether a program made it of which only the type is known, so that a report may hold any figure.
    pub foreign: bool,
    /// Of a model: the step that made the first model on its way from nothing.
    pub origin: Option<StepId>,
}

/// What is known of a model's architecture: two models fit together where these are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape(pub Vec<(String, Json)>);

impl Value {
    /// Stands for whatever a mistake has made unknowable.
    pub const MISTAKE: Self = Self::Unknown(Type::Unknown);

    /// The type as an error names what it found.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Unknown(ty) => ty.expectation(),
            Self::None => "none".into(),
            Self::Bool(_) => "bool".into(),
            Self::Int(_) => "int".into(),
            Self::Float(_) => "float".into(),
            Self::Text(_) => "str".into(),
            Self::Path(_) => "path".into(),
            Self::Amount(amount) => amount.unit.name().into(),
            Self::List(elements) => match elements.first() {
                Some(first) => format!("list<{}>", first.value.describe()),
                None => "an empty list".into(),
            },
            Self::Collection(members) => match members.first() {
                Some((_, first)) => format!("a collection of {}", first.describe()),
                None => "an empty collection".into(),
            },
            Self::Record(_) => "the outputs of a recipe".into(),
            Self::Reward(_) => "Reward".into(),
            Self::Predicate(_) => "Predicate".into(),
            Self::RowField { .. } => "a field of a row".into(),
            Self::Schedule(schedule) => match &**schedule {
                Schedule::Constant(value) => value.describe(),
                _ => "Schedule".into(),
            },
            Self::Artifact(artifact) => artifact.ty.to_string(),
            Self::Figure(_) => "a figure of a report".into(),
            Self::Condition(_) => "a condition on reports".into(),
        }
    }

    /// Whether a mistake made the value unknowable, so that nothing more is said about it.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        *self == Self::MISTAKE
    }

    /// The value as a number, where it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Every artifact in the value, in order.
    pub fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        let (one, elements, members): (_, &[Element], &[(Vec<String>, Self)]) = match self {
            Self::Artifact(artifact) => (Some(artifact), &[], &[]),
            Self::List(elements) => (None, elements, &[]),
            Self::Collection(members) => (None, &[], members),
            _ => (None, &[], &[]),
        };
        let values = elements.iter().map(|it| &it.value).chain(members.iter().map(|(_, value)| value));
        one.into_iter()
            .chain(values.filter_map(|it| if let Self::Artifact(artifact) = it { Some(artifact) } else { None }))
    }

    /// Every artifact in the value, in order, with its key.
    #[must_use]
    pub fn keyed_artifacts(&self) -> Vec<(String, &Artifact)> {
        match self {
            Self::Artifact(artifact) => vec![(String::new(), artifact)],
            Self::List(elements) => elements
                .iter()
                .filter_map(|element| match &element.value {
                    Self::Artifact(artifact) => Some((element.key.clone(), artifact)),
                    _ => None,
                })
                .collect(),
            Self::Collection(members) => members
                .iter()
                .filter_map(|(key, value)| match value {
                    Self::Artifact(artifact) => Some((key.join(", "), artifact)),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// How many values there are in it, itself counted.
    #[must_use]
    pub fn parts(&self) -> usize {
        match self {
            Self::List(elements) => 1 + elements.iter().map(|it| it.value.parts()).sum::<usize>(),
            Self::Collection(members) => 1 + members.iter().map(|(_, it)| it.parts()).sum::<usize>(),
            Self::Record(members) => 1 + members.iter().map(|(_, it)| it.parts()).sum::<usize>(),
            Self::Reward(reward) => 1 + reward.terms.len(),
            Self::Predicate(predicate) => predicate.parts(),
            Self::Schedule(schedule) => 1 + schedule.values().into_iter().map(Self::parts).sum::<usize>(),
            Self::Figure(figure) => figure.parts(),
            Self::Condition(condition) => condition.parts(),
            _ => 1,
        }
    }

    /// The value with every artifact in it changed.
    #[must_use]
    pub fn map_artifacts(self, change: &dyn Fn(Artifact) -> Artifact) -> Self {
        match self {
            Self::Artifact(artifact) => Self::Artifact(change(artifact)),
            Self::List(elements) => Self::List(
                elements.into_iter().map(|it| Element { key: it.key, value: it.value.map_artifacts(change) }).collect(),
            ),
            Self::Collection(members) => {
                Self::Collection(members.into_iter().map(|(key, value)| (key, value.map_artifacts(change))).collect())
            }
            Self::Record(members) => {
                Self::Record(members.into_iter().map(|(name, value)| (name, value.map_artifacts(change))).collect())
            }
            other => other,
        }
    }

    /// The form in which stages and keys see the value. Artifacts and what only a run can tell have none.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool(value) => json!(value),
            Self::Int(value) => json!(value),
            Self::Float(value) => json!(value),
            Self::Text(value) | Self::Path(value) => json!(value),
            Self::Amount(amount) => json!(amount),
            Self::List(elements) => elements.iter().map(|it| it.value.to_json()).collect(),
            Self::Reward(reward) => json!(reward),
            Self::Predicate(predicate) => json!(predicate),
            Self::Schedule(schedule) => json!(map_schedule(schedule, &Self::to_json)),
            Self::Unknown(_)
            | Self::None
            | Self::Collection(_)
            | Self::Record(_)
            | Self::RowField { .. }
            | Self::Artifact(_)
            | Self::Figure(_)
            | Self::Condition(_) => Json::Null,
        }
    }

    /// What a field of a row may be compared with.
    #[must_use]
    pub fn constant(&self) -> Option<Constant> {
        match self {
            Self::Amount(amount) => Some(Constant::Number { value: amount.value, unit: Some(amount.unit) }),
            Self::Text(text) => Some(Constant::Text(text.clone())),
            other => other.number().map(|value| Constant::Number { value, unit: None }),
        }
    }
}

/// The schedule with every value in it changed.
pub(super) fn map_schedule<T, U>(schedule: &Schedule<T>, change: &dyn Fn(&T) -> U) -> Schedule<U> {
    match schedule {
        Schedule::Constant(value) => Schedule::Constant(change(value)),
        Schedule::Cosine { from, to, warmup, decay } => {
            Schedule::Cosine { from: change(from), to: change(to), warmup: *warmup, decay: *decay }
        }
        Schedule::Linear { from, to, warmup, decay } => {
            Schedule::Linear { from: change(from), to: change(to), warmup: *warmup, decay: *decay }
        }
        Schedule::Then { first, next, after } => Schedule::Then {
            first: Box::new(map_schedule(first, change)),
            next: Box::new(map_schedule(next, change)),
            after: *after,
        },
    }
}
