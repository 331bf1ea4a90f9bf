//! The store: what every finished step made, kept by content as plain files that outlive any process.
//!
//! Truth is `objects/<aa>/<digest>/` (artifacts) and `records/<key>.json` (which step made which). Both are written in
//! `scratch/`, synced, and renamed into place, so each is there whole or not at all. A step is done when its record is.
//! `index/`, `records.snapshot` and `run.echo` are derived and may be deleted; `checkpoints/<key>/` is where a step may
//! keep its own half-way states, and `logs/<key>.log` what it had to say. `reviews/<key>/` holds what people decided,
//! which nobody can make again. `damaged/` holds what was found changed and was moved out of the way. All writing goes
//! through [`disk`].
#![expect(clippy::disallowed_methods, reason = "records say when they were made, and files when they were changed")]

mod checkpoint;
mod claim;
mod cost;
mod derived;
mod disk;
mod done;
mod durable;
mod echo;
mod error;
mod folder;
pub mod gc;
mod glance;
mod guard;
mod history;
mod hold;
mod index;
mod indexed;
mod object;
mod record;
mod review;
mod runs;
mod sealed;
mod snapshot;
mod verify;

use std::path::{Path, PathBuf};

pub use self::{
    checkpoint::{Begun, Checkpoint, Checkpoints},
    claim::{Claim, Claimed, Facts, Holder, Rehearsal},
    cost::Cost,
    done::Done,
    error::StoreError,
    folder::{Folder, Listed, digest_file, digest_folder},
    glance::Glance,
    history::{History, Past, Records, Unrecorded},
    hold::Hold,
    index::Index,
    indexed::Indexed,
    object::Damage,
    record::{FORMAT, Record},
    review::{Asked, Journal, Opening, Review},
    runs::RunLog,
};
use crate::base::digest::Digest;

/// A store in a folder. Opening one touches no file; the folder comes into being with the first step that runs.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The folder used where the person names none.
    pub const DEFAULT: &'static str = ".regimen";

    #[must_use]
    pub fn open(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the artifact of that digest is, or would be.
    #[must_use]
    pub fn object(&self, digest: &Digest) -> PathBuf {
        let name = digest.hex();
        let (shelf, _) = name.split_at(2);
        self.root.join(format!("objects/{shelf}/{name}"))
    }

    /// Where a step may keep states to go on from, under its own key.
    #[must_use]
    pub fn checkpoints(&self, key: &Digest) -> PathBuf {
        self.root.join("checkpoints").join(key.hex())
    }

    /// What the step of that key had to say at length when it last ran; not every step has.
    #[must_use]
    pub fn log_file(&self, key: &Digest) -> PathBuf {
        self.root.join("logs").join(format!("{key}.log"))
    }

    fn record_file(&self, key: &Digest) -> PathBuf {
        self.root.join(format!("records/{key}.json"))
    }

    /// Makes the folders that writing needs, and clears what dead processes left half made.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn prepare(&self) -> Result<(), StoreError> {
        let folders = ["objects", "records", "scratch", "locks", "runs"].map(|name| self.root.join(name));
        if !folders.iter().all(|folder| folder.is_dir()) {
            disk::create_folder(&self.root)?;
            // The store is large and can be made again: version control should not see it.
            let ignore = self.root.join(".gitignore");
            disk::write(&mut disk::create(&ignore)?, &ignore, b"*\n")?;
            folders.iter().try_for_each(|folder| disk::create_folder(folder))?;
            durable::sync_folder(&self.root)?;
            self.root.parent().map_or(Ok(()), durable::sync_folder)?;
        }
        claim::sweep(self)
    }
}
