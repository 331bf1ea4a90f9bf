//! The reward `tag_count`: a quarter for each of the four tags that stands exactly once, as a first step to `format`.

use crate::{
    data::rows::Sample,
    reward::score::{Function, Needs, without_arguments},
};

pub const FUNCTION: Function =
    Function::each("tag_count", without_arguments, |sample, _| Some(score(sample))).needing(Needs::Completion);

fn score(sample: &Sample) -> f64 {
    let text = sample.text();
    let once = |tag: &&&str| text.matches(**tag).take(2).count() == 1;
    ["<think>", "</think>", "<answer>", "</answer>"].iter().filter(once).count() as f64 / 4.0
}
