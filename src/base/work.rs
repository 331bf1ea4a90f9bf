//! What a step is about to do, counted before it does it: the figures that prices are made of.

use std::collections::BTreeMap;

use super::{argument::Argument, named::Named};

/// What is known of a step before it runs.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub arguments: &'a Named<Argument>,
    /// What goes into each port, as far as it could be told.
    pub inputs: &'a Named<Vec<Made>>,
    pub files: &'a BTreeMap<String, std::path::PathBuf>,
}

/// Foretells a step of the stage of that name; None where nothing can be said.
pub type Foretell<'a> = &'a dyn Fn(&str, Known) -> Option<Estimate>;

/// What a step will do, hold and make.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub work: Work,
    /// Bytes of memory that the step holds at most, whatever the number of threads.
    pub memory: f64,
    /// Bytes of memory for each thread that works on it.
    pub memory_per_thread: f64,
    /// Bytes of the artifact.
    pub bytes: f64,
    /// Bytes of one state that the step keeps to go on from.
    pub state: f64,
    pub made: Made,
}

/// Work by its kinds, as each kind has a speed of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Tokens that are trained on, read or sampled.
    pub tokens: f64,
    /// Floating-point operations of forward and backward passes, an addition and a multiplication counted as two.
    pub training: f64,
    /// Floating-point operations of the sampler.
    pub sampling: f64,
    /// Seconds of everything else on one core of the machine that the constants were measured on.
    pub plain: f64,
    /// The width of the model's residual stream: small matrices are slower to multiply than large ones.
    pub hidden: f64,
    /// How many parts may run side by side.
    pub width: f64,
    /// How many times longer an operation takes than in a dense model; nought counts as one.
    pub slowness: f64,
    /// Tokens that the sampler draws one after another, however many it draws side by side.
    pub serial: f64,
}

impl Work {
    #[must_use]
    pub fn flops(&self) -> f64 {
        self.training + self.sampling
    }
}

/// What a step makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Made {
    Model(Shape),
    Rows(Rows),
    Tokenizer {
        vocabulary: f64,
    },
    /// Nothing that others build on, or nothing that could be told.
    Other,
}

/// The sizes of a model that cost depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    pub parameters: f64,
    /// Weights that one token is multiplied with: all but the embedding and the experts that do not see it.
    pub active: f64,
    /// Multiplications for each token that a token looks back at.
    pub attention: f64,
    pub hidden: f64,
    pub vocabulary: f64,
    pub positions: f64,
    /// Attention heads in all layers together.
    pub heads: f64,
    /// How many times longer an operation takes than in a dense model.
    pub slowness: f64,
    /// Forward passes more that a loss over the load of a whole batch asks for.
    pub recounts: f64,
    /// Numbers that a token leaves in the cache of the sampler.
    pub cache: f64,
    /// Numbers that a token leaves for the backward pass.
    pub kept: f64,
    /// The mean length in tokens of the answers that it has learnt to give.
    pub answer: f64,
    /// The mean length in tokens of an answer that is worked out.
    pub worked: f64,
}

/// The sizes of a data set that cost depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rows {
    pub rows: f64,
    /// Whether that many rows are certain; else it is a guess.
    pub exact: bool,
    /// Tokens of a row that are read: the question, or nothing in a text.
    pub question: f64,
    /// Tokens of a row that are learnt: the answer, or the whole text.
    pub answer: f64,
    /// Tokens of an answer that is worked out.
    pub worked: f64,
    /// Bytes of a row in the file.
    pub bytes: f64,
}

impl Rows {
    /// Tokens of a row.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.question + self.answer
    }
}

impl Made {
    /// The same once the size of the artifact is known, as a multiple of what was expected.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        match self {
            Self::Rows(rows) if rows.exact => {
                Self::Rows(Rows { answer: rows.answer * factor, bytes: rows.bytes * factor, ..rows })
            }
            Self::Rows(rows) => Self::Rows(Rows { rows: rows.rows * factor, exact: true, ..rows }),
            other => other,
        }
    }

    /// The same once it is known how long the model's answers are.
    #[must_use]
    pub fn answering(self, tokens: f64) -> Self {
        match self {
            Self::Model(shape) => Self::Model(Shape { answer: tokens, ..shape }),
            other => other,
        }
    }
}

/// How fast a machine is.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// How many threads steps share.
    pub threads: usize,
    /// Floating-point operations in a second and on one core, in training a dense model 96 wide and one 512 wide.
    pub training: [f64; 2],
    /// The same in sampling.
    pub sampling: [f64; 2],
    /// How often one core does what takes a second on the machine that the constants were measured on.
    pub plain: f64,
    /// How many tokens in a second one answer grows by at most; None where answers are too short for that to matter.
    #[serde(default)]
    pub stream: Option<f64>,
    /// How many times longer an operation takes where tokens are sorted by their experts, where that is not as usual.
    #[serde(default)]
    pub mixture: Option<f64>,
}

/// The two widths that a machine is measured at.
pub const WIDTHS: [f64; 2] = [96.0, 512.0];

impl Machine {
    /// What a machine does of which nothing is known: one core of a present-day server.
    #[must_use]
    pub fn usual(threads: usize) -> Self {
        Self { threads, training: [75e9, 95e9], sampling: [65e9, 75e9], plain: 1.0, stream: None, mixture: None }
    }

    /// How many cores a work can keep busy.
    #[must_use]
    pub fn cores(&self, work: &Work) -> f64 {
        work.width.clamp(1.0, self.threads.max(1) as f64)
    }

    /// Seconds that a work takes on the whole machine.
    #[must_use]
    pub fn seconds(&self, work: &Work) -> f64 {
        let at = ((work.hidden.max(1.0) / WIDTHS[0]).ln() / (WIDTHS[1] / WIDTHS[0]).ln()).clamp(-0.5, 1.0);
        let rate = |[narrow, wide]: [f64; 2]| narrow * (wide / narrow).powf(at) * self.cores(work);
        let slowness = work.slowness.max(1.0);
        let slowness = self.mixture.filter(|_| slowness > 1.0).unwrap_or(slowness);
        let training = slowness * work.training / rate(self.training);
        let sampling = slowness * work.sampling / rate(self.sampling);
        // The longest answer is waited for, whatever else is ready.
        let waiting = self.stream.map_or(0.0, |stream| work.serial / stream);
        training + sampling.max(waiting) + work.plain / self.plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_add_up_over_the_kinds_of_work() {
        let machine = Machine { training: [10.0, 20.0], sampling: [5.0, 5.0], plain: 2.0, ..Machine::usual(2) };
        let work = Work { training: 100.0, sampling: 50.0, plain: 3.0, hidden: 96.0, width: 8.0, ..Work::default() };
        assert_eq!(machine.seconds(&work), 5.0 + 5.0 + 1.5);
        assert_eq!(machine.seconds(&Work { hidden: 512.0, width: 1.0, ..work }), 5.0 + 10.0 + 1.5);
    }

    #[test]
    fn the_longest_answer_is_waited_for() {
        let machine = Machine { sampling: [5.0, 5.0], stream: Some(2.0), ..Machine::usual(1) };
        let work = Work { sampling: 50.0, serial: 4.0, hidden: 96.0, ..Work::default() };
        assert_eq!([4.0, 60.0].map(|serial| machine.seconds(&Work { serial, ..work })), [10.0, 30.0]);
    }

    #[test]
    fn what_is_known_of_an_artifact_makes_the_guess_better() {
        let guess = Rows { rows: 100.0, exact: false, question: 5.0, answer: 10.0, worked: 10.0, bytes: 80.0 };
        assert_eq!(Made::Rows(guess).scaled(0.5), Made::Rows(Rows { rows: 50.0, exact: true, ..guess }));
        let exact = Rows { exact: true, ..guess };
        assert_eq!(Made::Rows(exact).scaled(2.0), Made::Rows(Rows { answer: 20.0, bytes: 160.0, ..exact }));
    }
}
