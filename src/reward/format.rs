//! The reward `format`: one for a thought and then an answer, each in its tags, and nothing beside them.

use crate::{
    data::rows::Sample,
    reward::score::{Function, Needs, without_arguments},
};

pub const FUNCTION: Function =
    Function::each("format", without_arguments, |sample, _| Some(score(sample))).needing(Needs::Completion);

fn score(sample: &Sample) -> f64 {
    if parts(&sample.text()).is_some() { 1.0 } else { 0.0 }
}

/// The thought and the answer of a completion that is exactly `<think>..</think><answer>..</answer>`, but for spaces.
#[must_use]
pub fn parts(text: &str) -> Option<(&str, &str)> {
    let (thought, rest) = text.trim().strip_prefix("<think>")?.split_once("</think>")?;
    let answer = rest.trim_start().strip_prefix("<answer>")?.strip_suffix("</answer>")?;
    let tags = ["<think>", "</think>", "<answer>", "</answer>"];
    if tags.iter().any(|tag| thought.contains(tag) || answer.contains(tag)) { None } else { Some((thought, answer)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_has_parts() {
        assert_eq!(parts(" <think>a</think>\n<answer>b</answer>\n"), Some(("a", "b")));
        for text in [
            "",
            "<answer>b</answer>",
            "<think>a</think>",
            "so <think>a</think><answer>b</answer>",
            "<think>a</think> so <answer>b</answer>",
            "<think>a</think><answer>b</answer>.",
            "<think>a<think></think><answer>b</answer>",
            "<think>a</think><answer>b</answer><answer>c</answer>",
            "<answer>b</answer><think>a</think>",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
