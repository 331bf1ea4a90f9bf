//! What was made before, for those who compare a step with it.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use super::{Done, Glance, Record, Store};
use crate::base::digest::Digest;

/// A view of the records.
pub trait History {
    /// What was made of a key, where its object is there.
    fn done(&self, key: &Digest) -> Option<Done>;

    /// All that a stage ever made.
    fn of_stage(&self, stage: &str) -> Rc<Past>;
}

/// The records of one stage, the newest first.
#[derive(Debug, Default)]
pub struct Past {
    all: Vec<Rc<Record>>,
    by_address: BTreeMap<String, Vec<Rc<Record>>>,
    by_key: BTreeMap<Digest, Rc<Record>>,
}

impl Past {
    /// Sorts records, which must come with the newest first.
    #[must_use]
    pub fn new(all: Vec<Rc<Record>>) -> Self {
        let mut past = Self { all, ..Self::default() };
        for record in &past.all {
            past.by_address.entry(record.address.clone()).or_default().push(Rc::clone(record));
            past.by_key.insert(record.key, Rc::clone(record));
        }
        past
    }

    #[must_use]
    pub fn all(&self) -> &[Rc<Record>] {
        &self.all
    }

    /// Those that were made under an address.
    #[must_use]
    pub fn at(&self, address: &str) -> &[Rc<Record>] {
        self.by_address.get(address).map(Vec::as_slice).unwrap_or_default()
    }

    /// The one of a key, whether its object is there or not.
    #[must_use]
    pub fn of_key(&self, key: &Digest) -> Option<&Record> {
        self.by_key.get(key).map(Rc::as_ref)
    }
}

/// The pasts of stages, each sorted once.
#[derive(Default)]
pub(super) struct Pasts(RefCell<BTreeMap<String, Rc<Past>>>);

impl Pasts {
    pub(super) fn get(&self, stage: &str, read: impl FnOnce() -> Vec<Rc<Record>>) -> Rc<Past> {
        let mut pasts = self.0.borrow_mut();
        match pasts.get(stage) {
            Some(past) => Rc::clone(past),
            None => Rc::clone(pasts.entry(stage.to_owned()).or_insert_with(|| Rc::new(Past::new(read())))),
        }
    }
}

/// The history of a machine on which nothing was ever run.
pub struct Unrecorded;

impl History for Unrecorded {
    fn done(&self, _: &Digest) -> Option<Done> {
        None
    }

    fn of_stage(&self, _: &str) -> Rc<Past> {
        Rc::default()
    }
}

/// The history as the files tell it. They are read all at once, when the first question needs it.
pub struct Records<'a> {
    store: &'a Store,
    all: OnceCell<Vec<Rc<Record>>>,
    glance: Glance,
    pasts: Pasts,
}

impl<'a> Records<'a> {
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self::after(store, Glance::new(store))
    }

    /// The history of a store at which a glance was taken before.
    #[must_use]
    pub fn after(store: &'a Store, glance: Glance) -> Self {
        Self { store, all: OnceCell::new(), glance, pasts: Pasts::default() }
    }

    pub(super) fn glance(&self) -> &Glance {
        &self.glance
    }

    pub(super) fn read(&self, stage: &str) -> Vec<Rc<Record>> {
        let all = self.all.get_or_init(|| self.store.records().into_iter().map(Rc::new).collect());
        all.iter().filter(|record| record.stage == stage).cloned().collect()
    }
}

impl History for Records<'_> {
    fn done(&self, key: &Digest) -> Option<Done> {
        self.glance.done(key).or_else(|| self.store.done(key).as_ref().map(Done::from))
    }

    fn of_stage(&self, stage: &str) -> Rc<Past> {
        self.pasts.get(stage, || self.read(stage))
    }
}
