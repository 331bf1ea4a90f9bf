//! What running steps cost in time and memory, although they share one process.

use std::{collections::BTreeMap, fs, time::Instant};

/// Measures the steps that run in this process at the same time.
pub(super) struct Meter {
    running: BTreeMap<usize, Running>,
    threads: f64,
    last: Instant,
}

struct Running {
    /// Cores that it would keep busy alone.
    cores: f64,
    alone: f64,
    /// Bytes that it was to hold, and bytes for each thread.
    memory: (f64, f64),
    /// The same of those beside it: the sum, and the most for a thread, as threads are shared.
    beside: (f64, f64),
    /// Bytes that the process held when the step began.
    before: Option<u64>,
    most: u64,
}

/// What was measured of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Seconds that it would have taken alone.
    pub(super) alone: f64,
    /// What the steps beside it were to hold.
    pub(super) beside: u64,
    /// Bytes that the process held at most meanwhile, above what it held before.
    pub(super) peak: Option<u64>,
}

impl Meter {
    pub(super) fn new(threads: usize) -> Self {
        Self { running: BTreeMap::new(), threads: threads as f64, last: Instant::now() }
    }

    /// A step begins that would keep so many cores busy and hold so many bytes.
    pub(super) fn begin(&mut self, id: usize, cores: f64, memory: (f64, f64)) {
        self.look();
        let both = |sum: (f64, f64), it: (f64, f64)| (sum.0 + it.0, sum.1.max(it.1));
        let beside = self.running.values().map(|it| it.memory).fold((0.0, 0.0), both);
        self.running.values_mut().for_each(|it| it.beside = both(it.beside, memory));
        // The kernel keeps one high-water mark for the process, which sinks to the present level when it is told to.
        let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
        let before = field("VmRSS:").filter(|_| reset);
        self.running.insert(id, Running { cores, alone: 0.0, memory, beside, before, most: 0 });
    }

    /// A step has ended.
    pub(super) fn end(&mut self, id: usize) -> Measured {
        self.look();
        let Some(it) = self.running.remove(&id) else { return Measured::default() };
        let peak = it.before.map(|before| it.most.saturating_sub(before));
        let beside = it.beside.0 + self.threads * (it.beside.1 - it.memory.1).max(0.0);
        Measured { alone: it.alone, beside: beside as u64, peak }
    }

    /// Takes in what happened since the last look: time shared by those that ran, and the memory of all of them.
    fn look(&mut self) {
        let now = Instant::now();
        let seconds = (now - self.last).as_secs_f64();
        self.last = now;
        let share = self.threads / self.running.len().max(1) as f64;
        let most = if self.running.is_empty() { None } else { field("VmHWM:") };
        for it in self.running.values_mut() {
            it.alone += seconds * (share / it.cores.max(1.0)).min(1.0);
            it.most = it.most.max(most.unwrap_or_default());
            if most.is_none() {
                it.before = None;
            }
        }
    }
}

/// A figure that the kernel gives of this process, in bytes.
fn field(name: &str) -> Option<u64> {
    kibibytes("/proc/self/status", name)
}

/// A figure in kB of one of the kernel's lists, in bytes.
pub(super) fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_step_is_what_the_process_grew_by() {
        let mut meter = Meter::new(1);
        meter.begin(0, 1.0, (100.0, 3.0));
        let held = vec![1_u8; 64 << 20];
        std::hint::black_box(&held);
        meter.begin(1, 1.0, (50.0, 5.0));
        drop(held);
        let (second, first) = (meter.end(1), meter.end(0));
        assert_eq!((second.beside, first.beside), (100, 52));
        // Other tests run in the same process, and may let memory go meanwhile.
        assert!(first.peak.is_none_or(|peak| peak > 32 << 20), "{first:?}");
        assert!(first.alone >= second.alone);
    }
}
