//! Files that tell nothing but what the rest of the store tells, only quicker. They may be deleted at any time.
//!
//! Each ends in the digest of all before it. They need not be durable: what a power cut leaves of one shows by that.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{Store, StoreError, disk};
use crate::base::digest::Digest;

const DIGEST: usize = 32;

/// What a file holds, with the digest of it; None where it is not as it was written.
pub(super) fn read(store: &Store, name: &str) -> Option<(Vec<u8>, Digest)> {
    let mut bytes = fs::read(store.root().join(name)).ok()?;
    let (rest, check) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    let digest = Digest::from_bytes(check).filter(|it| Digest::of(rest) == *it)?;
    let length = rest.len();
    bytes.truncate(length);
    Some((bytes, digest))
}

/// Puts a file into the place of the one before, and gives the digest of what it holds.
pub(super) fn write(store: &Store, name: &str, bytes: &[u8]) -> Result<Digest, StoreError> {
    let digest = Digest::of(bytes);
    let scratch = store.root().join("scratch").join(format!("{name}-{}", std::process::id()));
    let mut file = disk::create(&scratch)?;
    // Says that somebody is writing; see `is_left`.
    let _ = file.try_lock();
    disk::write(&mut file, &scratch, bytes)?;
    disk::write(&mut file, &scratch, digest.bytes())?;
    disk::rename(&scratch, &store.root().join(name))?;
    Ok(digest)
}

/// Whether a file in the scratch folder is one of these that a dead process left half written.
pub(super) fn is_left(path: &Path) -> bool {
    let name = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.rsplit_once('-'));
    name.is_some_and(|(name, _)| [super::echo::NAME, super::snapshot::NAME].contains(&name))
        && File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        assert_eq!(read(&store, "a"), None);
        let digest = write(&store, "a", b"all is made").unwrap();
        assert_eq!(read(&store, "a"), Some((b"all is made".to_vec(), digest)));
        let path = folder.path().join("a");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&store, "a"), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read(&store, "a"), None, "cut off at {at}");
        }
    }

    #[test]
    fn what_a_dead_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        let [left, written] = ["run.echo-1", "records.snapshot-2"].map(|name| folder.path().join("scratch").join(name));
        fs::write(&left, "half").unwrap();
        let file = File::create(&written).unwrap();
        file.lock().unwrap();
        store.prepare().unwrap();
        assert_eq!((left.exists(), written.exists()), (false, true));
    }
}
