//! Who may remove objects: one process, while nobody else works with the store. The lock is the kernel's.

use std::{
    fs::{File, TryLockError},
    path::PathBuf,
};

use super::{Store, StoreError, disk};

/// Keeps what a process relies on from being removed, for as long as this lives.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
}

impl Store {
    /// Keeps objects from being removed by others. `waiting` is told where another process is removing some just now,
    /// which is then waited for. None where there is no store yet, or where it cannot be locked: then nobody can remove
    /// anything from it either.
    #[must_use]
    pub fn hold(&self, waiting: impl FnOnce()) -> Option<Hold> {
        if !self.root().is_dir() {
            return None;
        }
        let path = self.hold_file();
        let lock = File::open(&path).or_else(|_| disk::open_to_change(&path)).ok()?;
        if matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            waiting();
            lock.lock_shared().ok()?;
        }
        Some(Hold { _lock: lock })
    }

    /// As [`Store::hold`], and None as well where it would have to wait.
    pub(super) fn try_hold(&self) -> Option<Hold> {
        let lock = File::open(self.hold_file()).ok()?;
        lock.try_lock_shared().ok()?;
        Some(Hold { _lock: lock })
    }

    /// The right to remove objects; None while others work with the store.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub fn hold_alone(&self) -> Result<Option<Hold>, StoreError> {
        let path = self.hold_file();
        let lock = disk::open_to_change(&path)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Hold { _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::file(&path, error)),
        }
    }

    fn hold_file(&self) -> PathBuf {
        self.root().join("lock")
    }
}
