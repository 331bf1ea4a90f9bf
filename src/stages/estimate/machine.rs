//! Measures how fast the machine trains and samples, in a fraction of a second.
#![expect(clippy::disallowed_methods, reason = "the time is what is measured, and goes into no artifact")]

use std::time::Instant;

use rayon::ThreadPool;
use serde_json::json;

use crate::{
    base::work::{Machine, Shape, WIDTHS},
    model::{
        AdamW, AdamWSettings, Config, ModelError, Packed, PartLoss, Prompt, Sampler, Sampling, Transformer, gradients,
    },
};

/// Measures a machine with the threads of a pool: a training step and an answer of a narrow and of a wide model.
///
/// # Errors
/// Where a model cannot be made, which would be a fault of this program.
pub fn measure(pool: &ThreadPool) -> Result<Machine, ModelError> {
    let threads = pool.current_num_threads();
    let mut machine = Machine { plain: plain(), ..Machine::usual(threads) };
    // As many tokens for each as take some tens of milliseconds.
    for (at, (layers, length)) in [(4, 1024), (2, 256)].into_iter().enumerate() {
        let (Some(width), Some(training), Some(sampling)) =
            (WIDTHS.get(at), machine.training.get_mut(at), machine.sampling.get_mut(at))
        else {
            continue;
        };
        let model = model(*width as usize, layers)?;
        let shape = Shape::from(model.config());
        (*training, *sampling) = (train(&model, shape, length, pool)?, sample(&model, shape, length, pool)?);
    }
    Ok(machine)
}

fn model(width: usize, layers: usize) -> Result<Transformer, ModelError> {
    let sizes = json!({
        "model_type": "deepseek_v3", "vocab_size": 320, "hidden_size": width, "intermediate_size": width * 8 / 3,
        "moe_intermediate_size": width * 2 / 3, "num_hidden_layers": layers, "num_attention_heads": 4,
        "num_key_value_heads": 4, "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 2,
        "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 2.5,
        "q_lora_rank": null, "kv_lora_rank": width / 2, "qk_nope_head_dim": width / 8, "qk_rope_head_dim": width / 8,
        "v_head_dim": width / 4, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512,
    });
    Transformer::init(Config::from_json(&sizes)?, 0)
}

/// Operations in a second and on one core of a training step.
fn train(model: &Transformer, shape: Shape, tokens: usize, pool: &ThreadPool) -> Result<f64, ModelError> {
    const LENGTH: usize = 32;
    let threads = pool.current_num_threads();
    let ids: Vec<u32> = (0..LENGTH as u32).map(|at| at * 7 % 320).collect();
    let part = || Packed::new((0..tokens / LENGTH).map(|_| ids.as_slice()));
    let parts: Vec<Packed> = (0..threads).map(|_| part()).collect();
    let mut optimizer = AdamW::new(model, AdamWSettings::default());
    let mut step = || {
        let loss = |packed: &Packed| {
            let rows: Vec<u32> = (0..packed.ids.len() as u32).collect();
            let found = model.log_probs(packed, &rows, &packed.ids)?;
            Ok(PartLoss { loss: found.log_probs.sum_all()?, loads: found.loads })
        };
        let gradients = gradients(model, pool, &parts, loss)?;
        optimizer.step(model, &gradients, 0.0, pool)
    };
    let done = shape.slowness * 3.0 * (threads * tokens) as f64 * shape.forward(LENGTH as f64 / 2.0);
    Ok(done / best(2, &mut step)? / threads as f64)
}

/// Operations in a second and on one core of sampling.
fn sample(model: &Transformer, shape: Shape, tokens: usize, pool: &ThreadPool) -> Result<f64, ModelError> {
    let threads = pool.current_num_threads();
    let (asked, new) = (4, tokens / 64);
    let prompts: Vec<Prompt> = (0..2 * threads as u64)
        .map(|at| Prompt { ids: (0..asked).map(|token| token * 11 % 320).collect(), row: at * 32, copies: 32 })
        .collect();
    let sampling = Sampling { max_new: new, ..Sampling::default() };
    let sampler = Sampler::new(model)?;
    let mut draw = || sampler.generate(pool, &prompts, &sampling).map(drop);
    let written = shape.slowness * (prompts.len() * 32 * new) as f64;
    Ok(written * shape.forward(f64::from(asked) + new as f64 / 2.0) / best(2, &mut draw)? / threads as f64)
}

/// How often one core does in a second what the machine of the constants did: rows written as JSON and read again.
fn plain() -> f64 {
    const USUAL: f64 = 1.45e-3;
    let mut work = || {
        let mut read = 0;
        for row in 0..2_000_u64 {
            let text = json!({"question": format!("{row}+{row}=?"), "answer": row.to_string()}).to_string();
            read += serde_json::from_str::<serde_json::Value>(&text)
                .map_or(0, |it| it.as_object().map_or(0, |it| it.len()));
        }
        std::hint::black_box(read);
        Ok(())
    };
    best(3, &mut work).map_or(1.0, |seconds| USUAL / seconds)
}

/// The shortest time of several, after one that does not count.
fn best(times: usize, work: &mut dyn FnMut() -> Result<(), ModelError>) -> Result<f64, ModelError> {
    work()?;
    let mut shortest = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        work()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_measured() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let machine = measure(&pool).unwrap();
        let figures = machine.training.into_iter().chain(machine.sampling).chain([machine.plain]);
        assert!(figures.into_iter().all(|it| it.is_finite() && it > 0.0), "{machine:?}");
    }
}
