//! What a run of the past made or took, as its log and the records tell.

use std::fs;

use super::{Event, Logged};
use crate::store::{Store, gc::Roots};

/// Adds what a run needs: every object that it made or took, and the states of the steps that it began. A line of its
/// log that cannot be read is passed over; what was made in that run is known from the records as well.
pub fn needs(store: &Store, run: &str, roots: &mut Roots) {
    let text = fs::read(store.run_file(run)).unwrap_or_default();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(Logged { event, .. }) = serde_json::from_slice(line) else { continue };
        match event {
            Event::StepHit { digest, .. } | Event::StepFinished { digest, .. } => _ = roots.objects.insert(digest),
            Event::StepStarted { key, .. } => _ = roots.keys.insert(key),
            _ => {}
        }
    }
    roots.objects.extend(store.records().iter().filter(|record| record.run == run).map(|record| record.output));
}
