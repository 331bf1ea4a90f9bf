//! The router: from logits to chosen experts, and to the weights that gradients flow through.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, D, Layout, Result, Shape, Tensor};

use super::math::dot;
use super::storage::{is_native, like, read, read2, slice};
use crate::model::balance::{self, Balance, Pull};
use crate::model::router::{Router, Scoring};

/// The experts that the tokens of a batch go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The number of experts.
    pub experts: usize,
    /// How many experts each token goes to.
    pub per_token: usize,
    /// The chosen experts of token after token, each token's in rising order.
    pub chosen: Vec<u32>,
}

impl Choice {
    /// How many tokens each expert sees.
    #[must_use]
    pub fn loads(&self) -> Vec<u64> {
        let mut loads = vec![0; self.experts];
        for expert in &self.chosen {
            loads[*expert as usize] += 1;
        }
        loads
    }
}

/// Chooses experts by the biased scores of the logits, outside of autograd, and gives the weights of the chosen,
/// `[rows, experts per token]`, which gradients flow through.
pub fn route(logits: &Tensor, router: &Router, bias: &[f32]) -> Result<(Choice, Tensor)> {
    let (choice, weights, _) = route_balanced(logits, router, bias, None)?;
    Ok((choice, weights))
}

/// As [`route`], and with a balance loss for sequences of these lengths: its value is the third that comes back, and its
/// gradient goes to the logits together with that of the weights, as often as the loss itself is added to the
/// whole, which is once.
pub fn route_balanced(
    logits: &Tensor,
    router: &Router,
    bias: &[f32],
    balance: Option<(&Balance, &[usize])>,
) -> Result<(Choice, Tensor, f64)> {
    let logits = logits.contiguous()?;
    let values: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    let mut choice = Choice { experts: router.experts, per_token: router.chosen, chosen: Vec::new() };
    choice.chosen.reserve(values.len() / router.experts * router.chosen);
    let mut scores = values;
    for scores in scores.chunks_exact_mut(router.experts) {
        router.score(scores);
        router.choose(scores, bias, &mut choice.chosen);
    }
    let pull = balance.map(|(balance, lengths)| Pull::new(balance, router, &scores, lengths));
    let loss = pull.as_ref().map_or(0.0, |pull| pull.loss);
    if !is_native(&logits) {
        let mut weights = reference(&logits, router, &choice)?;
        if let Some(pull) = pull {
            weights = logits.apply_op2(&weights, Pulled::new(router, &scores, &pull))?;
        }
        return Ok((choice, weights, loss));
    }
    let weights = logits.apply_op1(Route { router: router.clone(), chosen: choice.chosen.clone(), pull })?;
    Ok((choice, weights, loss))
}

/// The weights of a choice, in plain Candle.
pub fn reference(logits: &Tensor, router: &Router, choice: &Choice) -> Result<Tensor> {
    let rows = choice.chosen.len() / choice.per_token;
    let chosen = Tensor::from_slice(&choice.chosen, (rows, choice.per_token), logits.device())?;
    let scores = match router.scoring {
        Scoring::Sigmoid => candle_nn::ops::sigmoid(logits)?,
        Scoring::Softmax => candle_nn::ops::softmax(logits, D::Minus1)?,
    };
    let scores = scores.gather(&chosen, 1)?;
    let weights = if router.normalise { scores.broadcast_div(&(scores.sum_keepdim(1)? + 1e-20)?)? } else { scores };
    weights * f64::from(router.scale)
}

struct Route {
    router: Router,
    chosen: Vec<u32>,
    pull: Option<Pull>,
}

impl CustomOp1 for Route {
    fn name(&self) -> &'static str {
        "route"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, experts) = layout.shape().dims2()?;
        let per_token = self.router.chosen;
        let mut weights = vec![0.0; rows * per_token];
        let mut scores = vec![0.0; experts];
        let places = weights.chunks_exact_mut(per_token).zip(self.chosen.chunks_exact(per_token));
        for (row, (weights, chosen)) in slice(logits, layout)?.chunks_exact(experts).zip(places) {
            scores.copy_from_slice(row);
            self.router.score(&mut scores);
            self.router.weigh(&scores, chosen, weights);
        }
        Ok((CpuStorage::F32(weights), Shape::from((rows, per_token))))
    }

    fn bwd(&self, logits: &Tensor, weights: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let experts = self.router.experts;
        let per_token = self.router.chosen;
        let grad = grad.contiguous()?;
        let mut logits_grad = vec![0.0; logits.elem_count()];
        let mut scores = vec![0.0; experts];
        read(logits, |logits| {
            read2(weights, &grad, |weights, grad| {
                let places = logits.chunks_exact(experts).zip(logits_grad.chunks_exact_mut(experts));
                let tokens = places.zip(self.chosen.chunks_exact(per_token));
                let mut pulls = self.pull.iter().flat_map(Pull::of_tokens);
                let grads = weights.chunks_exact(per_token).zip(grad.chunks_exact(per_token));
                for (((logits, out), chosen), (weights, grad)) in tokens.zip(grads) {
                    scores.copy_from_slice(logits);
                    self.router.score(&mut scores);
                    let total = chosen.iter().map(|expert| scores[*expert as usize]).sum::<f32>() + 1e-20;
                    // With w = scale · s / sum(s): dL/ds = (scale · g - sum(g · w)) / sum(s).
                    let along: f32 = weights.iter().zip(grad).map(|(weight, grad)| weight * grad).sum();
                    for (expert, grad) in chosen.iter().zip(grad) {
                        let scaled = self.router.scale * grad;
                        out[*expert as usize] = if self.router.normalise { (scaled - along) / total } else { scaled };
                    }
                    if let Some(slopes) = pulls.next() {
                        balance::add_gradient(&scores, slopes, out);
                    }
                    score_backward(self.router.scoring, &scores, out);
                }
            })
        })??;
        like(logits_grad, logits).map(Some)
    }
}

/// Turns the gradients of a token's scores into those of its logits.
fn score_backward(scoring: Scoring, scores: &[f32], grads: &mut [f32]) {
    match scoring {
        Scoring::Sigmoid => {
            grads.iter_mut().zip(scores).for_each(|(grad, score)| *grad = *grad * score * (1.0 - score));
        }
        Scoring::Softmax => {
            let along = dot(scores, grads);
            grads.iter_mut().zip(scores).for_each(|(grad, score)| *grad = score * (*grad - along));
        }
    }
}

/// Lets the weights of plain compositions through, and adds the gradient of a balance loss to that of the logits.
struct Pulled {
    /// The gradient of the logits: the loss is added to the whole once, so that it is known from the first.
    gradient: Vec<f32>,
}

impl Pulled {
    fn new(router: &Router, scores: &[f32], pull: &Pull) -> Self {
        let mut gradient = vec![0.0; scores.len()];
        let tokens = scores.chunks_exact(router.experts).zip(gradient.chunks_exact_mut(router.experts));
        for ((scores, out), slopes) in tokens.zip(pull.of_tokens()) {
            balance::add_gradient(scores, slopes, out);
            score_backward(router.scoring, scores, out);
        }
        Self { gradient }
    }
}

impl CustomOp2 for Pulled {
    fn name(&self) -> &'static str {
        "pulled"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        weights: &CpuStorage,
        layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((weights.try_clone(layout)?, layout.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        weights: &CudaStorage,
        layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((weights.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let pulled = Tensor::from_slice(&self.gradient, logits.shape(), logits.device())?;
        Ok((Some(pulled), Some(grad.clone())))
    }
}
