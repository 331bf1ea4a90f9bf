//! Every change that the store makes to its folder, each an operation that a failpoint can strike (see [`super::faults`]).
//!
//! No other file of the store calls the file system to write. Errors name the path.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::{
    StoreError,
    faults::{Operation, Strike},
};

/// Makes a folder with those that it lies in.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    perform(Operation::Folder, path, || fs::create_dir_all(path))
}

/// Makes an empty file, or empties the one that is there.
pub(super) fn create(path: &Path) -> Result<File, StoreError> {
    perform(Operation::Create, path, || File::create(path))
}

/// Opens a file to add to its end, making it where it is not there.
pub(super) fn open_to_append(path: &Path) -> Result<File, StoreError> {
    perform(Operation::Create, path, || File::options().append(true).create(true).open(path))
}

/// Opens a file to read and change, making it where it is not there.
pub(super) fn open_to_change(path: &Path) -> Result<File, StoreError> {
    perform(Operation::Create, path, || File::options().read(true).write(true).create(true).truncate(false).open(path))
}

/// Writes bytes at the place where an open file stands.
pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut write = |strike: Strike| {
        strike.before()?;
        if strike.halves() {
            file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
            strike.halfway()?;
        }
        file.write_all(bytes)?;
        strike.after()
    };
    Strike::of(Operation::Write, path).and_then(&mut write).map_err(|error| StoreError::file(path, error))
}

/// Makes the bytes of an open file durable.
pub(super) fn sync(file: &File, path: &Path) -> Result<(), StoreError> {
    perform(Operation::Sync, path, || file.sync_all())
}

/// Makes the bytes of a file, or the names in a folder, durable.
pub(super) fn sync_path(path: &Path) -> Result<(), StoreError> {
    perform(Operation::Sync, path, || File::open(path)?.sync_all())
}

/// Gives a file or a folder another name. An error names the latter, unless there is nothing under the former.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    perform(Operation::Rename, to, || fs::rename(from, to)).map_err(|error| match error {
        StoreError::File { error, .. } if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
            StoreError::file(from, error)
        }
        other => other,
    })
}

/// Copies a file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    perform(Operation::Write, to, || fs::copy(from, to).map(drop))
}

/// Gives a file a second name, or copies it where the disk knows no second names.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    perform(Operation::Write, to, || fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop)))
}

/// Removes a file; that it is gone already is no error.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    perform(Operation::Remove, path, || there(fs::remove_file(path)))
}

/// Removes a folder with all that is in it; that it is gone already is no error.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    perform(Operation::Remove, path, || there(fs::remove_dir_all(path)))
}

/// Makes a file one that nobody writes to.
pub(super) fn make_read_only(path: &Path) -> Result<(), StoreError> {
    perform(Operation::Permit, path, || fs::set_permissions(path, fs::Permissions::from_mode(0o444)))
}

/// Removes a file, or a folder with all that is in it; that it is gone already is no error.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() { remove_folder(path) } else { remove_file(path) }
}

fn perform<T>(operation: Operation, path: &Path, act: impl FnOnce() -> io::Result<T>) -> Result<T, StoreError> {
    let act = |strike: Strike| {
        strike.before()?;
        let done = act()?;
        strike.after()?;
        Ok(done)
    };
    Strike::of(operation, path).and_then(act).map_err(|error| StoreError::file(path, error))
}

fn there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
