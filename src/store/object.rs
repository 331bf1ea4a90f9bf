//! Objects: immutable folders named by the digest of what they hold.

use std::{fs, io::ErrorKind, path::Path};

use super::{Done, Folder, Record, Store, StoreError, disk, durable};
use crate::base::digest::Digest;

/// How an object differs from what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub digest: Digest,
    /// The first file that is not as it was written; None where the folder as a whole is gone.
    pub file: Option<String>,
}

impl Store {
    /// Whether the object of a record is there with every file at its length. This reads no content.
    #[must_use]
    pub fn holds(&self, record: &Record) -> bool {
        let object = self.object(&record.output);
        let whole = |name: &str, bytes| fs::metadata(object.join(name)).is_ok_and(|it| it.len() == bytes);
        !record.files.is_empty() && record.files.iter().all(|file| whole(&file.name, file.bytes))
    }

    /// Reads an object's content against its name. The record tells which file is to blame.
    #[must_use]
    pub fn damage(&self, done: &Done) -> Option<Damage> {
        let digest = done.output;
        let found = match Folder::read(&self.object(&digest)) {
            Ok(folder) if folder.digest() == digest => return None,
            Ok(folder) => folder,
            Err(_) => return Some(Damage { digest, file: None }),
        };
        let file = self.record(&done.key).and_then(|record| {
            let lost = record.files.iter().find(|file| !found.files.contains(file));
            let added = found.files.iter().find(|file| !record.files.contains(file));
            lost.or(added).map(|file| file.name.clone())
        });
        Some(Damage { digest, file })
    }

    /// Takes a finished folder in: synced, made read-only, and renamed to the digest of its content.
    pub(super) fn install(&self, out: &Path) -> Result<Folder, StoreError> {
        let folder = Folder::read(out)?;
        if folder.files.is_empty() {
            return Err(StoreError::Nothing);
        }
        seal(out)?;
        let object = self.object(&folder.digest());
        if let Some(shelf) = object.parent() {
            disk::create_folder(shelf)?;
            durable::sync_folder(&self.root().join("objects"))?;
        }
        match disk::rename(out, &object) {
            Ok(()) => object.parent().map_or(Ok(()), durable::sync_folder)?,
            // Another step made the same bytes before. They are the same only as long as they are whole.
            Err(error) if is_taken(&error) => self.mend(out, &object, &folder)?,
            Err(error) => return Err(error),
        }
        Ok(folder)
    }

    /// Puts a folder into the place of an object, unless that is whole.
    fn mend(&self, out: &Path, object: &Path, folder: &Folder) -> Result<(), StoreError> {
        while Folder::read(object).ok().as_ref() != Some(folder) {
            self.set_damaged_aside(&folder.digest())?;
            match durable::rename(out, object) {
                // Yet another step made the same bytes.
                Err(error) if is_taken(&error) => {}
                renamed => return renamed,
            }
        }
        Ok(())
    }
}

/// Whether a folder could not be renamed because there is one of that name.
fn is_taken(error: &StoreError) -> bool {
    let StoreError::File { error, .. } = error else { return false };
    matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists)
}

/// Makes a folder and all below it durable, and its files read-only.
pub(super) fn seal(folder: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(folder).map_err(|error| StoreError::file(folder, error))? {
        let path = entry.map_err(|error| StoreError::file(folder, error))?.path();
        if path.is_dir() {
            seal(&path)?;
        } else {
            durable::sync(&path)?;
            disk::make_read_only(&path)?;
        }
    }
    durable::sync_folder(folder)
}
