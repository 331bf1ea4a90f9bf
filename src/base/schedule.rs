//! Values that change over the steps of a training stage.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How an argument develops: constant, along a curve, or one schedule and then another.
///
/// A curve takes all steps after its warm-up; or, where `decay` says how many, only the last ones, and rests at `from`
/// until then (warm-up, stable, decay: MiniCPM, section 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Schedule<T> {
    Constant(T),
    /// From `from` to `to` along half a cosine, after a linear warm-up from nothing.
    Cosine {
        from: T,
        to: T,
        warmup: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decay: Option<u64>,
    },
    /// From `from` to `to` in a straight line, after a linear warm-up from nothing.
    Linear {
        from: T,
        to: T,
        warmup: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decay: Option<u64>,
    },
    /// `first` for `after` steps, and `next`, counted anew, from there.
    Then {
        first: Box<Self>,
        next: Box<Self>,
        after: u64,
    },
}

impl<T> Schedule<T> {
    /// The part in force at a step, with the step and the total counted from that part's start.
    fn part(&self, step: u64, total: u64) -> (&Self, u64, u64) {
        match self {
            Self::Then { first, after, .. } if step < *after => first.part(step, total.min(*after)),
            Self::Then { next, after, .. } => next.part(step - after, total.saturating_sub(*after)),
            _ => (self, step, total),
        }
    }

    /// The constant in force at a step; None where the schedule is a curve there.
    #[must_use]
    pub fn constant_at(&self, step: u64) -> Option<&T> {
        match self.part(step, u64::MAX).0 {
            Self::Constant(value) => Some(value),
            _ => None,
        }
    }
}

impl<T> Schedule<T> {
    /// Every value that the schedule is made of, in its order.
    #[must_use]
    pub fn values(&self) -> Vec<&T> {
        match self {
            Self::Constant(value) => vec![value],
            Self::Cosine { from, to, .. } | Self::Linear { from, to, .. } => vec![from, to],
            Self::Then { first, next, .. } => [first.values(), next.values()].concat(),
        }
    }

    /// Whether no value depends on how many steps there are in all.
    #[must_use]
    pub fn is_open_ended(&self) -> bool {
        match self {
            Self::Constant(_) => true,
            Self::Cosine { .. } | Self::Linear { .. } => false,
            Self::Then { first, next, .. } => first.is_open_ended() && next.is_open_ended(),
        }
    }
}

impl Schedule<f64> {
    /// The value for step `step`, counted from nought, of `total`.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> f64 {
        let (part, step, total) = self.part(step, total);
        let ramp = |warmup: u64| ((step + 1) as f64 / (warmup + 1) as f64).min(1.0);
        let progress = |warmup: u64, decay: Option<u64>| {
            let last = total.saturating_sub(1);
            let start = decay.map_or(0, |decay| last.saturating_sub(decay)).max(warmup);
            let length = last.saturating_sub(start).max(1);
            (step.saturating_sub(start) as f64 / length as f64).min(1.0)
        };
        match part {
            Self::Constant(value) => *value,
            Self::Cosine { from, to, warmup, decay } => {
                ramp(*warmup) * (to + (from - to) * 0.5 * (1.0 + (PI * progress(*warmup, *decay)).cos()))
            }
            Self::Linear { from, to, warmup, decay } => {
                ramp(*warmup) * (from + (to - from) * progress(*warmup, *decay))
            }
            Self::Then { .. } => unreachable!("`part` looks through phases"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_starts_and_ends_where_it_says() {
        let cosine = Schedule::Cosine { from: 1.0, to: 0.1, warmup: 0, decay: None };
        assert_eq!(cosine.at(0, 11), 1.0);
        assert!((cosine.at(5, 11) - 0.55).abs() < 1e-12);
        assert!((cosine.at(10, 11) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_warm_up_rises_to_the_start_of_the_curve() {
        let linear = Schedule::Linear { from: 1.0, to: 0.0, warmup: 3, decay: None };
        let values: Vec<f64> = (0..5).map(|step| linear.at(step, 8)).collect();
        assert_eq!(values, [0.25, 0.5, 0.75, 1.0, 0.75]);
    }

    #[test]
    fn a_curve_that_decays_at_the_end_rests_until_then() {
        let values =
            |schedule: Schedule<f64>, total| (0..total).map(|step| schedule.at(step, total)).collect::<Vec<_>>();
        let linear = Schedule::Linear { from: 1.0, to: 0.0, warmup: 1, decay: Some(2) };
        assert_eq!(values(linear.clone(), 7), [0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0]);
        // No room to rest: what is left after the warm-up decays.
        assert_eq!(values(linear, 3), [0.5, 1.0, 0.0]);
        let cosine = Schedule::Cosine { from: 1.0, to: 0.0, warmup: 0, decay: Some(4) };
        assert!((cosine.at(7, 10) - 0.5).abs() < 1e-12 && cosine.at(5, 10) == 1.0 && cosine.at(9, 10).abs() < 1e-12);
    }

    #[test]
    fn the_next_phase_counts_anew() {
        let phases = Schedule::Then {
            first: Box::new(Schedule::Constant(2.0)),
            next: Box::new(Schedule::Linear { from: 1.0, to: 0.0, warmup: 0, decay: None }),
            after: 2,
        };
        let values: Vec<f64> = (0..5).map(|step| phases.at(step, 5)).collect();
        assert_eq!(values, [2.0, 2.0, 1.0, 0.5, 0.0]);
        assert_eq!(phases.constant_at(1), Some(&2.0));
        assert_eq!(phases.constant_at(3), None);
    }
}
