//! Keeps the troubles of the index's library to itself: it panics over some kinds of damage, and tells of others.

use std::{
    io::ErrorKind,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Once,
};

use crate::base::{disk, faults::Operation};

/// Why the index could not be used.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another process has it.
    Taken,
    /// The disk does not let it be read or written.
    Disk,
    /// It is not as it was written.
    Damaged,
}

/// Does something with the index in a folder, come what may.
pub(super) fn guarded<T>(folder: &Path, act: impl FnOnce() -> sled::Result<T>) -> Result<T, Trouble> {
    quieten();
    // The library writes by itself, so what is struck is the asking of it.
    let act = || disk::perform(Operation::Index, folder, || Ok(act())).map_err(sled::Error::Io).flatten();
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(sled::Error::Io(error))) => Err(match error.kind() {
            _ if error.to_string().contains("could not acquire lock") => Trouble::Taken,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => Trouble::Disk,
            _ => Trouble::Damaged,
        }),
        Ok(Err(_)) | Err(_) => Err(Trouble::Damaged),
    }
}

/// A panic of the library is dealt with here, and no matter for the person at the screen.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("/sled-0.")) {
                usual(panic);
            }
        }));
    });
}
