//! The family of task arithmetic: the differences from the base, made sparse, weighed, put together, and added to it.
//!
//! Ilharco et al., arXiv 2212.04089 (`task_arithmetic`); Yadav et al., arXiv 2306.01708 (`ties`: trim, elect signs, merge);
//! Yu et al., arXiv 2311.03099 (`dare`); Deep et al., arXiv 2406.11617 (`della`); Davari and Belilovsky, arXiv 2312.06795
//! (`breadcrumbs`). As in mergekit, what was dropped is made up for by the sum of magnitudes, not by `1 / density`.

use super::{
    Base, Input, Job, MANY, Method, Parameter, Scope,
    combine::{each_chunk, l1, subtract},
    flag, number, sparsify,
};
use crate::base::rng::Stream;

pub const TASK_ARITHMETIC: Method = Method {
    name: "task_arithmetic",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, LAMBDA, flag("normalize", false), INT8],
    merge: |job| merge(job, Sparsify::None, false),
};

pub const TIES: Method = Method {
    name: "ties",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, LAMBDA, flag("normalize", true), flag("rescale", false), INT8],
    merge: |job| merge(job, Sparsify::Magnitude, true),
};

pub const DARE_LINEAR: Method = Method {
    name: "dare_linear",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, LAMBDA, flag("normalize", false), flag("rescale", true), INT8],
    merge: |job| merge(job, Sparsify::Random, false),
};

pub const DARE_TIES: Method = Method {
    name: "dare_ties",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, LAMBDA, flag("normalize", false), flag("rescale", true), INT8],
    merge: |job| merge(job, Sparsify::Random, true),
};

pub const DELLA: Method = Method {
    name: "della",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, EPSILON, LAMBDA, flag("normalize", true), flag("rescale", true), INT8],
    merge: |job| merge(job, Sparsify::Rank, true),
};

pub const DELLA_LINEAR: Method = Method {
    name: "della_linear",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, EPSILON, LAMBDA, flag("normalize", false), flag("rescale", true), INT8],
    merge: |job| merge(job, Sparsify::Rank, false),
};

pub const BREADCRUMBS: Method = Method {
    name: "breadcrumbs",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, GAMMA, LAMBDA, flag("normalize", false), flag("rescale", false), INT8],
    merge: |job| merge(job, Sparsify::Outliers, false),
};

pub const BREADCRUMBS_TIES: Method = Method {
    name: "breadcrumbs_ties",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[WEIGHT, DENSITY, GAMMA, LAMBDA, flag("normalize", false), flag("rescale", false), INT8],
    merge: |job| merge(job, Sparsify::Outliers, true),
};

const WEIGHT: Parameter = number("weight", Scope::Model, None);
const DENSITY: Parameter = number("density", Scope::Model, Some(1.0));
const EPSILON: Parameter = number("epsilon", Scope::Model, Some(0.15));
const GAMMA: Parameter = number("gamma", Scope::Model, Some(0.01));
const LAMBDA: Parameter = number("lambda", Scope::All, Some(1.0));
/// Accepted for the sake of mergekit's files; signs are counted exactly here, so it changes nothing.
const INT8: Parameter = flag("int8_mask", false);

#[derive(Clone, Copy)]
enum Sparsify {
    None,
    Magnitude,
    Outliers,
    Random,
    Rank,
}

fn merge(job: Job, sparsify: Sparsify, consensus: bool) -> Result<Vec<f32>, String> {
    let settings = job.settings.clone();
    let stream = Stream::new(job.seed, job.name);
    let row = if job.shape.len() > 1 { job.row() } else { usize::MAX };
    let (Some(mut base), mut inputs) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    for (at, input) in inputs.iter_mut().enumerate() {
        subtract(&mut input.values, &base);
        thin(input, sparsify, settings.flag("rescale"), row, &stream, at as u64)?;
    }
    let weights: Vec<f32> = inputs.iter().map(|input| input.settings.get("weight") as f32).collect();
    let lambda = settings.get("lambda") as f32;
    let normalize = settings.flag("normalize");
    let total: f32 = weights.iter().sum();
    let total = if total.abs() < 1e-8 { 1.0 } else { total };
    each_chunk(&mut base, |start, chunk| {
        for (block, out) in chunk.chunks_mut(BLOCK).enumerate() {
            let start = start + block * BLOCK;
            let parts = inputs.iter().zip(&weights).map(|(input, weight)| (&input.values[start..], *weight));
            let mut sums = [0.0; BLOCK];
            if consensus {
                let mut divisors = [0.0; BLOCK];
                agree(parts, &mut sums, &mut divisors, out.len());
                if normalize {
                    for (sum, divisor) in sums.iter_mut().zip(&divisors) {
                        *sum /= if *divisor == 0.0 { 1.0 } else { *divisor };
                    }
                }
            } else {
                for (values, weight) in parts {
                    for (sum, value) in sums[..out.len()].iter_mut().zip(values) {
                        *sum += weight * value;
                    }
                }
                if normalize {
                    sums.iter_mut().for_each(|sum| *sum /= total);
                }
            }
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out += lambda * sum;
            }
        }
    });
    Ok(base)
}

/// Small enough that the sums of a block stay in the processor.
const BLOCK: usize = 512;

fn thin(
    input: &mut Input,
    sparsify: Sparsify,
    rescale: bool,
    row: usize,
    stream: &Stream,
    at: u64,
) -> Result<(), String> {
    let density = input.settings.get("density");
    if matches!(sparsify, Sparsify::None) || density >= 1.0 {
        return Ok(());
    }
    let row = row.min(input.values.len()).max(1);
    let before = if rescale { l1(&input.values) } else { 0.0 };
    let values = &mut input.values;
    match sparsify {
        Sparsify::None => {}
        Sparsify::Magnitude => sparsify::magnitude_prune(values, density),
        Sparsify::Outliers => sparsify::drop_outliers(values, density, input.settings.get("gamma")),
        Sparsify::Random => sparsify::bernoulli(values, density, stream, at),
        Sparsify::Rank => sparsify::by_rank(values, row, density, input.settings.get("epsilon"), stream, at)?,
    }
    if rescale {
        sparsify::rescale(values, before);
    }
    Ok(())
}

/// For each place the sign of the sum is elected, and what has another sign, or none, is left out; the sums of the
/// rest, and of their weights.
fn agree<'a>(
    parts: impl Iterator<Item = (&'a [f32], f32)> + Clone,
    sums: &mut [f32; BLOCK],
    divisors: &mut [f32; BLOCK],
    count: usize,
) {
    let mut votes = [0.0f32; BLOCK];
    for (values, weight) in parts.clone() {
        for (vote, value) in votes[..count].iter_mut().zip(values) {
            *vote += weight * value;
        }
    }
    for (values, weight) in parts {
        for (((sum, divisor), vote), value) in sums[..count].iter_mut().zip(divisors.iter_mut()).zip(&votes).zip(values)
        {
            let weighted = weight * value;
            let agrees = if *vote >= 0.0 { weighted > 0.0 } else { weighted < 0.0 };
            *sum += if agrees { weighted } else { 0.0 };
            *divisor += if agrees { weight } else { 0.0 };
        }
    }
}
