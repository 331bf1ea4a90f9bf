//! Writing so that a power cut leaves the old state or the new one, and nothing between.

use std::path::Path;

use super::{StoreError, disk};

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // The parent of a relative path of one part is the empty path.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    sync(folder)
}

/// Makes the bytes of a file durable.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    disk::sync_path(path)
}

/// Writes a file by way of another name on the same disk, so that `path` never holds half of it.
pub(super) fn write(path: &Path, bytes: &[u8], scratch: &Path) -> Result<(), StoreError> {
    let mut file = disk::create(scratch)?;
    disk::write(&mut file, scratch, bytes)?;
    disk::sync(&file, scratch)?;
    rename(scratch, path)
}

/// Moves a file or a folder, and makes both ends of the move durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    disk::rename(from, to)?;
    to.parent().map_or(Ok(()), sync_folder)?;
    from.parent().map_or(Ok(()), sync_folder)
}
