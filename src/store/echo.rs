//! Where the echo of a run is kept: what it would say if it were asked for once more. Only one is kept, the latest.

use super::{Store, StoreError, derived};

/// The file's name.
pub(super) const NAME: &str = "run.echo";

impl Store {
    /// The text of the latest echo, where it is as it was written.
    #[must_use]
    pub fn echo(&self) -> Option<String> {
        String::from_utf8(derived::read(self, NAME)?.0).ok()
    }

    /// Keeps the text of an echo in the place of the one before.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn keep_echo(&self, text: &[u8]) -> Result<(), StoreError> {
        derived::write(self, NAME, text).map(drop)
    }
}
