//! A glance at what the latest run left, taken by a thread of its own while the recipe is still being read.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{
    Done, Hold, Store, StoreError,
    record::Outline,
    snapshot::{Snapshot, WORTHWHILE},
};
use crate::base::digest::Digest;

/// The records of the store's snapshot, each held against its files once: by whoever asks for it, or ahead of that.
#[derive(Clone, Debug)]
pub struct Glance {
    seen: Arc<Seen>,
    /// What was looked at must not be removed before it is used.
    hold: Option<Arc<Hold>>,
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
        Glance { hold: Some(Arc::new(hold)), _end: Some(Arc::new(End(over))), ..glance }
    }
}

impl Glance {
    /// A glance that begins with the first question.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        let seen = Seen { store: store.clone(), snapshot: OnceLock::new() };
        Self { seen: Arc::new(seen), hold: None, _end: None }
    }

    /// What was made of a key that the snapshot has, where its record is as it was and its object is there.
    pub(super) fn done(&self, key: &Digest) -> Option<Done> {
        self.seen.snapshot().done(&self.seen.store, key)
    }

    /// Whether nothing that is seen can be removed for now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.is_some()
    }

    /// The digest of the snapshot; None where there is none.
    #[must_use]
    pub fn snapshot(&self) -> Option<Digest> {
        self.seen.snapshot().digest()
    }

    /// Where the snapshot tells of a key.
    #[must_use]
    pub fn place(&self, key: &Digest) -> Option<usize> {
        self.seen.snapshot().find(key)
    }

    /// What was made of the key in a place, where its record is as it was and its object is there.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Done> {
        self.seen.snapshot().at(&self.seen.store, place)
    }

    /// The outline of the record of a key, where the snapshot has it and all is as it was.
    pub(super) fn outline(&self, key: &Digest) -> Option<Outline> {
        self.seen.snapshot().outline(&self.seen.store, self.place(key)?)
    }

    /// Keeps what these steps made for a quicker look next time, and gives that look; None where they are few.
    ///
    /// # Errors
    /// Where it cannot be written; nothing but speed is lost by that.
    pub fn remember(&self, made: impl Iterator<Item = Done> + Clone) -> Result<Option<Self>, StoreError> {
        let (store, snapshot) = (&self.seen.store, self.seen.snapshot());
        if snapshot.len() >= WORTHWHILE && made.clone().all(|done| self.done(&done.key) == Some(done)) {
            return Ok(Some(self.clone()));
        }
        let snapshot = snapshot.renewed(store, made)?;
        Ok(snapshot
            .map(|it| Self { seen: Arc::new(Seen { store: store.clone(), snapshot: it.into() }), ..self.clone() }))
    }
}

impl Seen {
    fn snapshot(&self) -> &Snapshot {
        self.snapshot.get_or_init(|| Snapshot::read(&self.store))
    }
}
