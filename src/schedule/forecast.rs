//! A run foreseen: which steps would run side by side, and when each would end.

use std::collections::BTreeSet;

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

/// Bytes that steps side by side hold: each its own, and for each thread the most of any, as they take turns on threads.
#[must_use]
pub fn together(steps: impl Iterator<Item = (f64, f64)>, threads: usize) -> f64 {
    let (fixed, most) = steps.fold((0.0, 0.0_f64), |sum, it| (sum.0 + it.0, sum.1.max(it.1)));
    fixed + most * threads as f64
}

/// Of the steps that are ready the first that fits beside those under way, where one is under way at all. Of very many
/// only the first are looked at.
pub fn next<T: Copy>(ready: impl Iterator<Item = T>, is_idle: bool, fits: impl Fn(T) -> bool) -> Option<T> {
    const LOOK_AHEAD: usize = 64;
    let mut ready = ready.take(LOOK_AHEAD);
    if is_idle { ready.next() } else { ready.find(|it| fits(*it)) }
}

/// Runs the tasks as the dispatcher would: in the plan's order, as many at once as there are threads, which they share,
/// and as fit into `room` bytes together.
pub(super) fn run(tasks: &[Task], threads: usize, room: f64) -> Forecast {
    let threads = threads.max(1);
    let mut elapsed = vec![None; tasks.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); tasks.len()];
    let mut lacking = vec![0_usize; tasks.len()];
    let mut ready: BTreeSet<usize> = BTreeSet::new();
    for (id, task) in tasks.iter().enumerate().filter(|(_, task)| task.open) {
        let inputs: BTreeSet<usize> = task.inputs.iter().copied().collect();
        for input in inputs.into_iter().filter(|input| tasks.get(*input).is_some_and(|it| it.open)) {
            readers.get_mut(input).into_iter().for_each(|it| it.push(id));
            lacking.get_mut(id).into_iter().for_each(|it| *it += 1);
        }
        if lacking.get(id) == Some(&0) {
            ready.insert(id);
        }
    }
    let held = |id: usize| tasks.get(id).map_or((0.0, 0.0), |it| it.memory);
    let (mut now, mut memory) = (0.0_f64, 0.0_f64);
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < threads
            && let Some(id) = next(ready.iter().copied(), running.is_empty(), |id| {
                together(running.iter().map(|it| it.id).chain([id]).map(held), threads) <= room
            })
        {
            ready.remove(&id);
            let left = tasks.get(id).map_or(0.0, |it| it.seconds.max(0.0));
            running.push(Running { id, started: now, left });
        }
        if running.is_empty() {
            return Forecast { elapsed, seconds: now, memory: memory as u64 };
        }
        memory = memory.max(together(running.iter().map(|it| held(it.id)), threads));
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
                    ready.insert(*reader);
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
        let told = run(&[task(&[], 2.0, 2.0), task(&[], 1.0, 2.0), task(&[0, 1], 3.0, 2.0)], 2, f64::INFINITY);
        assert_eq!(told.elapsed, [Some(3.0), Some(2.0), Some(3.0)]);
        assert_eq!((told.seconds, told.memory), (6.0, 18));
    }

    #[test]
    fn a_step_of_one_core_leaves_the_other_alone() {
        let told = run(&[task(&[], 2.0, 1.0), task(&[], 2.0, 1.0), task(&[0], 1.0, 1.0)], 2, f64::INFINITY);
        assert_eq!((told.elapsed, told.seconds), (vec![Some(2.0), Some(2.0), Some(1.0)], 3.0));
    }

    #[test]
    fn steps_that_do_not_fit_together_run_one_after_the_other() {
        // Each holds ten bytes with two threads, two of them eighteen; what fits goes before what does not.
        let small = Task { memory: (1.0, 0.0), ..task(&[], 1.0, 1.0) };
        let tasks = [task(&[], 2.0, 1.0), task(&[], 2.0, 1.0), small];
        let told = run(&tasks, 2, 17.0);
        assert_eq!((told.elapsed, told.seconds), (vec![Some(2.0), Some(2.0), Some(1.0)], 4.0));
        assert_eq!(told.memory, 11);
        // One that fits nowhere runs alone; whether it may at all was asked before.
        assert_eq!(run(&tasks, 2, 0.0).seconds, 5.0);
    }

    #[test]
    fn what_is_made_takes_no_time() {
        let made = Task { open: false, ..task(&[], 9.0, 1.0) };
        let told = run(&[made, task(&[0], 1.0, 1.0)], 1, f64::INFINITY);
        assert_eq!((told.elapsed, told.seconds, told.memory), (vec![None, Some(1.0)], 1.0, 9));
    }
}
