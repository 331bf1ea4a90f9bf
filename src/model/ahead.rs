//! Predicting farther ahead than the next token, in training: the multi-token prediction of DeepSeek-V3.
//!
//! Depth `k` reads what the depth before knew at a token, and the token `k` places on; a layer of its own then predicts
//! the token after that one (DeepSeek-V3 technical report, section 2.2, equations 21 to 25).

use candle_core::Tensor;

use super::balance::Balance;
use super::error::ModelError;
use super::ops;
use super::packed::Packed;
use super::transformer::{LogProbs, Pass, Transformer};
use super::weights::AheadPlan;

/// The log-probabilities of next tokens, and of tokens farther ahead.
pub struct LogProbsAhead {
    /// Of the next tokens; its loads go on with those of the layers that look ahead.
    pub next: LogProbs,
    /// For each depth the log-probabilities of the same targets, as far as they lie deep enough in their sequence.
    pub farther: Vec<Option<Tensor>>,
    /// The share of this batch in the loss that balances the experts, of all sparse layers.
    pub balance: f64,
}

impl LogProbsAhead {
    /// The share of this batch in a mean over `count` targets: `-(sum(next) + weight / depths · sum(farther)) / count`,
    /// and the loss that balances the experts.
    pub fn loss(&self, count: usize, weight: f64) -> Result<Tensor, ModelError> {
        let mut sum = self.next.log_probs.sum_all()?;
        for farther in self.farther.iter().flatten() {
            sum = (sum + (farther.sum_all()? * (weight / self.farther.len() as f64))?)?;
        }
        // The gradient of the balance has its own way back, through the routers.
        Ok(sum.affine(-1.0 / count.max(1) as f64, self.balance)?)
    }
}

impl Transformer {
    /// As [`Transformer::log_probs`], and for each layer that looks ahead the log-probabilities of those targets that
    /// its depth can predict: `targets[i]` is predicted at depth `k` from the row `k` places before `rows[i]`.
    pub fn log_probs_ahead(&self, packed: &Packed, rows: &[u32], targets: &[u32]) -> Result<LogProbsAhead, ModelError> {
        self.log_probs_to_learn(packed, rows, targets, true, None)
    }

    /// All that a training step on likelihood asks for: the log-probabilities, with those of the layers that look ahead
    /// where they have a part in the loss, and a loss that balances the experts.
    pub fn log_probs_to_learn(
        &self,
        packed: &Packed,
        rows: &[u32],
        targets: &[u32],
        ahead: bool,
        balance: Option<Balance>,
    ) -> Result<LogProbsAhead, ModelError> {
        let mut pass = self.pass();
        pass.balance = balance;
        if !ahead || self.plan().ahead.is_empty() {
            let next = self.scored(&mut pass, packed, rows, targets, 1.0)?;
            return Ok(LogProbsAhead { next, farther: Vec::new(), balance: pass.notes.balance });
        }
        self.check_targets(packed, rows, targets)?;
        // The first depth reads what the output head reads, as the engines that use these layers to draft tokens do.
        let every: Vec<u32> = (0..packed.ids.len() as u32).collect();
        let normed = pass.read(self, packed, &every)?;
        let head = self.variable(self.plan().head);
        let (log_probs, entropy, hits) = ops::log_prob_and_hits(&ops::select_rows(&normed, rows)?, head, targets)?;
        let mut farther = Vec::with_capacity(self.plan().ahead.len());
        let mut known = Depth::first(packed, normed);
        for plan in &self.plan().ahead {
            let sparse = pass.notes.loads.len();
            farther.push(match known.next(self, plan, &mut pass, packed)? {
                Some(next) => {
                    known = next;
                    known.log_probs(self, plan, rows, targets)?
                }
                None => {
                    // No sequence is long enough; the layer has seen nothing, and its place is kept.
                    let seen = self.router_biases().get(sparse).map(|bias| vec![0; bias.len()]);
                    pass.notes.loads.extend(seen);
                    None
                }
            });
        }
        let next = LogProbs { log_probs, entropy, hits, loads: pass.notes.loads };
        Ok(LogProbsAhead { next, farther, balance: pass.notes.balance })
    }
}

/// What one depth knows of a batch.
struct Depth {
    /// How many tokens beyond its own a row has read.
    ahead: usize,
    /// The rows of all sequences, each shorter by `ahead` than in the batch.
    hidden: Tensor,
    /// Where each sequence begins in the batch and here, and how long it is here.
    sequences: Vec<Piece>,
}

#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    place: usize,
    length: usize,
}

impl Depth {
    fn first(packed: &Packed, hidden: Tensor) -> Self {
        let sequences = packed.lengths.iter().scan(0, |next, length| {
            let start = *next;
            *next += length;
            Some(Piece { start, place: start, length: *length })
        });
        Self { ahead: 0, hidden, sequences: sequences.collect() }
    }

    /// One depth farther; nothing if no sequence is long enough.
    fn next(
        &self,
        model: &Transformer,
        plan: &AheadPlan,
        pass: &mut Pass,
        packed: &Packed,
    ) -> Result<Option<Self>, ModelError> {
        let ahead = self.ahead + 1;
        let (mut sequences, mut rows, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        for piece in self.sequences.iter().filter(|piece| piece.length > 1) {
            let shorter = Piece { place: rows.len(), length: piece.length - 1, ..*piece };
            rows.extend((piece.place..piece.place + shorter.length).map(|row| row as u32));
            ids.extend_from_slice(&packed.ids[piece.start + ahead..][..shorter.length]);
            sequences.push(shorter);
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let eps = model.config().norm_eps();
        let embedded = ops::select_rows(model.variable(model.plan().embedding), &ids)?;
        let embedded = ops::rms_norm(&embedded, model.variable(plan.embedding_norm), 0, eps)?;
        let known = ops::select_rows(&self.hidden, &rows)?;
        let known = ops::rms_norm(&known, model.variable(plan.hidden_norm), 0, eps)?;
        let both = Tensor::cat(&[embedded, known], 1)?;
        let merged = ops::linear(&both, model.variable(plan.projection))?;
        let lengths: Vec<usize> = sequences.iter().map(|piece| piece.length).collect();
        let context = pass.context(model, &lengths);
        Ok(Some(Self {
            ahead,
            hidden: pass.layers(std::slice::from_ref(&plan.layer), &context, &merged, None)?,
            sequences,
        }))
    }

    /// The log-probabilities of the targets that lie deep enough in their sequence.
    fn log_probs(
        &self,
        model: &Transformer,
        plan: &AheadPlan,
        rows: &[u32],
        targets: &[u32],
    ) -> Result<Option<Tensor>, ModelError> {
        let place = |row: usize| {
            let at = self.sequences.partition_point(|piece| piece.start <= row).checked_sub(1)?;
            let piece = &self.sequences[at];
            let within = (row - piece.start).checked_sub(self.ahead)?;
            (within < piece.length).then_some((piece.place + within) as u32)
        };
        let reached = rows.iter().zip(targets).filter_map(|(row, target)| Some((place(*row as usize)?, *target)));
        let (rows, targets): (Vec<u32>, Vec<u32>) = reached.unzip();
        if rows.is_empty() {
            return Ok(None);
        }
        let hidden = ops::select_rows(&self.hidden, &rows)?;
        let hidden = ops::rms_norm(&hidden, model.variable(plan.norm), 0, model.config().norm_eps())?;
        Ok(Some(ops::log_prob(&hidden, model.variable(model.plan().head), &targets)?.0))
    }
}
