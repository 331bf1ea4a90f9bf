//! Which steps are made, which could be, and which never will be in this run.

use std::collections::BTreeSet;

use crate::{
    plan::{Plan, StepId},
    store::Done,
};

/// How far one step has come.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Not begun, or to be made again.
    Open,
    Running,
    Made(Done),
    Failed,
    /// An input failed.
    Skipped,
    /// A person is to decide first.
    Asking,
    /// An input waits for a person.
    Held,
}

/// The places of all steps of a plan.
pub(super) struct Board {
    places: Vec<Place>,
    /// For each step the steps that read it, once for each time they do.
    readers: Vec<Vec<StepId>>,
    /// The steps that are running.
    under_way: BTreeSet<StepId>,
    /// How many of its inputs each step still lacks.
    lacking: Vec<usize>,
    /// Open steps that lack nothing and that nobody has looked at.
    ready: BTreeSet<StepId>,
}

impl Board {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut readers = vec![Vec::new(); plan.steps.len()];
        let mut lacking = Vec::with_capacity(plan.steps.len());
        for (id, step) in plan.steps.iter().enumerate() {
            let mut count = 0;
            for input in step.inputs.values().flatten() {
                count += 1;
                if let Some(readers) = readers.get_mut(input.0) {
                    readers.push(StepId(id));
                }
            }
            lacking.push(count);
        }
        let ready = lacking.iter().enumerate().filter(|(_, count)| **count == 0).map(|(id, _)| StepId(id)).collect();
        Self { places: vec![Place::Open; plan.steps.len()], under_way: BTreeSet::new(), readers, lacking, ready }
    }

    /// The next step in the plan's order that lacks nothing.
    pub(super) fn next_ready(&mut self) -> Option<StepId> {
        self.ready.pop_first()
    }

    /// What a step made.
    pub(super) fn made(&self, id: StepId) -> Option<&Done> {
        match self.places.get(id.0)? {
            Place::Made(done) => Some(done),
            _ => None,
        }
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (StepId, &Place)> + Clone {
        self.places.iter().enumerate().map(|(id, place)| (StepId(id), place))
    }

    /// How many steps are running.
    pub(super) fn running(&self) -> usize {
        self.under_way.len()
    }

    /// The steps that are running, in the plan's order.
    pub(super) fn under_way(&self) -> impl Iterator<Item = StepId> {
        self.under_way.iter().copied()
    }

    pub(super) fn start(&mut self, id: StepId) {
        self.set(id, Place::Running);
    }

    /// A step is made; those that lacked nothing else become ready.
    pub(super) fn make(&mut self, id: StepId, done: Done) {
        self.set(id, Place::Made(done));
        self.ready.remove(&id);
        for reader in self.readers.get(id.0).into_iter().flatten() {
            let Some(lacking) = self.lacking.get_mut(reader.0) else { continue };
            *lacking -= 1;
            if *lacking == 0 && matches!(self.places.get(reader.0), Some(Place::Open)) {
                self.ready.insert(*reader);
            }
        }
    }

    /// What a step made is lost: it and its readers that have not begun are open again.
    pub(super) fn lose(&mut self, id: StepId) {
        self.reopen(id);
        for reader in self.readers.get(id.0).cloned().unwrap_or_default() {
            if let Some(lacking) = self.lacking.get_mut(reader.0) {
                *lacking += 1;
            }
            self.ready.remove(&reader);
        }
    }

    /// A step that was begun is open again.
    pub(super) fn reopen(&mut self, id: StepId) {
        self.set(id, Place::Open);
        if self.is_ready(id) {
            self.ready.insert(id);
        }
    }

    /// Whether a step is open and lacks nothing.
    pub(super) fn is_ready(&self, id: StepId) -> bool {
        matches!(self.places.get(id.0), Some(Place::Open)) && self.lacking.get(id.0) == Some(&0)
    }

    /// A step failed: gives the steps that cannot be made because of it, in the plan's order.
    pub(super) fn fail(&mut self, id: StepId) -> BTreeSet<StepId> {
        self.end(id, Place::Failed, &Place::Skipped)
    }

    /// A step waits for a person: gives the steps that wait with it, in the plan's order.
    pub(super) fn ask(&mut self, id: StepId) -> BTreeSet<StepId> {
        self.end(id, Place::Asking, &Place::Held)
    }

    /// A step comes to an end without being made, and with it all that is still open and builds on it.
    fn end(&mut self, id: StepId, place: Place, after: &Place) -> BTreeSet<StepId> {
        self.set(id, place);
        self.ready.remove(&id);
        let mut along = BTreeSet::new();
        let mut ended = vec![id];
        while let Some(id) = ended.pop() {
            for reader in self.readers.get(id.0).cloned().unwrap_or_default() {
                let open = matches!(self.places.get(reader.0), Some(Place::Open));
                // What waits for a person need not wait for it in vain.
                let lost = matches!((self.places.get(reader.0), after), (Some(Place::Held), Place::Skipped));
                if open || lost {
                    self.set(reader, after.clone());
                    along.insert(reader);
                    ended.push(reader);
                }
            }
        }
        along
    }

    fn set(&mut self, id: StepId, place: Place) {
        let Some(slot) = self.places.get_mut(id.0) else { return };
        if matches!(place, Place::Running) {
            self.under_way.insert(id);
        } else {
            self.under_way.remove(&id);
        }
        *slot = place;
    }
}
