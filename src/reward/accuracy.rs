//! The reward `accuracy`: one for the right answer, nothing for any other.

use crate::{
    data::rows::Sample,
    reward::{
        answer::is_correct,
        score::{Function, without_arguments},
    },
};

pub const FUNCTION: Function =
    Function { name: "accuracy", check: without_arguments, score: |sample, _| score(sample) };

fn score(sample: &Sample) -> f64 {
    if is_correct(&sample.completion, &sample.answer) { 1.0 } else { 0.0 }
}
