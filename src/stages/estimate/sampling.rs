//! The stages that sample: a forward pass for every new token.

use super::{
    MARGIN, ROOM, any_rows, counted, largest, model, number,
    shape::{BYTE, WEIGHT},
};
use crate::base::{
    units::Unit,
    work::{Estimate, Known, Made, Rows, Shape, Work},
};

/// Rows that a thread reads at once.
const WIDTH: f64 = 32.0;
/// Seconds of an answer beside the model: its text, its judgement, its row.
const ANSWER: f64 = 6e-6;
/// Seconds to make a sampler: each weight is copied and laid out anew.
const PACK: f64 = 1.5e-9;
/// Questions that `reject` asks at once, and so at least.
const CHUNK: f64 = 64.0;
/// The share of answers that a condition is expected to keep.
const KEPT: f64 = 0.5;

/// How much is drawn.
#[derive(Clone, Copy)]
pub(super) struct Draws {
    pub(super) questions: f64,
    pub(super) answers: f64,
    /// The mean length of an answer.
    pub(super) answer: f64,
    pub(super) longest: f64,
}

/// The work of drawing answers with a sampler that is made so many times.
pub(super) fn work(shape: Shape, data: &Rows, draws: Draws, samplers: f64) -> Work {
    let read = draws.questions * data.question;
    let written = draws.answers * draws.answer;
    let forward = shape.forward(data.question + draws.answer / 2.0);
    Work {
        tokens: read + written,
        // A prompt is read a few hundred tokens at a time, which is quicker than one token of each row.
        sampling: 0.6 * read * forward + written * forward,
        plain: draws.answers * ANSWER + samplers * PACK * shape.parameters,
        hidden: shape.hidden,
        slowness: shape.slowness,
        width: (draws.answers / samplers.max(1.0)).ceil(),
        ..Work::default()
    }
}

/// The memory of a sampler, and of each of its threads.
pub(super) fn memory(shape: Shape, data: &Rows, longest: f64) -> (f64, f64) {
    let length = (data.question * 2.0 + longest).min(shape.positions.max(1.0));
    let caches = 1.1 * WIDTH * (length + 16.0) * shape.cache;
    let room = 256.0 * 16.0 * shape.hidden;
    (3.0 * shape.parameters * WEIGHT, (caches + room + 2.0 * WIDTH * shape.vocabulary) * WEIGHT)
}

/// `sample` and `reject`.
pub(super) fn draw(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = any_rows(known)?;
    let copies = number(known, "n")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let answer = shape.answer.min(longest);
    let bytes = 130.0 + 2.0 * (data.question + 12.0) + answer + 20.0;
    let (questions, made) = if known.arguments.contains_key("keep") {
        let most = copies * KEPT;
        let each = number(known, "per_prompt").map_or(most, |cap| cap.min(most)).max(0.01);
        let all = data.rows * each;
        let wanted = counted(known, "rows", Unit::Rows).map_or(all, |it| it.min(all)).max(1.0);
        let asked = ((wanted / each / CHUNK).ceil() * CHUNK).min(data.rows);
        // Where so many rows are asked for, fewer are an error.
        let exact = known.arguments.get("rows").is_some_and(|it| !it.is_null());
        let rows = if exact { counted(known, "rows", Unit::Rows).unwrap_or(wanted) } else { wanted };
        (asked, Rows { rows, exact, answer, bytes, ..data })
    } else {
        (data.rows, Rows { rows: data.rows * copies, answer, bytes, ..data })
    };
    let draws = Draws { questions, answers: questions * copies, answer, longest };
    Some(estimate(shape, &data, draws, made.rows * made.bytes, Made::Rows(made)))
}

pub(super) fn eval(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = any_rows(known)?;
    let copies = number(known, "samples")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let answer = shape.answer.min(longest);
    let answers = data.rows * copies;
    let draws = Draws { questions: data.rows, answers, answer, longest };
    let bytes = 300.0 + answers * (90.0 + data.question + answer);
    Some(estimate(shape, &data, draws, bytes, Made::Other))
}

fn estimate(shape: Shape, data: &Rows, draws: Draws, bytes: f64, made: Made) -> Estimate {
    let mut work = work(shape, data, draws, 1.0);
    work.plain += 2e-3 + 2.0 * BYTE * shape.bytes() + 0.4e-6 * data.rows;
    let (fixed, memory_per_thread) = memory(shape, data, draws.longest);
    let held = data.rows * (data.bytes * 2.0 + 160.0)
        + draws.answers.min(CHUNK * 2.0 * draws.answers / draws.questions.max(1.0))
            * (data.question + draws.longest)
            * 16.0;
    // `eval` gathers its rows before it writes them.
    let memory = ROOM + MARGIN * (fixed + held + 2.0 * bytes + 2.0 * shape.bytes());
    Estimate { work, memory, memory_per_thread: MARGIN * memory_per_thread, bytes, made }
}
