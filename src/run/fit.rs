//! Whether a plan fits the machine and what the person is ready to spend, asked before anything is begun.

use std::fmt::Write;

use super::{RunError, machine};
use crate::{
    plan::Plan,
    schedule::{Price, Schedule},
    store::Store,
};

/// What a run may cost at most. What is None is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    pub seconds: Option<f64>,
    /// Bytes of all artifacts that are made.
    pub bytes: Option<u64>,
}

/// Why a plan is not begun, with the figures that say so.
#[derive(Clone, Debug, PartialEq)]
pub enum Misfit {
    /// A step would hold more memory than there is.
    Memory { step: String, needed: u64, free: u64 },
    /// The artifacts, and the states on the way to them, would not have room; with the step that writes most.
    Disk { step: String, largest: u64, needed: u64, free: u64 },
    /// The run would take longer than it may; with the step that takes longest.
    Time { step: String, longest: f64, needed: f64, budget: f64 },
    /// The artifacts would take more room than they may.
    Bytes { step: String, largest: u64, needed: u64, budget: u64 },
}

/// Refuses a priced plan that does not fit.
///
/// # Errors
/// Where it does not.
pub fn fits(plan: &Plan, schedule: &Schedule, store: &Store, budget: &Budget) -> Result<(), RunError> {
    let free = (machine::free_memory(), machine::free_disk(store.root()));
    misfit(plan, schedule, budget, free).map_or(Ok(()), |misfit| Err(RunError::Misfit(Box::new(misfit))))
}

/// As [`fits`], for another machine, of which nobody knows what it has free.
///
/// # Errors
/// Where it does not.
pub fn affords(plan: &Plan, schedule: &Schedule, budget: &Budget) -> Result<(), RunError> {
    let misfit = misfit(plan, schedule, budget, (None, None));
    misfit.map_or(Ok(()), |misfit| Err(RunError::Misfit(Box::new(misfit))))
}

fn misfit(plan: &Plan, schedule: &Schedule, budget: &Budget, free: (Option<u64>, Option<u64>)) -> Option<Misfit> {
    let prices = || {
        let open = plan.steps.iter().zip(&schedule.steps).filter(|(_, scheduled)| scheduled.is_open());
        open.filter_map(|(step, scheduled)| Some((&step.address, scheduled.price.as_ref()?)))
    };
    let greatest = |of: &dyn Fn(&Price) -> f64| {
        let greatest = prices().map(|(step, price)| (step, of(price))).max_by(|one, other| one.1.total_cmp(&other.1));
        greatest.map(|(step, most)| (step.clone(), most))
    };
    let (seconds, _) = schedule.seconds();
    let bytes = schedule.bytes();
    let hungry = greatest(&|price| price.memory.unwrap_or_default() as f64);
    if let (Some((step, needed)), Some(free)) = (hungry, free.0)
        && needed > free as f64
    {
        return Some(Misfit::Memory { step, needed: needed as u64, free });
    }
    let (step, largest) = greatest(&|price| price.bytes as f64)?;
    let largest = largest as u64;
    match (free.1, budget) {
        (Some(free), _) if bytes + schedule.states() > free => {
            let (step, largest) = greatest(&|price| (price.bytes + 3 * price.state) as f64)?;
            Some(Misfit::Disk { step, largest: largest as u64, needed: bytes + schedule.states(), free })
        }
        (_, Budget { bytes: Some(most), .. }) if bytes > *most => {
            Some(Misfit::Bytes { step, largest, needed: bytes, budget: *most })
        }
        (_, Budget { seconds: Some(most), .. }) if seconds > *most => {
            let (step, longest) = greatest(&|price| price.seconds)?;
            Some(Misfit::Time { step, longest, needed: seconds, budget: *most })
        }
        _ => None,
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Memory { step, needed, free } => {
                write!(f, "`{step}` would hold about {} of memory, and {} are free", size(*needed), size(*free))
            }
            Self::Disk { step, largest, needed, free } => write!(
                f,
                "the plan would write about {}, `{step}` alone {}, and the store's disk has {} free",
                size(*needed),
                size(*largest),
                size(*free)
            ),
            Self::Bytes { step, largest, needed, budget } => write!(
                f,
                "the plan would write about {}, `{step}` alone {}, more than the budget of {}",
                size(*needed),
                size(*largest),
                size(*budget)
            ),
            Self::Time { step, longest, needed, budget } => write!(
                f,
                "the plan would take about {}, `{step}` alone {}, more than the budget of {}",
                time(*needed),
                time(*longest),
                time(*budget)
            ),
        }
    }
}

/// `1.5 GiB`; `run` stands below the floor that knows how figures are shown at length.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut name = "KiB";
    for unit in UNITS {
        name = unit;
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
    }
    format!("{value:.1} {name}")
}

/// `45 s`, `12 min 30 s`, `2 h 05 min`.
fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let mut text = String::new();
    let _ = match whole {
        0..60 => write!(text, "{seconds:.1} s"),
        60..3_600 => write!(text, "{} min {:02} s", whole / 60, whole % 60),
        _ => write!(text, "{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    };
    text
}
