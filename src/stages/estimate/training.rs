//! The stages that train: tokens times weights, three times over.

use super::{
    MARGIN, ROOM, amount, any_rows, largest, mean, model, number, preference,
    sampling::{self, Draws},
    shape::{BYTE, WEIGHT},
};
use crate::{
    base::{
        units::Unit,
        work::{Estimate, Known, Made, Shape, Work},
    },
    stages::part::PART_TOKENS,
};

/// Seconds of one optimiser step for each weight: the sum of the parts' gradients, the norm, AdamW.
const UPDATE: f64 = 1.6e-9;
/// Seconds of one optimiser step whatever the model.
const STEP: f64 = 0.4e-3;
/// Seconds to turn a byte of text into tokens.
pub(super) const TOKENIZE: f64 = 60e-9;
/// Rollouts after which a model that is rewarded for right answers has come half of the way to working them out.
const HALFWAY: f64 = 30.0;

/// The share of questions whose answers are all worth the same.
const EVEN: f64 = 0.4;

/// Training on so many tokens, in sequences of one length.
pub(super) struct Training {
    pub(super) tokens: f64,
    pub(super) length: f64,
    pub(super) steps: f64,
    /// Passes forward and backward; a forward pass alone is a third.
    pub(super) passes: f64,
}

impl Training {
    pub(super) fn work(&self, shape: Shape) -> Work {
        let parts = (self.tokens / self.steps.max(1.0) / PART_TOKENS as f64).max(1.0);
        // The last parts of a step leave threads without work, and a part is seldom full.
        let width = if parts < 1.5 { 1.0 } else { parts.floor() };
        Work {
            tokens: self.tokens,
            training: 3.0 * self.passes * self.tokens * shape.forward(self.length / 2.0),
            plain: 8e-3 + self.steps * (STEP + UPDATE * shape.parameters) + 3.0 * BYTE * shape.bytes(),
            hidden: shape.hidden,
            slowness: shape.slowness,
            width,
            ..Work::default()
        }
    }

    /// Memory for all threads and for each: weights, moments, the sum; and gradients and a part's graph.
    pub(super) fn memory(&self, shape: Shape) -> (f64, f64) {
        let part = (PART_TOKENS as f64).max(self.length).min((self.tokens / self.steps.max(1.0)).max(self.length));
        let scores = shape.heads * part.min(self.length * 1.5);
        let graph = part * (shape.kept + scores) * WEIGHT;
        (6.0 * shape.parameters * WEIGHT, 2.0 * shape.parameters * WEIGHT + graph)
    }
}

/// Passes over each token: the counts of a whole batch are taken before its gradients.
fn passes(known: Known, shape: Shape) -> f64 {
    let balanced = number(known, "balance").is_some_and(|it| it > 0.0);
    1.0 + if balanced { shape.recounts / 3.0 } else { 0.0 }
}

fn made(shape: Shape, answer: f64, worked: f64) -> Made {
    Made::Model(Shape { answer, worked, ..shape })
}

pub(super) fn pretrain(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let text = any_rows(known)?;
    let whole = text.rows * text.length();
    let batch = amount(known, "batch")?.value.max(1.0);
    let budget = amount(known, "budget")?;
    let tokens = match budget.unit {
        Unit::Tokens => budget.value,
        Unit::Epochs => budget.value * whole,
        _ => budget.value * batch,
    };
    let length = text.length().min(shape.positions);
    let training = Training { tokens, length, steps: (tokens / batch).ceil(), passes: passes(known, shape) };
    let mut work = training.work(shape);
    work.plain += TOKENIZE * text.rows * text.bytes;
    let (memory, per_thread) = training.memory(shape);
    let rows = text.rows * (text.bytes * 2.0 + text.length() * 4.0 + 96.0);
    // What it says after a question is what the text says there.
    let made = made(shape, text.answer, text.worked);
    Some(finish(work, memory + rows, per_thread, shape, made))
}

/// `sft`, and every other stage that goes over examples so many times.
pub(super) fn sft(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = any_rows(known)?;
    let batch = number(known, "batch").unwrap_or(32.0).max(1.0);
    let per_epoch = (data.rows / batch).ceil();
    let budget = amount(known, "budget")?;
    let steps = if budget.unit == Unit::Epochs { (budget.value * per_epoch).round() } else { budget.value }.max(1.0);
    let seen = steps * batch.min(data.rows);
    let length = data.length().min(amount(known, "max_length").map_or(f64::INFINITY, |it| it.value));
    let training = Training { tokens: seen * length, length, steps, passes: passes(known, shape) };
    let mut work = training.work(shape);
    work.plain += TOKENIZE * data.rows * data.bytes;
    let (memory, per_thread) = training.memory(shape);
    let rows = data.rows * (data.bytes * 2.0 + data.length() * 4.0 + 160.0);
    let made = made(shape, data.answer, data.worked.min(shape.worked));
    Some(finish(work, memory + rows, per_thread, shape, made))
}

pub(super) fn grpo(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = any_rows(known)?;
    let steps = amount(known, "budget")?.value;
    let answers = number(known, "prompts")? * number(known, "group")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let (first, last) = (shape.answer.min(longest), shape.worked.min(longest));
    let far = 1.0 - (-steps / HALFWAY * std::f64::consts::LN_2).exp();
    let end = first + (last - first) * far;
    // The mean over the way of an exponential approach.
    let share = 1.0 - far / (steps / HALFWAY * std::f64::consts::LN_2).max(1e-9);
    let answer = first + (last - first) * share.clamp(0.0, 1.0);
    let serial = steps * known.arguments.get("max_length").and_then(|it| mean(it, steps)).unwrap_or(longest);
    // Questions that are asked in the place of others: the same share of them as before is replaced again.
    let tries = number(known, "dynamic_sampling").unwrap_or(0.0);
    let drawn = (1.0 - EVEN.powf(tries + 1.0)) / (1.0 - EVEN);
    let questions = steps * number(known, "prompts")? * drawn;
    let draws = Draws { questions, answers: steps * answers * drawn, answer, longest, serial };
    let drawn = sampling::work(shape, &data, draws, steps);
    let kept = f64::from(u8::from(number(known, "kl").is_some_and(|kl| kl > 0.0)));
    let iterations = number(known, "iterations").unwrap_or(1.0).max(1.0);
    let updates = number(known, "minibatches").unwrap_or(1.0).max(1.0) * iterations;
    let chosen = number(known, "top_entropy_quantile").is_some_and(|share| share < 1.0);
    let old = f64::from(u8::from(updates > 1.0 || chosen));
    let length = data.question + answer;
    let passes = iterations + (kept + old) / 3.0;
    let tokens = steps * answers * length;
    let training = Training { tokens, length, steps: steps * updates, passes };
    let trained = training.work(shape);
    let mut work = Work {
        tokens: trained.tokens + drawn.tokens,
        training: trained.training,
        sampling: drawn.sampling,
        plain: trained.plain + drawn.plain + TOKENIZE * data.rows * data.bytes * 0.2,
        width: trained.width.min(drawn.width),
        hidden: shape.hidden,
        slowness: shape.slowness,
        serial: drawn.serial,
    };
    preference::asked(known, "reward", steps * answers * length, length, &mut work);
    let long = Training {
        length: data.question + longest,
        tokens: answers * (data.question + longest),
        steps: 1.0,
        ..training
    };
    let (memory, per_thread) = long.memory(shape);
    let held = answers * (data.question + longest) * 32.0 + data.rows * (data.bytes * 2.0 + 160.0);
    let (fixed, threads) = sampling::memory(shape, &data, longest);
    let memory = memory + held + fixed + kept * 2.0 * shape.parameters * WEIGHT;
    let made = made(shape, end, shape.worked);
    // Rollouts and gradients take turns, but what one lets go the other cannot use to the last byte.
    let per_thread = per_thread.max(threads) + 0.25 * per_thread.min(threads);
    let estimate = finish(work, memory, per_thread, shape, made);
    // The model that answers are held against is kept as well.
    Some(Estimate { state: estimate.state + kept * shape.parameters * WEIGHT, ..estimate })
}

pub(super) fn finish(work: Work, memory: f64, memory_per_thread: f64, shape: Shape, made: Made) -> Estimate {
    let memory = ROOM + MARGIN * (memory + 2.0 * shape.bytes());
    // Weights with the two moments of the optimiser.
    let (memory_per_thread, state) = (MARGIN * memory_per_thread, 3.0 * shape.parameters * WEIGHT);
    Estimate { work, memory, memory_per_thread, bytes: shape.bytes(), state, made }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::base::work::Rows;

    #[test]
    fn training_costs_six_operations_for_each_weight_and_token() {
        let shape = Shape { parameters: 1e6, active: 1e6, hidden: 96.0, positions: 512.0, ..Shape::default() };
        let text = Rows { rows: 1e3, exact: true, answer: 50.0, bytes: 100.0, ..Rows::default() };
        let inputs = [("model", vec![Made::Model(shape)]), ("text", vec![Made::Rows(text)])].into_iter().collect();
        let files = BTreeMap::new();
        let flops = |budget: serde_json::Value| {
            let batch = json!({"value": 4096.0, "unit": "tokens"});
            let arguments = [("budget", budget.into()), ("batch", batch.into())].into_iter().collect();
            pretrain(Known { arguments: &arguments, inputs: &inputs, files: &files }).unwrap().work.flops()
        };
        assert_eq!(flops(json!({"value": 1e5, "unit": "tokens"})), 6e11);
        assert_eq!(flops(json!({"value": 2.0, "unit": "epochs"})), 6e11);
        assert_eq!(flops(json!({"value": 10.0, "unit": "steps"})), 6e6 * 40_960.0);
    }

    /// What an option of reinforcement learning costs, in parts of what costs nothing extra: training, sampling.
    #[test]
    fn what_reinforcement_learning_does_more_it_pays_for() {
        let shape = Shape { parameters: 1e6, active: 1e6, hidden: 96.0, positions: 512.0, ..Shape::default() };
        let shape = Shape { answer: 40.0, worked: 40.0, ..shape };
        let data = Rows { rows: 1e3, exact: true, question: 20.0, bytes: 60.0, ..Rows::default() };
        let inputs = [("model", vec![Made::Model(shape)]), ("data", vec![Made::Rows(data)])].into_iter().collect();
        let files = BTreeMap::new();
        let work = |option: Option<(&str, serde_json::Value)>| {
            let given = [
                ("budget", json!({"value": 10.0, "unit": "steps"})),
                ("prompts", json!(4)),
                ("group", json!(8)),
                ("max_length", json!({"constant": {"value": 64.0, "unit": "tokens"}})),
            ];
            let arguments = given.into_iter().chain(option).map(|(name, value)| (name, value.into())).collect();
            grpo(Known { arguments: &arguments, inputs: &inputs, files: &files }).unwrap().work
        };
        let plain = work(None);
        let third = 4.0 / 3.0;
        for (option, training, sampling) in [
            (("kl", json!(0.1)), third, 1.0),
            (("minibatches", json!(4)), third, 1.0),
            (("iterations", json!(2)), 2.0 + third - 1.0, 1.0),
            (("top_entropy_quantile", json!(0.2)), third, 1.0),
            (("top_entropy_quantile", json!(1.0)), 1.0, 1.0),
            (("dynamic_sampling", json!(1)), 1.0, 1.0 + EVEN),
        ] {
            let name = option.0;
            let work = work(Some(option));
            assert!((work.training / plain.training - training).abs() < 1e-9, "{name}");
            assert!((work.sampling / plain.sampling - sampling).abs() < 1e-9, "{name}");
        }
    }
}
