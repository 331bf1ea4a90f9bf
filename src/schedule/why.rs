//! Why a step is not made yet: the first field of its key that differs from the nearest earlier record.

use std::{collections::BTreeMap, rc::Rc};

use crate::{
    base::{digest::Digest, span::Span},
    plan::{Difference, KeyFields, Plan, Step, differences},
    store::{Past, Record},
};

/// How many records are compared; a step that is like none of the newest is new to all purposes.
const LOOK_BACK: usize = 64;

/// The reason that a step would run.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// No step of this stage was ever made.
    New,
    Changed(Box<Change>),
    /// It was made, but its object is gone or damaged.
    Lost {
        object: Digest,
    },
    /// Only its inputs, which these steps make, can tell.
    After(Vec<String>),
}

/// The first field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub difference: Difference,
    /// Where the present value was written.
    pub span: Option<Span>,
    /// The address that the earlier record was made under.
    pub than: String,
    pub record: Digest,
    /// How many further fields differ.
    pub others: usize,
}

/// Compares keys with records. The fields of a record are read once.
#[derive(Default)]
pub(super) struct Comparer(BTreeMap<Digest, Option<Rc<KeyFields>>>);

impl Comparer {
    /// Compares a step's fields with its stage's past.
    pub(super) fn why(
        &mut self,
        plan: &Plan,
        step: &Step,
        fields: &KeyFields,
        past: &Past,
        key: Option<&Digest>,
    ) -> Why {
        if let Some(record) = key.and_then(|key| past.of_key(key)) {
            return Why::Lost { object: record.output };
        }
        let mut candidates: Vec<Rc<Record>> = past.at(&step.address).take(LOOK_BACK).collect();
        if candidates.is_empty() {
            candidates = past.all().take(LOOK_BACK).collect();
        }
        let compared = candidates.iter().filter_map(|record| {
            let then = self.fields(record)?;
            Some((differences(&then, fields), record))
        });
        // Of those equally near the newest, which comes first.
        let Some((differing, record)) = compared.min_by_key(|(differing, _)| differing.len()) else { return Why::New };
        let others = differing.len().saturating_sub(1);
        let Some(difference) = differing.into_iter().next() else { return Why::After(inputs(plan, step)) };
        let span = span(step, &difference);
        Why::Changed(Box::new(Change { difference, span, than: record.address.clone(), record: record.key, others }))
    }

    fn fields(&mut self, record: &Record) -> Option<Rc<KeyFields>> {
        let read = || serde_json::from_value(record.fields.clone()).ok().map(Rc::new);
        self.0.entry(record.key).or_insert_with(read).clone()
    }
}

/// Where the present value is written: the argument, or the call. The version of a stage stands in no recipe.
fn span(step: &Step, difference: &Difference) -> Option<Span> {
    let name = difference.argument().or(difference.input().map(|(port, _)| port))?;
    Some(step.argument_spans.get(name).copied().unwrap_or(step.span))
}

fn inputs(plan: &Plan, step: &Step) -> Vec<String> {
    let ids = step.inputs.values().flatten();
    ids.filter_map(|id| plan.step(*id)).map(|input| input.address.clone()).collect()
}
