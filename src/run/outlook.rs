//! What is known before a run begins: the files that its plan reads, and what the store has.

use super::{RunError, inputs, watch::Watch};
use crate::{
    plan::Plan,
    schedule::FileDigests,
    store::{Glance, Indexed, Store},
};

/// The files of a plan, digested, and the history of a store.
pub struct Outlook<'a> {
    pub(super) store: &'a Store,
    pub(super) history: Indexed<'a>,
    pub(super) files: FileDigests,
    /// What the files were, to be held against what they are when they have been used.
    pub(super) watch: Watch,
}

impl<'a> Outlook<'a> {
    /// Reads every file that a plan names, but large ones that have not changed since the index saw them.
    ///
    /// # Errors
    /// Where some of them cannot be read: a diagnostic for each.
    pub fn new(plan: &Plan, store: &'a Store, glance: Glance) -> Result<Self, RunError> {
        let history = Indexed::after(store, glance);
        let (files, watch) = inputs::watched(plan, &history)?;
        Ok(Self { store, history, files, watch })
    }

    /// The digests of the files.
    #[must_use]
    pub fn files(&self) -> &FileDigests {
        &self.files
    }
}
