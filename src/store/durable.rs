//! Writing so that a power cut leaves the old state or the new one, and nothing between.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use super::StoreError;

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // The parent of a relative path of one part is the empty path.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    sync(folder)
}

/// Makes the bytes of a file durable.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| StoreError::file(path, error))
}

/// Writes a file by way of another name on the same disk, so that `path` never holds half of it.
pub(super) fn write(path: &Path, bytes: &[u8], scratch: &Path) -> Result<(), StoreError> {
    let write = || {
        let mut file = File::create(scratch)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| StoreError::file(scratch, error))?;
    rename(scratch, path)
}

/// Moves a file or a folder, and makes both ends of the move durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::file(to, error))?;
    to.parent().map_or(Ok(()), sync_folder)?;
    from.parent().map_or(Ok(()), sync_folder)
}
