//! A merge that can be stopped half way and gone on with: its weights are written into a folder that outlives the process.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::{
    MergeError, Progress,
    output::{Output, Slot},
};
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

/// Writes tensors in units, from where an earlier attempt was stopped; gives the files with all of them. The tensors of a
/// unit are whole once `write` has done it.
pub(super) fn write_units(
    units: &[Vec<&str>],
    (slots, shard): (&BTreeMap<String, Slot>, u64),
    progress: Progress,
    pauses: &dyn Pauses,
    write: impl Fn(usize, &Output) -> Result<(), MergeError>,
) -> Result<Output, MergeError> {
    let names = || units.iter().flatten().copied().collect::<Vec<_>>();
    let mut total = 0;
    let mut starts = Vec::new();
    for unit in units {
        starts.push(total);
        total += unit.len();
    }
    let earlier = Output::reopen(pauses.folder(), slots.clone(), shard).and_then(|output| {
        let mut track = Track::new(names(), &output);
        let usable = |it: &Halfway| starts.contains(&(it.done as usize)) && track.holds(it);
        let done = pauses.kept().into_iter().find(usable)?.done;
        Some((output, done as usize))
    });
    let (output, begun) = match earlier {
        Some((output, done)) => {
            pauses.resumed(done as u64);
            (output, done)
        }
        None => (Output::create(pauses.folder(), slots.clone(), shard)?, 0),
    };
    let mut track = Track::new(names(), &output);
    for (unit, done) in starts.into_iter().enumerate().skip_while(|(_, done)| *done < begun) {
        let goes_on = progress(done as u64, total as u64);
        if (!goes_on || pauses.due()) && done > begun {
            pauses.keep(&track.at(done)?)?;
        }
        if !goes_on {
            return Err(MergeError::Cancelled);
        }
        write(unit, &output)?;
    }
    Ok(output)
}

/// The tensors that are written, in the order in which they are.
struct Track<'a> {
    names: Vec<&'a str>,
    output: &'a Output,
    hasher: StreamHasher,
    /// How many tensors the digest covers.
    covered: usize,
}

impl<'a> Track<'a> {
    fn new(names: Vec<&'a str>, output: &'a Output) -> Self {
        Self { names, output, hasher: StreamHasher::new(), covered: 0 }
    }

    /// Whether the files hold what they held then; if not, nothing of this is used.
    fn holds(&mut self, halfway: &Halfway) -> bool {
        let there = halfway.done as usize <= self.names.len() && self.reach(halfway.done as usize).is_ok();
        let same = there && self.hasher.finish() == halfway.digest;
        if !same {
            (self.hasher, self.covered) = (StreamHasher::new(), 0);
        }
        same
    }

    /// How far the merge is when so many tensors are written; they are made durable first.
    fn at(&mut self, done: usize) -> Result<Halfway, MergeError> {
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
