//! A run foreseen: which steps would run side by side, and when each would end.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

/// A step as the forecast sees it. Inputs come before it.
pub(super) struct Task {
    pub(super) inputs: Vec<usize>,
    /// Whether it would run; else it takes no time.
    pub(super) open: bool,
    /// Seconds that it takes alone.
    pub(super) seconds: f64,
    /// Cores that it keeps busy alone.
    pub(super) cores: f64,
    /// Bytes that it holds, and bytes for each thread, which steps take turns on.
    pub(super) memory: (f64, f64),
}

/// How a run would go.
pub(super) struct Forecast {
    /// Seconds from the start to the end of each step that would run.
    pub(super) elapsed: Vec<Option<f64>>,
    pub(super) seconds: f64,
    /// The most memory that the steps hold at one time.
    pub(super) memory: u64,
}

/// A step under way.
struct Running {
    id: usize,
    started: f64,
    /// Seconds that are left of it alone.
    left: f64,
}

/// Runs the tasks as the dispatcher would: in the plan's order, as many at once as there are threads, which they share.
pub(super) fn run(tasks: &[Task], threads: usize) -> Forecast {
    let threads = threads.max(1);
    let mut elapsed = vec![None; tasks.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut lacking = vec![0_usize; tasks.len()];
    let mut ready = BinaryHeap::new();
    for (id, task) in tasks.iter().enumerate().filter(|(_, task)| task.open) {
        let inputs: BTreeSet<usize> = task.inputs.iter().copied().collect();
        for input in inputs.into_iter().filter(|input| tasks.get(*input).is_some_and(|it| it.open)) {
            readers.get_mut(input).into_iter().for_each(|it| it.push(id));
            lacking.get_mut(id).into_iter().for_each(|it| *it += 1);
        }
        if lacking.get(id) == Some(&0) {
            ready.push(Reverse(id));
        }
    }
    let (mut now, mut memory) = (0.0_f64, 0);
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < threads
            && let Some(Reverse(id)) = ready.pop()
        {
            let left = tasks.get(id).map_or(0.0, |it| it.seconds.max(0.0));
            running.push(Running { id, started: now, left });
        }
        if running.is_empty() {
            return Forecast { elapsed, seconds: now, memory };
        }
        let held = running.iter().filter_map(|it| tasks.get(it.id)).map(|it| it.memory);
        let (fixed, most) = held.fold((0.0, 0.0_f64), |sum, it| (sum.0 + it.0, sum.1.max(it.1)));
        memory = memory.max((fixed + most * threads as f64) as u64);
        let share = threads as f64 / running.len() as f64;
        let pace = |id: usize| tasks.get(id).map_or(1.0, |it| (share / it.cores.max(1.0)).min(1.0));
        let step = running.iter().map(|it| it.left / pace(it.id)).fold(f64::INFINITY, f64::min);
        now += step;
        running.iter_mut().for_each(|it| it.left -= step * pace(it.id));
        let (ended, going): (Vec<_>, Vec<_>) = running.into_iter().partition(|it| it.left <= 1e-9);
        running = going;
        for it in ended {
            elapsed.get_mut(it.id).into_iter().for_each(|slot| *slot = Some(now - it.started));
            for reader in readers.get(it.id).into_iter().flatten() {
                let Some(count) = lacking.get_mut(*reader) else { continue };
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(*reader));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(inputs: &[usize], seconds: f64, cores: f64) -> Task {
        Task { inputs: inputs.to_vec(), open: true, seconds, cores, memory: (8.0, 1.0) }
    }

    #[test]
    fn steps_side_by_side_share_the_machine() {
        let told = run(&[task(&[], 2.0, 2.0), task(&[], 1.0, 2.0), task(&[0, 1], 3.0, 2.0)], 2);
        assert_eq!(told.elapsed, [Some(3.0), Some(2.0), Some(3.0)]);
        assert_eq!((told.seconds, told.memory), (6.0, 18));
    }

    #[test]
    fn a_step_of_one_core_leaves_the_other_alone() {
        let told = run(&[task(&[], 2.0, 1.0), task(&[], 2.0, 1.0), task(&[0], 1.0, 1.0)], 2);
        assert_eq!((told.elapsed, told.seconds), (vec![Some(2.0), Some(2.0), Some(1.0)], 3.0));
    }

    #[test]
    fn what_is_made_takes_no_time() {
        let made = Task { open: false, ..task(&[], 9.0, 1.0) };
        let told = run(&[made, task(&[0], 1.0, 1.0)], 1);
        assert_eq!((told.elapsed, told.seconds, told.memory), (vec![None, Some(1.0)], 1.0, 9));
    }
}
