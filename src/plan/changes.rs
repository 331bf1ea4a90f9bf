//! What differs between two plans: which steps of the new one would give the bytes that steps of the old one give.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::Value as Json;

use crate::{
    base::digest::Digest,
    plan::{Difference, KeyFields, Plan, Side, Step, StepId, differences},
};

/// A plan with the digests of the files that it reads.
#[derive(Clone, Copy)]
pub struct Sided<'a> {
    pub plan: &'a Plan,
    pub file: &'a dyn Fn(&Path) -> Option<Digest>,
}

/// How one step of the new plan stands to the old plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A step of the old plan makes the same, whatever it is called and wherever it stands.
    Same { old: StepId },
    /// It differs itself: all that does, the most telling first.
    Changed { old: StepId, differences: Vec<Difference> },
    /// It is as it was, and takes what these steps of the new plan make, which changed.
    Follows { old: StepId, after: Vec<StepId> },
    /// The old plan has no such step.
    New,
}

/// The difference between two plans.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// One for each step of the new plan, in its order.
    pub steps: Vec<Change>,
    /// Steps of the old plan that the new one has no more.
    pub gone: Vec<StepId>,
}

impl Change {
    /// The step of the old plan that it was.
    #[must_use]
    pub fn old(&self) -> Option<StepId> {
        match self {
            Self::Same { old } | Self::Changed { old, .. } | Self::Follows { old, .. } => Some(*old),
            Self::New => None,
        }
    }
}

/// Compares two plans by what goes into their steps, all the way up; names, places and comments play no part.
#[must_use]
pub fn changes(old: Sided, new: Sided) -> Changes {
    let before = fingerprints(old);
    let after = fingerprints(new);
    let pairs = Pairs::new(old.plan, new.plan, &before, &after);
    let steps = new.plan.steps.iter().map(|step| match pairs.of.get(&step.id) {
        Some(it) if pairs.same.contains(&step.id) => Change::Same { old: *it },
        Some(it) => old.plan.step(*it).map_or(Change::New, |then| pairs.change(old, new, then, step)),
        None => Change::New,
    });
    let gone = old.plan.steps.iter().map(|step| step.id).filter(|id| !pairs.taken.contains(id));
    Changes { steps: steps.collect(), gone: gone.collect() }
}

/// A digest of all that goes into each step, with the steps it takes from in place of what they make.
fn fingerprints(side: Sided) -> Vec<Digest> {
    let mut known: Vec<Digest> = Vec::with_capacity(side.plan.steps.len());
    for step in &side.plan.steps {
        let fields = fields(side, step, &|id| known.get(id.0).copied());
        known.push(fields.map_or_else(|| Digest::of(step.address.as_bytes()), |it| it.key()));
    }
    known
}

fn fields(side: Sided, step: &Step, input: &dyn Fn(StepId) -> Option<Digest>) -> Option<KeyFields> {
    KeyFields::of(step, input, &|argument| (side.file)(step.files.get(argument)?))
}

/// Which step of the old plan each step of the new plan was.
struct Pairs {
    of: BTreeMap<StepId, StepId>,
    taken: BTreeSet<StepId>,
    /// Steps of the new plan that give what they gave.
    same: BTreeSet<StepId>,
}

impl Pairs {
    fn new(old: &Plan, new: &Plan, before: &[Digest], after: &[Digest]) -> Self {
        let mut pairs = Self { of: BTreeMap::new(), taken: BTreeSet::new(), same: BTreeSet::new() };
        let addresses: BTreeMap<&str, StepId> = old.steps.iter().map(|it| (it.address.as_str(), it.id)).collect();
        let mut alike: BTreeMap<Digest, Vec<StepId>> = BTreeMap::new();
        for (step, digest) in old.steps.iter().zip(before) {
            alike.entry(*digest).or_default().push(step.id);
        }
        // What is the same in all is the same step; of several that are, the one of the same name.
        let named = |step: &Step| addresses.get(step.address.as_str()).copied();
        for (step, digest) in new.steps.iter().zip(after) {
            let found = named(step).filter(|id| before.get(id.0) == Some(digest));
            found.into_iter().for_each(|it| pairs.take(step.id, it));
        }
        for (step, digest) in new.steps.iter().zip(after) {
            if !pairs.of.contains_key(&step.id) {
                let found = alike.get(digest).and_then(|ids| ids.iter().find(|id| !pairs.taken.contains(id)));
                found.copied().into_iter().for_each(|it| pairs.take(step.id, it));
            }
        }
        pairs.same = pairs.of.keys().copied().collect();
        // Then the one of the same name and stage, and then one that was called otherwise and differs in nothing else
        // than in what it takes.
        let same_stage = |step: &Step, id: &StepId| old.step(*id).is_some_and(|it| it.stage == step.stage);
        for step in &new.steps {
            if !pairs.of.contains_key(&step.id) {
                let found = named(step).filter(|id| !pairs.taken.contains(id) && same_stage(step, id));
                found.into_iter().for_each(|it| pairs.take(step.id, it));
            }
        }
        for step in &new.steps {
            if !pairs.of.contains_key(&step.id) {
                let twin = |it: &&Step| {
                    !pairs.taken.contains(&it.id)
                        && (&it.stage, &it.arguments, &it.files) == (&step.stage, &step.arguments, &step.files)
                        && it.inputs.keys().eq(step.inputs.keys())
                };
                let found = old.steps.iter().find(twin).map(|it| it.id);
                found.into_iter().for_each(|it| pairs.take(step.id, it));
            }
        }
        pairs
    }

    fn take(&mut self, new: StepId, old: StepId) {
        self.of.insert(new, old);
        self.taken.insert(old);
    }

    /// What became of a step that does not give the same.
    fn change(&self, old: Sided, new: Sided, then: &Step, now: &Step) -> Change {
        // A step that was paired counts as one input, whether or not it gives the same now.
        let token = |id: StepId| Some(Digest::of(format!("old {}", id.0).as_bytes()));
        let paired = |id: StepId| match self.of.get(&id) {
            Some(old) => token(*old),
            None => Some(Digest::of(format!("new {}", id.0).as_bytes())),
        };
        let (Some(before), Some(after)) = (fields(old, then, &token), fields(new, now, &paired)) else {
            return Change::New;
        };
        let mut found = differences(&before, &after);
        for difference in &mut found {
            if let Some((port, at)) = difference.input().map(|(port, at)| (port.to_owned(), at)) {
                let name = |plan: &Plan, step: &Step| {
                    let source = step.inputs.get(&port).and_then(|it| it.get(at)).and_then(|id| plan.step(*id));
                    source.map_or(Side::Absent, |it| Side::Value(Json::from(it.address.as_str())))
                };
                (difference.old, difference.new) = (name(old.plan, then), name(new.plan, now));
            }
        }
        if found.is_empty() {
            let mut after: Vec<StepId> = now.inputs.values().flatten().copied().collect();
            after.retain(|id| !self.same.contains(id));
            after.dedup();
            return Change::Follows { old: then.id, after };
        }
        Change::Changed { old: then.id, differences: found }
    }
}
