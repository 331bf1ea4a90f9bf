//! What the store does to its folder, by way of [`crate::base::disk`]. Errors name the path.

use std::{
    fs::File,
    io::{self, ErrorKind},
    path::Path,
};

use super::StoreError;
use crate::base::disk;

/// Makes a folder with those that it lies in.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    at(path, disk::create_folder(path))
}

/// Makes an empty file, or empties the one that is there.
pub(super) fn create(path: &Path) -> Result<File, StoreError> {
    at(path, disk::create(path))
}

/// Opens a file to add to its end, making it where it is not there.
pub(super) fn open_to_append(path: &Path) -> Result<File, StoreError> {
    at(path, disk::open_to_append(path))
}

/// Opens a file to read and change, making it where it is not there.
pub(super) fn open_to_change(path: &Path) -> Result<File, StoreError> {
    at(path, disk::open_to_change(path))
}

/// Writes bytes at the place where an open file stands.
pub(super) fn write(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    at(path, disk::write(file, path, bytes))
}

/// Gives an open file another length.
pub(super) fn set_length(file: &File, path: &Path, bytes: u64) -> Result<(), StoreError> {
    at(path, disk::set_length(file, path, bytes))
}

/// Makes the bytes of an open file durable.
pub(super) fn sync(file: &File, path: &Path) -> Result<(), StoreError> {
    at(path, disk::sync(file, path))
}

/// Makes the bytes of a file, or the names in a folder, durable.
pub(super) fn sync_path(path: &Path) -> Result<(), StoreError> {
    at(path, disk::sync_path(path))
}

/// Gives a file or a folder another name. An error names the latter, unless there is nothing under the former.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    disk::rename(from, to).map_err(|error| match error.kind() {
        ErrorKind::NotFound if !from.exists() => StoreError::file(from, error),
        _ => StoreError::file(to, error),
    })
}

/// Copies a file.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    at(to, disk::copy(from, to))
}

/// Gives a file a second name, or copies it where the disk knows no second names.
pub(super) fn link(from: &Path, to: &Path) -> Result<(), StoreError> {
    at(to, disk::link(from, to))
}

/// Removes a file; that it is gone already is no error.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    at(path, disk::remove_file(path))
}

/// Removes a folder with all that is in it; that it is gone already is no error.
pub(super) fn remove_folder(path: &Path) -> Result<(), StoreError> {
    at(path, disk::remove_folder(path))
}

/// Removes a file, or a folder with all that is in it; that it is gone already is no error.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    at(path, disk::remove(path))
}

/// Makes a file one that nobody writes to.
pub(super) fn make_read_only(path: &Path) -> Result<(), StoreError> {
    at(path, disk::make_read_only(path))
}

fn at<T>(path: &Path, done: io::Result<T>) -> Result<T, StoreError> {
    done.map_err(|error| StoreError::file(path, error))
}
