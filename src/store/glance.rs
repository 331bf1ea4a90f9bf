//! A glance at what the latest run left, taken by a thread of its own while the recipe is still being read.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Done, Hold, Store, StoreError, snapshot::Snapshot};
use crate::base::digest::Digest;

/// The records of the store's snapshot, each held against its files once: by whoever asks for it, or ahead of that.
#[derive(Clone, Debug)]
pub struct Glance {
    seen: Arc<Seen>,
    /// What was looked at must not be removed before it is used.
    _hold: Option<Arc<Hold>>,
    _end: Option<Arc<End>>,
}

#[derive(Debug)]
struct Seen {
    store: Store,
    snapshot: OnceLock<Snapshot>,
}

/// Ends the thread when nobody needs it any more.
#[derive(Debug)]
struct End(Arc<AtomicBool>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Store {
    /// Begins to look at everything in the snapshot, unless another process is removing objects.
    #[must_use]
    pub fn glance(&self) -> Glance {
        let glance = Glance::new(self);
        let Some(hold) = self.try_hold() else { return glance };
        let over = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (Arc::clone(&glance.seen), Arc::clone(&over));
        let begun = thread::Builder::new().name("glance".to_owned()).spawn(move || {
            let snapshot = seen.snapshot();
            (0..snapshot.len()).take_while(|_| !ended.load(Ordering::Relaxed)).for_each(|place| {
                snapshot.look(&seen.store, place);
            });
        });
        // Without a thread each record is looked at when it is asked for.
        drop(begun);
        Glance { _hold: Some(Arc::new(hold)), _end: Some(Arc::new(End(over))), ..glance }
    }
}

impl Glance {
    /// A glance that begins with the first question.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        let seen = Seen { store: store.clone(), snapshot: OnceLock::new() };
        Self { seen: Arc::new(seen), _hold: None, _end: None }
    }

    /// What was made of a key that the snapshot has, where its record is as it was and its object is there.
    pub(super) fn done(&self, key: &Digest) -> Option<Done> {
        self.seen.snapshot().done(&self.seen.store, key)
    }

    /// Keeps what these steps made for a quicker look next time; nothing where they are few.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn remember(&self, made: impl Iterator<Item = Done>) -> Result<(), StoreError> {
        self.seen.snapshot().renewed(&self.seen.store, made)
    }
}

impl Seen {
    fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(|| Snapshot::read(&self.store))
    }
}
