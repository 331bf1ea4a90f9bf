//! `regimen model`: a model folder by itself: its logits, its answers, its speed.

use std::{num::NonZeroUsize, path::PathBuf, thread};

use clap::ValueEnum;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{
    base::{device::Device, precision::Dtype},
    cli::{CliError, Exit},
    model::{
        Config, Sampling,
        bench::{self, BenchSettings, Mode},
        commands::{self, Source},
    },
    report::format,
    stages::grpo::bench::{self as grpo, GrpoBench, GrpoReport},
};

/// Work with a model folder by itself
#[derive(clap::Subcommand)]
pub enum Command {
    Bench(Bench),
    Logits(Logits),
    Generate(Generate),
}

/// Measure how fast a model trains or generates; random weights where only a configuration is given
#[derive(clap::Args)]
pub struct Bench {
    /// A model folder, or a `config.json`
    #[arg(value_name = "DIR|CONFIG")]
    source: PathBuf,
    #[arg(long, value_enum)]
    mode: BenchMode,
    /// Sequences at a time, or prompts of a step [default: 16; 8 for grpo]
    #[arg(long)]
    batch: Option<NonZeroUsize>,
    /// Tokens of a sequence, or of a prompt
    #[arg(long, default_value = "256")]
    length: NonZeroUsize,
    /// Tokens to generate for each prompt [default: 128; 32 for grpo]
    #[arg(long)]
    new: Option<NonZeroUsize>,
    /// Completions of each prompt, for grpo
    #[arg(long, default_value = "8")]
    group: NonZeroUsize,
    /// Threads to compute with [default: one for each core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Measured repeats, after one to warm up
    #[arg(long, default_value = "3")]
    repeats: NonZeroUsize,
    /// Compute activations again in the backward pass instead of keeping them
    #[arg(long)]
    recompute: bool,
    /// Where the model computes: `cpu`, `cuda` or `plain`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// What the weights are rounded to: `f32` or `bf16`; all is computed in f32
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: Dtype,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum BenchMode {
    Train,
    Generate,
    /// A step of reinforcement learning: sample, reward, update
    Grpo,
}

/// Compute the logits of given tokens
#[derive(clap::Args)]
pub struct Logits {
    /// The model folder
    dir: PathBuf,
    /// A safetensors file with `input_ids`, i64 or u32, [batch, length]
    #[arg(long)]
    ids: PathBuf,
    /// Where the model computes: `cpu`, `cuda` or `plain`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// What the weights are rounded to: `f32` or `bf16`; all is computed in f32
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: Dtype,
    /// The safetensors file to write: `logits`, f32, [batch, length, vocabulary]
    #[arg(long)]
    out: PathBuf,
}

/// Continue given tokens
#[derive(clap::Args)]
pub struct Generate {
    /// The model folder
    dir: PathBuf,
    /// A safetensors file with `input_ids`, i64 or u32, [batch, length]
    #[arg(long)]
    ids: PathBuf,
    /// The most tokens to add to each row
    #[arg(long, value_name = "N")]
    max_new: usize,
    /// What logits are divided by; 0 takes the likeliest token
    #[arg(long, default_value_t = 0.0)]
    temperature: f32,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the model computes: `cpu`, `cuda` or `plain`
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// What the weights are rounded to: `f32` or `bf16`; all is computed in f32
    #[arg(long, value_name = "DTYPE", default_value_t)]
    dtype: Dtype,
    /// The safetensors file to write: `ids`, i64, [batch, length + N], and `log_probs`, f32, [batch, N]
    #[arg(long)]
    out: PathBuf,
}

pub fn run(command: &Command) -> Result<Exit, CliError> {
    match command {
        Command::Bench(arguments) => bench(arguments)?,
        Command::Logits(arguments) => {
            let Logits { dir, ids, out, device, dtype } = arguments;
            commands::logits(Source { dir, device: *device, dtype: *dtype }, ids, out, &pool(None)?)?;
        }
        Command::Generate(arguments) => {
            let sampling = Sampling {
                temperature: arguments.temperature,
                max_new: arguments.max_new,
                stop: Config::read(&arguments.dir)?.special_tokens().eos.clone(),
                seed: arguments.seed,
                ..Sampling::default()
            };
            let Generate { dir, ids, out, device, dtype, .. } = arguments;
            commands::generate(Source { dir, device: *device, dtype: *dtype }, ids, out, &sampling, &pool(None)?)?;
        }
    }
    Ok(Exit::Done)
}

fn bench(arguments: &Bench) -> Result<(), CliError> {
    let or = |given: Option<NonZeroUsize>, default| given.map_or(default, NonZeroUsize::get);
    let mode = match arguments.mode {
        BenchMode::Train => Mode::Train,
        BenchMode::Generate => Mode::Generate,
        BenchMode::Grpo => {
            if arguments.recompute || arguments.device != Device::Cpu || arguments.dtype != Dtype::F32 {
                let message = "a step of grpo is measured on the device `cpu`, in `f32`, with activations kept";
                let hint = "leave out `--device`, `--dtype` and `--recompute`, or choose another `--mode`";
                return Err(CliError::Unknown { message: message.to_owned(), hint: Some(hint.to_owned()) });
            }
            let sizes = GrpoBench {
                prompts: or(arguments.batch, 8),
                group: arguments.group.get(),
                new: or(arguments.new, 32),
                repeats: arguments.repeats.get(),
            };
            let report = grpo::bench(&arguments.source, &sizes, &pool(arguments.threads)?);
            return grpo_report(&report.map_err(|error| CliError::Profile(error.to_string()))?, arguments.json);
        }
    };
    let settings = BenchSettings {
        mode,
        batch: or(arguments.batch, 16),
        length: arguments.length.get(),
        new: or(arguments.new, 128),
        repeats: arguments.repeats.get(),
        recompute: arguments.recompute,
        device: arguments.device,
        dtype: arguments.dtype,
    };
    let report = bench::bench(&arguments.source, &settings, &pool(arguments.threads)?)?;
    if arguments.json {
        print_json(&report)?;
    } else {
        let speed = &report.tokens_per_second;
        let [min, median, max] = [speed.min, speed.median, speed.max].map(format::figure);
        println!("{median} tokens/s ({min} to {max}), {} MiB at most", format::figure(report.peak_rss_mb));
        if let Some(difference) = report.log_prob_difference {
            println!("sampled and trained log-probabilities differ by {difference} at most");
        }
    }
    Ok(())
}

fn grpo_report(report: &GrpoReport, json: bool) -> Result<(), CliError> {
    if json {
        return print_json(report);
    }
    let parts = [&report.step_seconds, &report.generation_seconds, &report.training_seconds];
    let [step, generation, training] = parts.map(|it| format::figure(it.median));
    let (tokens, memory) = (format::figure(report.tokens), format::figure(report.peak_rss_mb));
    println!(
        "{step} s a step, {generation} of them to draw {tokens} tokens and {training} to learn; {memory} MiB at most"
    );
    println!("sampled and trained log-probabilities differ by {} at most", report.log_prob_difference);
    Ok(())
}

fn print_json(report: &impl serde::Serialize) -> Result<(), CliError> {
    println!("{}", serde_json::to_string(report).map_err(|error| CliError::Profile(error.to_string()))?);
    Ok(())
}

/// A pool of so many threads, or of one for each core.
pub fn pool(threads: Option<NonZeroUsize>) -> Result<ThreadPool, CliError> {
    let threads = threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| CliError::Profile(format!("the threads could not be started: {error}")))
}
