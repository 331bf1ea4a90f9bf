//! Where the echo of a run is kept: what it would say if it were asked for once more. Only one is kept, the latest.
//!
//! It is derived, as the snapshot is that it builds on, and may be deleted at any time; one that is damaged is not used.

use std::{fs, path::PathBuf};

use super::{Store, StoreError, disk};
use crate::base::digest::Digest;

impl Store {
    /// The text of the latest echo, where it is as it was written.
    #[must_use]
    pub fn echo(&self) -> Option<String> {
        let mut text = String::from_utf8(fs::read(self.echo_file()).ok()?).ok()?;
        let (rest, check) = text.split_at_checked(text.len().checked_sub(Digest::of(b"").hex().len())?)?;
        let length = (Digest::of(rest.as_bytes()).hex() == check).then_some(rest.len())?;
        text.truncate(length);
        Some(text)
    }

    /// Keeps the text of an echo in the place of the one before.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn keep_echo(&self, text: &str) -> Result<(), StoreError> {
        let scratch = self.root().join("scratch").join(format!("echo-{}", std::process::id()));
        let mut file = disk::create(&scratch)?;
        disk::write(&mut file, &scratch, text.as_bytes())?;
        disk::write(&mut file, &scratch, Digest::of(text.as_bytes()).hex().as_bytes())?;
        // It need not be durable: what a power cut leaves of it is found by its digest.
        disk::rename(&scratch, &self.echo_file())
    }

    fn echo_file(&self) -> PathBuf {
        self.root().join("run.echo")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_echo_is_no_echo() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        assert_eq!(store.echo(), None);
        store.keep_echo("all is made").unwrap();
        assert_eq!(store.echo().as_deref(), Some("all is made"));
        let whole = fs::read(store.echo_file()).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(store.echo_file(), bytes).unwrap();
            assert_eq!(store.echo(), None, "byte {at}");
            fs::write(store.echo_file(), &whole[..at]).unwrap();
            assert_eq!(store.echo(), None, "cut off at {at}");
        }
    }
}
