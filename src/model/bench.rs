//! The work behind `regimen model bench`: how many tokens a second a model trains on or generates.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::config::Config;
use super::error::ModelError;
use super::gradients::{PartLoss, gradients};
use super::optimizer::{AdamW, AdamWSettings};
use super::packed::Packed;
use super::sampler::{Prompt, Sampler, Sampling};
use super::transformer::Transformer;
use crate::base::device::Device;
use crate::base::precision::Dtype;
use crate::base::rng::Stream;

/// The most tokens of a part of a training step, unless one sequence is longer.
const PART_TOKENS: usize = 1024;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Forward, backward and AdamW on a batch.
    Train,
    /// Completion of a batch of prompts.
    Generate,
}

/// The sizes of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchSettings {
    pub mode: Mode,
    /// Sequences at a time.
    pub batch: usize,
    /// Tokens of a sequence, or of a prompt.
    pub length: usize,
    /// New tokens of a completion.
    pub new: usize,
    /// How often to measure, after a first time that does not count.
    pub repeats: usize,
    /// Whether a training step computes the activations of layers again instead of keeping them.
    pub recompute: bool,
    /// Where the model computes.
    pub device: Device,
    /// What the sampler keeps the weights in.
    pub dtype: Dtype,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// Tokens trained on, or new tokens.
    pub tokens_per_second: Spread,
    /// The most memory that the process has held, in MiB.
    pub peak_rss_mb: f64,
    pub mode: Mode,
    pub batch: usize,
    pub length: usize,
    pub new: usize,
    pub threads: usize,
    pub repeats: usize,
    pub parameters: usize,
    pub recompute: bool,
    pub device: &'static str,
    pub dtype: Dtype,
    /// The most memory that the process held before the first step, in MiB: weights, optimiser, and the program.
    pub idle_rss_mb: f64,
    /// The largest difference between the log-probabilities of a completion as sampled and as training computes them.
    pub log_prob_difference: Option<f32>,
}

/// The spread of several measurements.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

/// Measures the model of a folder, or random weights for a configuration alone.
pub fn bench(source: &Path, settings: &BenchSettings, pool: &rayon::ThreadPool) -> Result<BenchReport, ModelError> {
    let mut model = if source.join("model.safetensors").exists() || source.join("model.safetensors.index.json").exists()
    {
        Transformer::load(source)?
    } else {
        Transformer::init(Config::read(source)?, 0)?
    };
    if settings.recompute && settings.device != Device::Cpu {
        let text = format!("activations are computed again on the device `cpu` only, found `{}`", settings.device);
        return Err(ModelError::Device(text));
    }
    if settings.dtype != Dtype::F32 {
        if settings.mode == Mode::Train {
            let text = format!("weights are trained in `f32`, found `{}`", settings.dtype);
            return Err(ModelError::Weights(text));
        }
        model.round(settings.dtype.precision())?;
    }
    model = model.on(settings.device)?;
    model.set_recompute(settings.recompute);
    let parameters = model.config().parameters();
    let measured = match settings.mode {
        Mode::Train => train(model, settings, pool)?,
        Mode::Generate => generate(&model, settings, pool)?,
    };
    Ok(BenchReport {
        tokens_per_second: Spread::of(measured.rates),
        peak_rss_mb: peak_memory(),
        mode: settings.mode,
        batch: settings.batch,
        length: settings.length,
        new: settings.new,
        threads: pool.current_num_threads(),
        repeats: settings.repeats,
        parameters,
        recompute: settings.recompute,
        device: settings.device.name(),
        dtype: settings.dtype,
        idle_rss_mb: measured.idle,
        log_prob_difference: measured.difference,
    })
}

struct Measured {
    rates: Vec<f64>,
    idle: f64,
    difference: Option<f32>,
}

fn train(mut model: Transformer, settings: &BenchSettings, pool: &rayon::ThreadPool) -> Result<Measured, ModelError> {
    if settings.length < 2 {
        let text = format!("expected sequences of at least 2 tokens to train on, found {}", settings.length);
        return Err(ModelError::Batch(text));
    }
    let ids = random_ids(model.config(), settings);
    let per_thread = settings.batch.div_ceil(pool.current_num_threads());
    let per_part = (PART_TOKENS / settings.length).clamp(1, per_thread.max(1));
    let parts: Vec<Packed> = ids.chunks(per_part).map(|ids| Packed::new(ids.iter().map(Vec::as_slice))).collect();
    let targets = settings.batch * (settings.length - 1);
    let mut optimizer = AdamW::new(&model, AdamWSettings::default());
    let idle = peak_memory();
    let step = || {
        let mut gradients = gradients(&model, pool, &parts, |packed| part_loss(&model, packed, targets))?;
        gradients.clip(1.0);
        optimizer.step(&model, &gradients, 1e-4, pool)?;
        model.update_router_bias(&gradients.loads, 1e-3);
        gradients.give_back(&model);
        Ok(())
    };
    let rates = measure(settings.repeats, settings.batch * settings.length, step)?;
    Ok(Measured { rates, idle, difference: None })
}

/// The share of a part in the mean loss over all next tokens.
fn part_loss(model: &Transformer, packed: &Packed, targets: usize) -> Result<PartLoss, ModelError> {
    let (mut rows, mut next) = (Vec::new(), Vec::new());
    let mut start = 0;
    for length in &packed.lengths {
        let end = start + length;
        rows.extend((start..end - 1).map(|row| row as u32));
        next.extend_from_slice(&packed.ids[start + 1..end]);
        start = end;
    }
    let found = model.log_probs(packed, &rows, &next)?;
    Ok(PartLoss { loss: found.log_probs.sum_all()?.affine(-1.0 / targets as f64, 0.0)?, loads: found.loads })
}

fn generate(model: &Transformer, settings: &BenchSettings, pool: &rayon::ThreadPool) -> Result<Measured, ModelError> {
    let sampler = Sampler::new(model)?;
    let ids = random_ids(model.config(), settings).into_iter().zip(0..);
    let prompts: Vec<Prompt> = ids.map(|(ids, row)| Prompt { ids, row, copies: 1 }).collect();
    let sampling = Sampling { max_new: settings.new, ..Sampling::default() };
    let idle = peak_memory();
    let mut completions = Vec::new();
    let rates = measure(settings.repeats, settings.batch * settings.new, || {
        completions = sampler.generate(pool, &prompts, &sampling)?;
        Ok(())
    })?;
    let differences = prompts.iter().zip(&completions).map(|(prompt, completion)| {
        let whole = [prompt.ids.as_slice(), &completion.ids].concat();
        let rows: Vec<u32> = (0..completion.ids.len()).map(|at| (prompt.ids.len() - 1 + at) as u32).collect();
        let trained = model.log_probs(&Packed::new([whole.as_slice()]), &rows, &completion.ids)?.log_probs;
        let pairs = trained.to_vec1::<f32>()?.into_iter().zip(&completion.log_probs);
        Ok(pairs.map(|(trained, sampled)| (trained - sampled).abs()).fold(0.0, f32::max))
    });
    let differences = differences.collect::<Result<Vec<f32>, ModelError>>()?;
    Ok(Measured { rates, idle, difference: Some(differences.into_iter().fold(0.0, f32::max)) })
}

fn random_ids(config: &Config, settings: &BenchSettings) -> Vec<Vec<u32>> {
    let stream = Stream::new(0, "bench");
    let vocab = config.vocab_size() as u64;
    let row = |row: u64| (0..settings.length as u64).map(|at| stream.below(vocab, row, at) as u32).collect();
    (0..settings.batch as u64).map(row).collect()
}

#[expect(clippy::disallowed_methods, reason = "the time is what is measured, and goes into no artifact")]
fn measure(
    repeats: usize,
    tokens: usize,
    mut work: impl FnMut() -> Result<(), ModelError>,
) -> Result<Vec<f64>, ModelError> {
    work()?;
    let rate = |_| {
        let start = Instant::now();
        work()?;
        Ok(tokens as f64 / start.elapsed().as_secs_f64())
    };
    (0..repeats.max(1)).map(rate).collect()
}

impl Spread {
    /// The least, the middle and the largest of some numbers.
    #[must_use]
    pub fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |place: usize| numbers.get(place).copied().unwrap_or_default();
        let last = numbers.len().saturating_sub(1);
        Self { min: at(0), median: f64::midpoint(at(last / 2), at(last.div_ceil(2))), max: at(last) }
    }
}

/// The high-water mark of the process's memory in MiB; 0 where the system does not tell.
#[must_use]
pub fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(vec![4.0, 1.0, 3.0, 2.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of(vec![2.0, 1.0, 9.0]), Spread { min: 1.0, median: 2.0, max: 9.0 });
    }
}
