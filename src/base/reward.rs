//! Reward expressions: a weighted sum of scoring functions.

use serde::{Deserialize, Serialize};

/// `2 * accuracy + format`, as its terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    pub terms: Vec<Term>,
}

/// One scoring function with its weight and its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    pub weight: f64,
    pub name: String,
    pub arguments: Vec<serde_json::Value>,
}
