//! The stages of preferences: training on pairs of answers, scoring them, and making them of samples.

use super::{
    MARGIN, ROOM, amount, any_rows, model, number, plain, rows,
    shape::{BYTE, WEIGHT},
    training::{TOKENIZE, Training, finish},
};
use crate::{
    base::{
        units::Unit,
        work::{Estimate, Known, Made, Rows, Shape, Work},
    },
    stages::dpo::loss::Loss,
};

/// Seconds to read a sample, to score it by rules, and to write it into a pair.
const COMPARE: f64 = 6e-6;

/// `reward_model` and `dpo`: each row is two answers with their prompts.
pub(super) fn train(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = any_rows(known)?;
    let budget = amount(known, "budget")?;
    let batch = number(known, "batch")?.max(1.0);
    let per_epoch = (data.rows / batch).ceil();
    let steps = if budget.unit == Unit::Epochs { (budget.value * per_epoch).round() } else { budget.value }.max(1.0);
    let loss: Option<Loss> = known.arguments.get("loss").and_then(|it| serde_json::from_value((**it).clone()).ok());
    // Answers one by one are half as much as a pair.
    let answers = if loss.is_some_and(Loss::is_unpaired) { 1.0 } else { 2.0 };
    let seen = steps * batch.min(data.rows * 2.0 / answers) * answers;
    // The reference reads each row once; for `kto` both models read crossed rows at every step.
    let reference = match loss {
        Some(Loss::Kto) => 1.0 + 2.0 * data.rows.min(seen) / seen,
        Some(loss) if loss.has_reference() => (2.0 * data.rows).min(seen) / seen,
        _ => 0.0,
    };
    let training =
        Training { tokens: seen * data.length(), length: data.length(), steps, passes: 1.0 + reference / 3.0 };
    let mut work = training.work(shape);
    work.plain += TOKENIZE * data.rows * data.bytes;
    let (memory, per_thread) = training.memory(shape);
    let second = if reference > 0.0 { 2.0 * shape.parameters * WEIGHT } else { 0.0 };
    let held = data.rows * (data.bytes * 2.0 + 2.0 * data.length() * 4.0 + 240.0);
    Some(finish(work, memory + held + second, per_thread, shape, Made::Model(shape)))
}

/// `eval_pairs` and `eval_reward`: every answer is read once, by each model.
pub(super) fn eval(known: Known) -> Option<Estimate> {
    let data = any_rows(known)?;
    let models = known.inputs.values().flatten().filter_map(|made| match made {
        Made::Model(shape) => Some(*shape),
        _ => None,
    });
    let models: Vec<Shape> = models.collect();
    let shape = *models.first()?;
    let tokens = 2.0 * data.rows * data.length();
    let work = Work {
        tokens: tokens * models.len() as f64,
        training: models.iter().map(|it| read(*it, tokens, data.length())).sum(),
        plain: 4e-3 + 2.0 * BYTE * shape.bytes() + TOKENIZE * data.rows * data.bytes,
        hidden: shape.hidden,
        slowness: shape.slowness,
        width: data.rows.max(1.0),
        ..Work::default()
    };
    let memory = models.len() as f64 * 2.0 * shape.bytes() + data.rows * (data.bytes * 2.0 + 400.0);
    let per_thread = data.length() * shape.kept * WEIGHT;
    let bytes = 300.0 + 90.0 * data.rows;
    let memory = ROOM + MARGIN * memory;
    Some(Estimate { work, memory, memory_per_thread: MARGIN * per_thread, bytes, state: 0.0, made: Made::Other })
}

/// `pairs`: how many come of the answers nobody knows; about one for each question, were there eight answers to each.
pub(super) fn pairs(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let each = number(known, "per_prompt")?;
    let count = (data.rows / 8.0 * each).min(data.rows / 2.0).max(1.0);
    let bytes = 40.0 + data.bytes * 0.6;
    let made = Rows { rows: count, exact: false, bytes, ..data };
    let mut estimate =
        plain(COMPARE * data.rows, data.rows * (2.0 * data.bytes + 160.0), count * bytes, Made::Rows(made));
    asked(known, "prefer", data.rows * data.length(), data.length(), &mut estimate.work);
    Some(estimate)
}

/// `labels`: every sample becomes a row.
pub(super) fn labels(known: Known) -> Option<Estimate> {
    let data = rows(known, "data")?;
    let bytes = 45.0 + data.bytes * 0.4;
    let made = Rows { bytes, ..data };
    Some(plain(0.5 * COMPARE * data.rows, 64.0 * 1024.0, data.rows * bytes, Made::Rows(made)))
}

/// Adds what the models of a reward read: every token once.
pub(super) fn asked(known: Known, port: &str, tokens: f64, length: f64, work: &mut Work) {
    for made in known.inputs.get(port).into_iter().flatten() {
        if let Made::Model(shape) = made {
            work.tokens += tokens;
            work.training += read(*shape, tokens, length);
            work.hidden = work.hidden.max(shape.hidden);
            work.slowness = work.slowness.max(shape.slowness);
        }
    }
}

/// Operations to read so many tokens, in sequences of one length.
fn read(shape: Shape, tokens: f64, length: f64) -> f64 {
    tokens * shape.forward(length / 2.0)
}
