//! The choice of the next token from logits: greedy, or by a random number that is a function of seed, row and token.

use crate::base::rng::Stream;
use crate::model::ops::math::{exp_and_sum, max};
use crate::model::sampler::Sampling;

/// Chooses tokens under fixed settings.
#[derive(Debug)]
pub struct Chooser<'a> {
    sampling: &'a Sampling,
    stream: Stream,
    weights: Vec<f32>,
    order: Vec<u32>,
    /// The logits after the penalty on repetition, and which tokens have been met with it.
    penalised: Vec<f32>,
    met: Vec<bool>,
}

/// A chosen token and its log-probability among all tokens, before anything narrows or bends the choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub token: u32,
    pub log_prob: f32,
}

impl<'a> Chooser<'a> {
    #[must_use]
    pub fn new(sampling: &'a Sampling) -> Self {
        let stream = Stream::new(sampling.seed, "sample");
        Self { sampling, stream, weights: Vec::new(), order: Vec::new(), penalised: Vec::new(), met: Vec::new() }
    }

    /// The choice for one token of a row, given its logits divided by the temperature; `token` counts from the
    /// completion's start, and `before` is what the row holds so far, in parts.
    pub fn choose(&mut self, logits: &[f32], row: u64, token: u64, before: [&[u32]; 2]) -> Choice {
        let largest = max(logits);
        self.weights.clear();
        self.weights.extend_from_slice(logits);
        // In the same order, and with the same rounding, as the training operation.
        let log_sum = largest + exp_and_sum(&mut self.weights, largest).ln();
        let greedy = self.sampling.temperature <= 0.0;
        let penalty = self.sampling.repetition_penalty;
        if penalty != 1.0 {
            self.penalise(logits, before, penalty);
        }
        let bent = if penalty == 1.0 { logits } else { self.penalised.as_slice() };
        let index = if greedy { first_greatest(bent) } else { self.draw(self.stream.uniform(row, token)) };
        Choice { token: index as u32, log_prob: logits[index] - log_sum }
    }

    /// Makes the tokens that were there before less likely, each once however often it was there.
    fn penalise(&mut self, logits: &[f32], before: [&[u32]; 2], penalty: f32) {
        self.penalised.clear();
        self.penalised.extend_from_slice(logits);
        self.met.clear();
        self.met.resize(logits.len(), false);
        for token in before.into_iter().flatten().map(|it| *it as usize) {
            if !std::mem::replace(&mut self.met[token], true) {
                let logit = &mut self.penalised[token];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        let largest = max(&self.penalised);
        self.weights.copy_from_slice(&self.penalised);
        let _ = exp_and_sum(&mut self.weights, largest);
    }

    /// Inverts the cumulative distribution at `uniform`, over the kept tokens in the vocabulary's order.
    fn draw(&mut self, uniform: f64) -> usize {
        if self.keep() {
            return invert(self.order.iter().map(|token| *token as usize), &self.weights, uniform);
        }
        invert(0..self.weights.len(), &self.weights, uniform)
    }

    /// Fills `order` with the tokens that top-k, top-p and min-p leave, if any is set.
    fn keep(&mut self) -> bool {
        let count = self.weights.len();
        let most = self.sampling.top_k.unwrap_or(count).clamp(1, count);
        let nucleus = f64::from(self.sampling.top_p);
        let least = self.sampling.min_p;
        if most == count && nucleus >= 1.0 && least <= 0.0 {
            return false;
        }
        self.order.clear();
        self.order.extend(0..count as u32);
        if most < count || nucleus < 1.0 {
            self.sort_out(most, nucleus);
        }
        if least > 0.0 {
            // The likeliest token is never left out by the other two, so that it is the likeliest of all.
            let weights = &self.weights;
            let bar = least * max(weights);
            self.order.retain(|token| weights[*token as usize] >= bar);
        }
        true
    }

    /// Leaves of `order` the `most` likeliest tokens, and of these those that hold the share `nucleus` together.
    fn sort_out(&mut self, most: usize, nucleus: f64) {
        let weights = &self.weights;
        // Equal weights stand in the vocabulary's order, so the cut never depends on how the sort works.
        self.order.sort_unstable_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]).then(a.cmp(b)));
        self.order.truncate(most);
        if nucleus < 1.0 {
            let weight = |token: &u32| f64::from(weights[*token as usize]);
            let total: f64 = self.order.iter().map(weight).sum();
            let mut sum = 0.0;
            let enough = self.order.iter().position(|token| {
                sum += weight(token);
                sum >= nucleus * total
            });
            self.order.truncate(enough.map_or(most, |at| at + 1));
        }
        self.order.sort_unstable();
    }
}

/// The first of the greatest logits.
fn first_greatest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best
}

/// The first token at which the sum of weights passes the share `uniform` of their total; the last token of any weight
/// where rounding leaves none.
fn invert(tokens: impl Iterator<Item = usize> + Clone, weights: &[f32], uniform: f64) -> usize {
    let total: f64 = tokens.clone().map(|token| f64::from(weights[token])).sum();
    let (mut sum, mut last) = (0.0, 0);
    for token in tokens {
        sum += f64::from(weights[token]);
        if weights[token] > 0.0 {
            last = token;
        }
        if sum > uniform * total {
            return token;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f32, top_k: Option<usize>, top_p: f32) -> Sampling {
        Sampling { temperature, top_k, top_p, max_new: 1, seed: 5, ..Sampling::default() }
    }

    /// How often each of the tokens comes in 20,000 rows.
    fn shares(logits: &[f32], sampling: &Sampling) -> Vec<f64> {
        let mut chooser = Chooser::new(sampling);
        let mut counts = vec![0.0; logits.len()];
        for row in 0..20_000 {
            counts[chooser.choose(logits, row, 3, [&[], &[]]).token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    const LOGITS: [f32; 5] = [0.0, 2.0, 1.0, -1.0, 1.5];

    #[test]
    fn tokens_come_as_often_as_the_softmax_says() {
        let weights = LOGITS.map(|logit| f64::from(logit).exp());
        let total: f64 = weights.iter().sum();
        for (share, weight) in shares(&LOGITS, &sampling(1.0, None, 1.0)).iter().zip(weights) {
            assert!((share - weight / total).abs() < 0.015);
        }
    }

    #[test]
    fn top_k_and_top_p_leave_the_likeliest() {
        let kept = |sampling: &Sampling| {
            shares(&LOGITS, sampling).iter().enumerate().filter(|(_, share)| **share > 0.0).map(|(at, _)| at).collect()
        };
        let all: Vec<usize> = kept(&sampling(1.0, None, 1.0));
        assert_eq!(all, [0, 1, 2, 3, 4]);
        let two: Vec<usize> = kept(&sampling(1.0, Some(2), 1.0));
        assert_eq!(two, [1, 4]);
        // The shares are .46, .28, .17, .06 and .02: three are needed for four fifths.
        let nucleus: Vec<usize> = kept(&sampling(1.0, None, 0.8));
        assert_eq!(nucleus, [1, 2, 4]);
        let both: Vec<usize> = kept(&sampling(1.0, Some(3), 0.5));
        assert_eq!(both, [1], "half of the first three");
        let one: Vec<usize> = kept(&sampling(1.0, Some(1), 0.0));
        assert_eq!(one, [1]);
    }

    #[test]
    fn min_p_leaves_what_is_likely_enough_beside_the_likeliest() {
        let kept = |min_p: f32, top_k: Option<usize>| -> Vec<usize> {
            let settings = Sampling { min_p, ..sampling(1.0, top_k, 1.0) };
            shares(&LOGITS, &settings).iter().enumerate().filter(|(_, it)| **it > 0.0).map(|(at, _)| at).collect()
        };
        // Beside the likeliest the others are .14, 1, .37, .05 and .61 as likely.
        assert_eq!(kept(0.3, None), [1, 2, 4]);
        assert_eq!(kept(0.1, None), [0, 1, 2, 4]);
        assert_eq!(kept(0.1, Some(2)), [1, 4]);
        assert_eq!(kept(1.0, None), [1]);
    }

    #[test]
    fn a_token_that_was_there_is_less_likely_and_its_log_probability_is_that_of_the_model() {
        let settings = Sampling { repetition_penalty: 2.0, ..sampling(0.0, None, 1.0) };
        let mut chooser = Chooser::new(&settings);
        let plain = chooser.choose(&LOGITS, 0, 0, [&[], &[]]);
        assert_eq!(plain.token, 1);
        // The logits become 0, 1, 1, -2 and 0.75.
        let bent = chooser.choose(&LOGITS, 0, 0, [&[1, 1], &[3, 4]]);
        assert_eq!(bent.token, 1, "the first of two alike");
        let bent = chooser.choose(&LOGITS, 0, 0, [&[1], &[2]]);
        assert_eq!(bent.token, 4);
        let total: f64 = LOGITS.iter().map(|logit| f64::from(*logit).exp()).sum();
        assert!((f64::from(bent.log_prob) - (1.5 - total.ln())).abs() < 1e-6);
        let drawn = Sampling { repetition_penalty: 1e9, ..sampling(1.0, None, 1.0) };
        let mut chooser = Chooser::new(&drawn);
        let tokens = (0..2_000).map(|row| chooser.choose(&[5.0, 5.0, -5.0], row, 0, [&[0, 2], &[]]).token);
        assert!(tokens.into_iter().all(|it| it != 2), "a negative logit is driven further down");
    }

    #[test]
    fn settings_that_keep_everything_change_no_choice() {
        let (plain, wide) = (sampling(1.0, None, 1.0), sampling(1.0, Some(5), 1.0));
        let (mut plain, mut wide) = (Chooser::new(&plain), Chooser::new(&wide));
        for row in 0..500 {
            assert_eq!(plain.choose(&LOGITS, row, 0, [&[], &[]]), wide.choose(&LOGITS, row, 0, [&[], &[]]));
        }
    }

    #[test]
    fn greedy_takes_the_first_greatest_and_reports_its_log_probability() {
        let settings = sampling(0.0, None, 1.0);
        let choice = Chooser::new(&settings).choose(&[1.0, 3.0, 3.0], 0, 0, [&[], &[]]);
        assert_eq!(choice.token, 1);
        let expected = 3.0 - (1_f64.exp() + 2.0 * 3_f64.exp()).ln();
        assert!((f64::from(choice.log_prob) - expected).abs() < 1e-6);
    }

    #[test]
    fn impossible_tokens_are_never_chosen() {
        let settings = sampling(1.0, None, 1.0);
        let mut chooser = Chooser::new(&settings);
        for row in 0..2_000 {
            let token = chooser.choose(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY], row, 0, [&[], &[]]).token;
            assert_eq!(token, 1);
        }
    }
}
