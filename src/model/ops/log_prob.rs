//! The output head, the softmax over the vocabulary and the choice of each row's target in one operation.
//!
//! The logits of a batch are the largest tensor of a small model; here only a block of rows of them exists at a time,
//! once in the forward and once more in the backward pass.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor};

use super::math::{dot, exp, exp_and_sum, max};
use super::matmul::{Rows, RowsMut, nn, project, tn};
use super::storage::{is_native, like, read3, slice};
use crate::model::sink::{reads, weight_gradient};

/// How many rows of logits exist at a time.
const BLOCK: usize = 256;

/// The log-probability of each row's target under `softmax(hidden · headᵀ)`, and each row's entropy.
pub fn log_prob(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<f32>)> {
    let (log_probs, entropy, _) = log_prob_and_hits(hidden, head, targets)?;
    Ok((log_probs, entropy))
}

/// As [`log_prob`], and whether no other token was likelier than each row's target.
pub fn log_prob_and_hits(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<f32>, Vec<bool>)> {
    if !is_native(hidden) {
        let best: Vec<u32> = hidden.matmul(&head.t()?)?.argmax(D::Minus1)?.to_vec1()?;
        let hits = best.iter().zip(targets).map(|(best, target)| best == target).collect();
        let (log_probs, entropy) = reference(hidden, head, targets)?;
        return Ok((log_probs, entropy, hits));
    }
    reads(head);
    let saved = std::sync::Arc::new(OnceLock::new());
    let op = LogProb { targets: targets.to_vec(), saved: std::sync::Arc::clone(&saved), with_entropy: false };
    let log_probs = hidden.contiguous()?.apply_op2(head, op)?;
    let (entropy, hits) = saved.get().map(|saved| (saved.entropy.clone(), saved.hits.clone())).unwrap_or_default();
    Ok((log_probs, entropy, hits))
}

/// As [`log_prob`], with entropies through which gradients flow: two tensors of a number for each row.
pub fn log_prob_and_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(Tensor, Tensor)> {
    if !is_native(hidden) {
        return reference_with_entropy(hidden, head, targets);
    }
    reads(head);
    let op = LogProb { targets: targets.to_vec(), saved: std::sync::Arc::default(), with_entropy: true };
    let both = hidden.contiguous()?.apply_op2(head, op)?;
    Ok((both.get(0)?, both.get(1)?))
}

/// The composition in plain Candle.
pub fn reference(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<f32>)> {
    let (chosen, entropy) = reference_with_entropy(hidden, head, targets)?;
    Ok((chosen, entropy.to_dtype(DType::F32)?.to_vec1()?))
}

/// The composition in plain Candle of both.
pub fn reference_with_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(Tensor, Tensor)> {
    let all = candle_nn::ops::log_softmax(&hidden.matmul(&head.t()?)?, D::Minus1)?;
    let targets = Tensor::new(targets, hidden.device())?.unsqueeze(1)?;
    let chosen = all.gather(&targets, 1)?.squeeze(1)?;
    let entropy = (all.exp()? * &all)?.sum(D::Minus1)?.neg()?;
    Ok((chosen, entropy))
}

struct LogProb {
    targets: Vec<u32>,
    saved: std::sync::Arc<OnceLock<Saved>>,
    /// Whether the entropies stand in a second row of the result, so that gradients flow through them too.
    with_entropy: bool,
}

/// What the forward pass keeps.
struct Saved {
    /// The logarithm of each row's sum of exponentials.
    log_sums: Vec<f32>,
    entropy: Vec<f32>,
    hits: Vec<bool>,
}

impl CustomOp2 for LogProb {
    fn name(&self) -> &'static str {
        "log-prob"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let (vocab, expected) = w_layout.shape().dims2()?;
        if width != expected || rows != self.targets.len() {
            candle_core::bail!("log-prob: expected {} rows of {expected}, found {rows} of {width}", self.targets.len());
        }
        let (hidden, head) = (slice(x, x_layout)?, slice(w, w_layout)?);
        let mut saved = Saved {
            log_sums: Vec::with_capacity(rows),
            entropy: Vec::with_capacity(rows),
            hits: Vec::with_capacity(rows),
        };
        let mut log_probs = Vec::with_capacity(rows);
        let mut logits = vec![0.0; BLOCK.min(rows) * vocab];
        let mut powers = vec![0.0; vocab];
        for (block, targets) in hidden.chunks(BLOCK * width).zip(self.targets.chunks(BLOCK)) {
            project(&mut logits, block, head, [targets.len(), vocab, width], false);
            for (row, target) in logits.chunks_exact(vocab).zip(targets) {
                let largest = max(row);
                powers.copy_from_slice(row);
                let sum = exp_and_sum(&mut powers, largest);
                let log_sum = largest + sum.ln();
                log_probs.push(row[*target as usize] - log_sum);
                saved.log_sums.push(log_sum);
                saved.hits.push(row[*target as usize] >= largest);
                saved.entropy.push(log_sum - dot(&powers, row) / sum);
            }
        }
        let shape = if self.with_entropy { Shape::from((2, rows)) } else { Shape::from(rows) };
        if self.with_entropy {
            log_probs.extend(&saved.entropy);
        }
        // A second forward pass of the same operation would give the same numbers.
        let _ = self.saved.set(saved);
        Ok((CpuStorage::F32(log_probs), shape))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else {
            candle_core::bail!("log-prob: the backward pass came before the forward pass");
        };
        let width = hidden.dim(1)?;
        let vocab = head.dim(0)?;
        let grad = grad.contiguous()?;
        read3(hidden, head, &grad, |x, w, grad| {
            let (grad, entropy_grad) = grad.split_at(self.targets.len());
            let mut hidden_grad = vec![0.0; x.len()];
            let weight_grad = weight_gradient(head, |weight_grad, add| {
                let mut add = add;
                let mut logits = vec![0.0; BLOCK.min(grad.len()) * vocab];
                for (at, place) in hidden_grad.chunks_mut(BLOCK * width).enumerate() {
                    let rows = place.len() / width;
                    let from = at * BLOCK;
                    let block = &x[from * width..][..place.len()];
                    project(&mut logits, block, w, [rows, vocab, width], false);
                    for (row, at) in logits.chunks_exact_mut(vocab).zip(from..from + rows) {
                        let (grad, log_sum) = (grad[at], saved.log_sums[at]);
                        match entropy_grad.get(at) {
                            None => row.iter_mut().for_each(|logit| *logit = -grad * exp(*logit - log_sum)),
                            // The entropy H falls with a logit by p (log p + H).
                            Some(entropy_grad) => row.iter_mut().for_each(|logit| {
                                let log_p = *logit - log_sum;
                                *logit = -exp(log_p) * (grad + entropy_grad * (log_p + saved.entropy[at]));
                            }),
                        }
                        row[self.targets[at] as usize] += grad;
                    }
                    nn(
                        RowsMut::set(place, width),
                        Rows::new(&logits, vocab),
                        Rows::new(w, width),
                        [rows, width, vocab],
                    );
                    let into = RowsMut { values: &mut *weight_grad, stride: width, add };
                    tn(into, Rows::new(&logits, vocab), Rows::new(block, width), [vocab, width, rows]);
                    add = true;
                }
            })?;
            Ok((Some(like(hidden_grad, hidden)?), weight_grad))
        })?
    }
}
