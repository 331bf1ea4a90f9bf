//! The stages that sample: a forward pass for every new token.

use super::{
    MARGIN, ROOM, counted, largest, model, number, rows,
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
    /// Tokens that are drawn one after another: the longest answer of each round.
    pub(super) serial: f64,
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
        serial: draws.serial,
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

/// The problems, with all that the model reads before it answers counted to the question.
fn asked(known: Known) -> Option<Rows> {
    let data = rows(known, "data")?;
    // A text is a token for every three to four bytes.
    let tokens =
        |name: &str| known.arguments.get(name).and_then(|it| it.as_str()).map_or(0.0, |it| it.len() as f64 / 3.5);
    let examples = rows(known, "examples").map_or(0.0, |examples| {
        number(known, "shots").unwrap_or(examples.rows)
            * (examples.question + examples.worked.max(examples.answer) + 2.0)
    });
    Some(Rows { question: data.question + tokens("instruction") + tokens("prompt") + examples, ..data })
}

/// `sample` and `reject`.
pub(super) fn draw(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let (data, asked) = (rows(known, "data")?, asked(known)?);
    let copies = number(known, "n")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let answer = shape.answer.min(longest);
    let bytes = 154.0 + (data.question + asked.question) + answer + 20.0;
    let (questions, made) = if known.arguments.contains_key("keep") {
        let most = copies * KEPT;
        let each = number(known, "per_prompt").map_or(most, |cap| cap.min(most)).max(0.01);
        let all = data.rows * each;
        let wanted = counted(known, "rows", Unit::Rows).map_or(all, |it| it.min(all)).max(1.0);
        let needed = ((wanted / each / CHUNK).ceil() * CHUNK).min(data.rows);
        // Where so many rows are asked for, fewer are an error.
        let exact = known.arguments.get("rows").is_some_and(|it| !it.is_null());
        let rows = if exact { counted(known, "rows", Unit::Rows).unwrap_or(wanted) } else { wanted };
        (needed, Rows { rows, exact, answer, bytes, ..data })
    } else {
        (data.rows, Rows { rows: data.rows * copies, answer, bytes, ..data })
    };
    let draws = Draws { questions, answers: questions * copies, answer, longest, serial: longest };
    Some(estimate(shape, &asked, draws, made.rows * made.bytes, Made::Rows(made)))
}

pub(super) fn eval(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let (data, asked) = (rows(known, "data")?, asked(known)?);
    let copies = number(known, "samples")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let answer = shape.answer.min(longest);
    let answers = data.rows * copies;
    let draws = Draws { questions: data.rows, answers, answer, longest, serial: longest };
    let bytes = 300.0 + answers * (90.0 + data.question + answer);
    Some(estimate(shape, &asked, draws, bytes, Made::Other))
}

/// Every draft is read once in its prompt, and written anew so many times.
pub(super) fn rewrite(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let (data, asked) = (rows(known, "data")?, asked(known)?);
    let tries = number(known, "tries")?;
    let longest = known.arguments.get("max_length").and_then(|it| largest(it))?;
    let answer = shape.answer.max(data.answer).min(longest);
    let asked = Rows { question: asked.question + data.answer, ..asked };
    let made = Rows { answer, bytes: data.bytes + 76.0, exact: false, ..data };
    let draws = Draws { questions: data.rows, answers: data.rows * tries, answer, longest, serial: longest };
    Some(estimate(shape, &asked, draws, made.rows * made.bytes, Made::Rows(made)))
}

/// A choice reads each row twice, once with either word; a verdict in writing is drawn.
pub(super) fn judge(known: Known) -> Option<Estimate> {
    let shape = model(known)?;
    let data = rows(known, "data")?;
    let rubric = known.arguments.get("rubric").and_then(|it| it.as_str()).map_or(0.0, |it| it.len() as f64 / 3.5);
    let asked = Rows { question: data.question + data.answer + rubric, ..data };
    let made = Rows { bytes: data.bytes + 28.0, exact: false, ..data };
    let writes = known.arguments.get("form").is_some_and(|it| **it == *"json");
    let longest = if writes { known.arguments.get("max_length").and_then(|it| largest(it))? } else { 2.0 };
    let draws = if writes {
        Draws { questions: data.rows, answers: data.rows, answer: shape.answer.min(longest), longest, serial: longest }
    } else {
        Draws { questions: 2.0 * data.rows, answers: 2.0 * data.rows, answer: 2.0, longest, serial: longest }
    };
    Some(estimate(shape, &asked, draws, made.rows * made.bytes, Made::Rows(made)))
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
    Estimate { work, memory, memory_per_thread: MARGIN * memory_per_thread, bytes, state: bytes, made }
}
