//! What several answers to one question say together: pass@k and the majority's answer.

use crate::reward::{
    answer::{Verdict, is_gradable, judge},
    extract::marked,
};

/// The chance that at least one of `k` answers is right, estimated without bias from `right` of `all` answers (Chen et
/// al. 2021, "Evaluating large language models trained on code", equation 1). None where there are fewer than `k`.
#[must_use]
pub fn pass_at(k: usize, right: usize, all: usize) -> Option<f64> {
    if k == 0 || k > all || right > all {
        return None;
    }
    // The chance that all k are among the wrong ones, as a product of ratios, which neither overflows nor cancels.
    let wrong = all - right;
    let none = (0..k).map(|drawn| wrong.saturating_sub(drawn) as f64 / (all - drawn) as f64).product::<f64>();
    Some(1.0 - none)
}

/// The answer that most agree on, by its place: the first of those of the largest class. Answers are of one class where
/// each is right when the first of the class is. One that cannot be read does not vote. None where nobody does.
#[must_use]
pub fn majority(answers: &[&str]) -> Option<usize> {
    let mut classes: Vec<(usize, usize)> = Vec::new();
    let votes: Vec<Option<&str>> = answers.iter().map(|it| vote(it)).collect();
    for (place, answer) in votes.iter().enumerate() {
        let Some(answer) = answer else { continue };
        let same = |first: usize| {
            let other = votes.get(first).copied().flatten();
            other.is_some_and(|it| it == *answer || judge(answer, it) == Verdict::Correct)
        };
        match classes.iter_mut().find(|(first, _)| same(*first)) {
            Some((_, count)) => *count += 1,
            None => classes.push((place, 1)),
        }
    }
    let most = classes.iter().map(|(_, count)| *count).max()?;
    classes.iter().find(|(_, count)| *count == most).map(|(first, _)| *first)
}

/// What an answer says: what it marks as its answer, or all of it where an answer can be read off.
fn vote(answer: &str) -> Option<&str> {
    marked(answer).or_else(|| if is_gradable(answer) { Some(answer) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ways to draw `k` of `all` answers, of which the first `right` are right.
    fn by_counting(k: usize, right: usize, all: usize) -> f64 {
        let draws: Vec<u32> = (0..1u32 << all).filter(|it| it.count_ones() as usize == k).collect();
        let hits = draws.iter().filter(|it| **it & ((1 << right) - 1) != 0).count();
        hits as f64 / draws.len() as f64
    }

    #[test]
    fn pass_at_k_is_the_share_of_draws_with_a_right_answer() {
        for all in 1..=9 {
            for right in 0..=all {
                for k in 1..=all {
                    let expected = by_counting(k, right, all);
                    assert!((pass_at(k, right, all).unwrap() - expected).abs() < 1e-12, "{k} {right} {all}");
                }
            }
        }
        assert_eq!(pass_at(5, 1, 4), None);
        assert_eq!(pass_at(0, 1, 4), None);
        assert_eq!(pass_at(1, 250_000, 1_000_000), Some(0.25));
    }

    #[test]
    fn the_majority_counts_equal_answers_as_one() {
        assert_eq!(majority(&["3", "1/2", "0.5", "$\\frac12$", "3"]), Some(1));
        assert_eq!(majority(&["3", "4"]), Some(0));
        assert_eq!(majority(&[]), None);
        let [three, four] = ["<think>1+2=3</think><answer>3</answer>", "<think>2+2</think><answer>4</answer>"];
        assert_eq!(majority(&[four, "<think>3", three, "<think>4", "<answer>3.0</answer>"]), Some(2));
        assert_eq!(majority(&["<think>3", "<think>3"]), None);
    }
}
