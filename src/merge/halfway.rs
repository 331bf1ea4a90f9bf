//! A merge that can be stopped half way and gone on with: its weights are written into a folder that outlives the process.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MergeError, output::Output};
use crate::base::digest::{Digest, StreamHasher};

/// How far a merge has come: so many tensors are written and durable, and this is the digest of their bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Halfway {
    pub done: u64,
    pub digest: Digest,
}

/// Who keeps how far a merge has come.
pub trait Pauses {
    /// The folder in which the weights are written until they are whole.
    fn folder(&self) -> &Path;

    /// How far earlier attempts came, the latest first.
    fn kept(&self) -> Vec<Halfway>;

    /// Whether it is time to keep how far this one has come.
    fn due(&self) -> bool;

    /// Keeps it.
    ///
    /// # Errors
    /// Where it cannot be kept.
    fn keep(&self, halfway: &Halfway) -> Result<(), MergeError>;

    /// Told that the merge goes on after so many tensors.
    fn resumed(&self, done: u64);
}

/// The tensors that are written, in the order in which they are.
pub(super) struct Track<'a> {
    names: Vec<&'a str>,
    output: &'a Output,
    hasher: StreamHasher,
    /// How many tensors the digest covers.
    covered: usize,
}

impl<'a> Track<'a> {
    pub(super) fn new(names: Vec<&'a str>, output: &'a Output) -> Self {
        Self { names, output, hasher: StreamHasher::new(), covered: 0 }
    }

    /// Whether the files hold what they held then; if not, nothing of this is used.
    pub(super) fn holds(&mut self, halfway: &Halfway) -> bool {
        let there = halfway.done as usize <= self.names.len() && self.reach(halfway.done as usize).is_ok();
        let same = there && self.hasher.finish() == halfway.digest;
        if !same {
            (self.hasher, self.covered) = (StreamHasher::new(), 0);
        }
        same
    }

    /// How far the merge is when so many tensors are written; they are made durable first.
    pub(super) fn at(&mut self, done: usize) -> Result<Halfway, MergeError> {
        self.output.sync()?;
        self.reach(done)?;
        Ok(Halfway { done: done as u64, digest: self.hasher.finish() })
    }

    /// Reads tensors back up to the `done`-th.
    fn reach(&mut self, done: usize) -> Result<(), MergeError> {
        for name in self.names.iter().take(done).skip(self.covered) {
            self.hasher.update(&self.output.read(name)?);
        }
        self.covered = self.covered.max(done);
        Ok(())
    }
}
