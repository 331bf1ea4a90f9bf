//! Looks for a shorter run of a step, one with a smaller budget, from whose states the longer one may go on.

use serde_json::Value;

use crate::{
    base::{digest::Digest, units::Amount},
    stages::Stage,
    store::Store,
};

/// A run whose beginning is the same as that of a longer one.
#[derive(Clone, Debug, PartialEq)]
pub struct Shorter {
    pub key: Digest,
    /// How many units of work its latest state has behind it.
    pub position: u64,
    pub budget: Amount,
}

/// The furthest run that a step with these key fields may go on from.
pub(super) fn of(store: &Store, stage: &Stage, fields: &Value) -> Option<Shorter> {
    let arguments = fields.get("arguments")?;
    let budget = budget(fields)?;
    stage.extends?(arguments).ok()?;
    let same = without_budget(fields);
    let begun = store.begun().into_iter();
    let shorter = begun.filter_map(|(key, begun, position)| {
        let other = self::budget(&begun.fields)?;
        let fits = other.unit == budget.unit && other.value < budget.value && without_budget(&begun.fields) == same;
        fits.then_some(Shorter { key, position, budget: other })
    });
    shorter.max_by_key(|it| it.position)
}

fn budget(fields: &Value) -> Option<Amount> {
    serde_json::from_value(fields.get("arguments")?.get("budget")?.clone()).ok()
}

fn without_budget(fields: &Value) -> Value {
    let mut fields = fields.clone();
    if let Some(arguments) = fields.get_mut("arguments").and_then(Value::as_object_mut) {
        arguments.shift_remove("budget");
    }
    fields
}
