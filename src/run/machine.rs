//! The machine that a run is on: how fast it is, and what it has to spare.

use std::{fs, path::Path};

use rayon::ThreadPoolBuilder;
use serde::{Deserialize, Serialize};

use super::meter::kibibytes;
use crate::{
    base::{disk, work::Machine},
    stages::estimate,
    store::Store,
};

/// The version of what is measured, and of the models that it is measured with.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    machine: Machine,
}

/// How fast the machine is: as the store remembers, else measured and, where the store is there, remembered.
///
/// No result depends on it, and the file may be deleted at any time.
#[must_use]
pub fn machine(store: &Store, threads: usize) -> Machine {
    let path = store.root().join("machine.json");
    let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
    if let Some(kept) = kept.filter(|it| it.format == FORMAT && it.machine.threads == threads) {
        return kept.machine;
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(super::dispatcher::STACK).build().ok();
    let measured = pool.and_then(|pool| estimate::measure(&pool).ok());
    let machine = measured.unwrap_or_else(|| Machine::usual(threads));
    if store.root().exists() {
        keep(store, machine);
    }
    machine
}

/// Remembers what was measured, for later plans.
pub(super) fn keep(store: &Store, machine: Machine) {
    if let Ok(text) = serde_json::to_vec_pretty(&Kept { format: FORMAT, machine }) {
        // One that cannot be written is measured again.
        let _ = disk::save(&store.root().join("machine.json"), text);
    }
}

/// Bytes of memory that new work could have; None where the system does not tell.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let whole = kibibytes("/proc/meminfo", "MemAvailable:");
    // A container may be given less than the machine has.
    let number = |name: &str| fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    let group = number("memory.max").zip(number("memory.current")).map(|(most, now)| most.saturating_sub(now));
    match (whole, group) {
        (Some(whole), Some(group)) => Some(whole.min(group)),
        (whole, group) => whole.or(group),
    }
}

/// Bytes that a folder, or the nearest one above that is there, has room for; None where the system does not tell.
#[must_use]
pub fn free_disk(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|it| it.exists())?;
    fs2::available_space(there).ok()
}
