//! What was made before, for those who compare a step with it.

use std::{
    cell::{OnceCell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use super::{Done, Glance, Record, Store, record::Outline};
use crate::base::digest::Digest;

/// A view of the records.
pub trait History {
    /// What was made of a key, where its object is there.
    fn done(&self, key: &Digest) -> Option<Done>;

    /// All that a stage ever made.
    fn of_stage(&self, stage: &str) -> Rc<Past>;
}

/// The records of one stage, the newest first. Each is read when it is asked for.
#[derive(Default)]
pub struct Past {
    /// None where nothing was ever made.
    store: Option<Store>,
    all: Vec<Digest>,
    by_address: BTreeMap<String, Vec<Digest>>,
    read: RefCell<BTreeMap<Digest, Option<Rc<Record>>>>,
}

impl Past {
    /// The past of these keys, each with the address that its step had, which must come with the newest first.
    #[must_use]
    pub fn new(store: &Store, keys: Vec<(Digest, String)>) -> Self {
        let mut past = Self { store: Some(store.clone()), ..Self::default() };
        for (key, address) in keys {
            past.all.push(key);
            past.by_address.entry(address).or_default().push(key);
        }
        past
    }

    /// Whether the stage never made anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = Rc<Record>> {
        self.all.iter().filter_map(|key| self.of_key(key))
    }

    /// Those that were made under an address.
    pub fn at(&self, address: &str) -> impl Iterator<Item = Rc<Record>> {
        self.by_address.get(address).into_iter().flatten().filter_map(|key| self.of_key(key))
    }

    /// The one of a key, whether its object is there or not.
    #[must_use]
    pub fn of_key(&self, key: &Digest) -> Option<Rc<Record>> {
        let read = || self.store.as_ref()?.record(key).map(Rc::new);
        self.read.borrow_mut().entry(*key).or_insert_with(read).clone()
    }
}

/// The pasts of stages, each sorted once.
#[derive(Default)]
pub(super) struct Pasts(RefCell<BTreeMap<String, Rc<Past>>>);

impl Pasts {
    pub(super) fn get(&self, stage: &str, read: impl FnOnce() -> Past) -> Rc<Past> {
        let mut pasts = self.0.borrow_mut();
        match pasts.get(stage) {
            Some(past) => Rc::clone(past),
            None => Rc::clone(pasts.entry(stage.to_owned()).or_insert_with(|| Rc::new(read()))),
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

/// The history as the files tell it. They are looked through all at once, when the first question needs it.
pub struct Records<'a> {
    store: &'a Store,
    all: OnceCell<Vec<Outline>>,
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

    pub(super) fn read(&self, stage: &str) -> Past {
        let all = self.all.get_or_init(|| self.store.outlines(&self.glance));
        let of_stage = all.iter().filter(|it| it.stage == stage);
        Past::new(self.store, of_stage.map(|it| (it.key, it.address.clone())).collect())
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
