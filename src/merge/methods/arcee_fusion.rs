//! `arcee_fusion`: of one model, the changes that matter most, laid on the base.
//!
//! A change weighs by its size times the divergence of its row, where rows of both tensors are read as logits; those of
//! the median plus one and a half times the distance of the quartiles, or more, are taken over.

use rayon::prelude::*;

use super::{Base, Job, Method, combine::CHUNK};

pub const METHOD: Method =
    Method { name: "arcee_fusion", models: (1, 1), base: Base::Required, parameters: &[], merge };

fn merge(job: Job) -> Result<Vec<f32>, String> {
    let row = job.row();
    let (Some(mut base), others) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let Some(other) = others.first() else { return Err("expected a second model, found none".to_owned()) };
    let other = &other.values;
    let mut weights = vec![0.0f32; base.len()];
    weights.par_chunks_mut(row).zip(base.par_chunks(row).zip(other.par_chunks(row))).for_each(
        |(weights, (base, other))| {
            let divergence = divergence(other, base);
            for ((weight, base), other) in weights.iter_mut().zip(base).zip(other) {
                *weight = (f64::from((other - base).abs()) * divergence) as f32;
            }
        },
    );
    let threshold = threshold(weights.clone());
    let chosen = weights.par_chunks(CHUNK).zip(other.par_chunks(CHUNK));
    base.par_chunks_mut(CHUNK).zip(chosen).for_each(|(base, (weights, other))| {
        for ((base, weight), other) in base.iter_mut().zip(weights).zip(other) {
            if *weight >= threshold {
                *base += other - *base;
            }
        }
    });
    Ok(base)
}

/// `sum p ln(p / q)` with `p` and `q` the softmax of two rows, each raised by 1e-8.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let scale = |row: &[f32]| {
        let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        (most, row.iter().map(|it| (f64::from(*it) - most).exp()).sum::<f64>())
    };
    let ((p_most, p_sum), (q_most, q_sum)) = (scale(p), scale(q));
    p.iter()
        .zip(q)
        .map(|(p, q)| {
            let p = (f64::from(*p) - p_most).exp() / p_sum + 1e-8;
            let q = (f64::from(*q) - q_most).exp() / q_sum + 1e-8;
            p * (p / q).ln()
        })
        .sum()
}

/// The median and one and a half times the distance of the quartiles; a quantile is one of the numbers, never between.
fn threshold(mut weights: Vec<f32>) -> f32 {
    let last = weights.len().saturating_sub(1);
    let mut quantile = |share: f64| {
        let at = (share * last as f64) as usize;
        if weights.is_empty() { 0.0 } else { *weights.select_nth_unstable_by(at, f32::total_cmp).1 }
    };
    let (lower, median, upper) = (quantile(0.25), quantile(0.5), quantile(0.75));
    median + 1.5 * (upper - lower)
}
