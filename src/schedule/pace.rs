//! How long a step takes, as the past of its stage tells: what every use of the stage costs, and what grows with the work.

use crate::store::{Past, Record};

/// How many records of a stage are looked at.
const LOOK_BACK: usize = 16;

/// Works that differ by less than this share tell nothing of what grows with the work.
const APART: f64 = 0.25;

/// Of so few pairs of works the slope between them is chance.
const FEWEST_PAIRS: usize = 3;

/// Seconds by which two runs of one step may differ for no reason: below that a step is told by all of its stage.
const NOISE: f64 = 0.03;

/// Seconds that a stage takes, whatever it does, and for each second that its work would take on the usual machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    constant: f64,
    slope: f64,
}

impl Pace {
    /// The pace of a stage by its newest records; None where none of them was measured.
    pub(super) fn of(past: &Past) -> Option<Self> {
        let measured: Vec<(f64, f64)> = past.all().take(LOOK_BACK).filter_map(|it| measured(&it)).collect();
        Self::through(&measured)
    }

    /// The line through works and seconds by medians (Theil, 1950; Sen, 1968), so that no single run can bend it.
    fn through(measured: &[(f64, f64)]) -> Option<Self> {
        let pairs = measured.iter().enumerate().flat_map(|(at, one)| {
            measured.iter().skip(at + 1).filter(|other| apart(one.0, other.0)).map(move |other| (*one, *other))
        });
        let slopes: Vec<f64> = pairs.map(|(one, other)| (other.1 - one.1) / (other.0 - one.0)).collect();
        if slopes.len() < FEWEST_PAIRS {
            let slope = median(measured.iter().map(|(work, seconds)| seconds / work).collect())?;
            return Some(Self { constant: 0.0, slope });
        }
        let slope = median(slopes)?.max(0.0);
        let constant = median(measured.iter().map(|(work, seconds)| seconds - slope * work).collect())?;
        if constant > 0.0 {
            return Some(Self { constant, slope });
        }
        let slope = median(measured.iter().map(|(work, seconds)| seconds / work).collect())?;
        Some(Self { constant: 0.0, slope })
    }

    pub(super) fn seconds(&self, work: f64) -> f64 {
        self.constant + self.slope * work
    }

    /// Seconds for so much work of a step at an address. What it took there before counts the more the longer that was.
    pub(super) fn at(&self, address: &str, past: &Past, work: f64) -> f64 {
        let Some((then, took)) = past.at(address).next().and_then(|record| measured(&record)) else {
            return self.seconds(work);
        };
        self.seconds(work) * (took / self.seconds(then)).powf(took / (took + NOISE))
    }
}

/// The work of a step, in seconds of the usual machine, and the seconds that it took.
fn measured(record: &Record) -> Option<(f64, f64)> {
    let cost = record.cost.as_ref()?;
    let work = cost.weight.filter(|work| *work > 0.0)?;
    (cost.alone > 0.0).then_some((work, cost.alone))
}

fn apart(one: f64, other: f64) -> bool {
    (one - other).abs() > APART * one.max(other)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_part_is_told_from_a_part_that_grows() {
        let line = |works: &[f64]| -> Vec<(f64, f64)> { works.iter().map(|it| (*it, 0.5 + 2.0 * it)).collect() };
        let mut measured = line(&[1.0, 2.0, 4.0, 8.0, 16.0]);
        // One run during which the machine had other things to do.
        measured.push((3.0, 60.0));
        let pace = Pace::through(&measured).unwrap();
        assert!((pace.slope - 2.0).abs() < 0.01 && (pace.constant - 0.5).abs() < 0.01, "{pace:?}");
        // Works that are all alike tell nothing of a constant part.
        assert_eq!(Pace::through(&[(1.0, 2.0), (1.1, 2.2), (1.0, 3.0)]), Some(Pace { constant: 0.0, slope: 2.0 }));
        assert_eq!(Pace::through(&[]), None);
    }

    #[test]
    fn more_work_never_takes_less_time() {
        let falling = [(1.0, 9.0), (2.0, 5.0), (4.0, 3.0), (8.0, 1.0)];
        let pace = Pace::through(&falling).unwrap();
        assert_eq!(pace.slope, 0.0);
        assert!(pace.seconds(1.0) > 0.0);
    }
}
