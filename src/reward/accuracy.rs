//! The reward `accuracy`: one for the right answer, nothing for any other; no value where the right one cannot be read.

use crate::{
    data::rows::Sample,
    reward::{
        answer::{Verdict, grade},
        score::{Function, without_arguments},
    },
};

pub const FUNCTION: Function = Function::each("accuracy", without_arguments, |sample, _| score(sample));

fn score(sample: &Sample) -> Option<f64> {
    grade(&sample.completion, &sample.answer).map(|it| if it == Verdict::Correct { 1.0 } else { 0.0 })
}
