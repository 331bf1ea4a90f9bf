//! The history by way of the index.

use std::{cell::OnceCell, rc::Rc};

use super::{Done, Glance, History, Index, Past, Records, Store, StoreError, history::Pasts};
use crate::base::digest::Digest;

/// The history by way of the index, which is opened when it is first needed, or of the files where it cannot be.
pub struct Indexed<'a> {
    store: &'a Store,
    index: OnceCell<Option<Index>>,
    files: Records<'a>,
    pasts: Pasts,
}

impl<'a> Indexed<'a> {
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self::after(store, Glance::new(store))
    }

    /// The history of a store at which a glance was taken before.
    #[must_use]
    pub fn after(store: &'a Store, glance: Glance) -> Self {
        Self { store, index: OnceCell::new(), files: Records::after(store, glance), pasts: Pasts::default() }
    }

    /// The index itself; None where another process has it.
    pub fn index(&self) -> Option<&Index> {
        self.index.get_or_init(|| Index::open(self.store)).as_ref()
    }

    /// The index of a store that is there already; None where looking would make one.
    #[must_use]
    pub fn existing(&self) -> Option<&Index> {
        if self.store.root().exists() { self.index() } else { None }
    }

    /// What a person should know of the index, if it was opened.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.index.get()?.as_ref()?.note()
    }

    /// Keeps what these steps made for a quicker look next time, and gives that look; None where they are few.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn remember(&self, made: impl Iterator<Item = Done> + Clone) -> Result<Option<Glance>, StoreError> {
        self.files.glance().remember(made)
    }

    fn indexed(&self, stage: &str) -> Option<Past> {
        // To look at a store that is not there must not make one.
        if !self.store.root().exists() {
            return Some(Past::default());
        }
        self.index()?.keys(stage).map(|keys| Past::new(self.store, keys))
    }
}

impl History for Indexed<'_> {
    fn done(&self, key: &Digest) -> Option<Done> {
        self.files.done(key)
    }

    fn of_stage(&self, stage: &str) -> Rc<Past> {
        self.pasts.get(stage, || self.indexed(stage).unwrap_or_else(|| self.files.read(stage)))
    }
}
