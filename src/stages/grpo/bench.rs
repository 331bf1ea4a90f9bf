//! What a step of `grpo` costs, measured by itself: random weights for a configuration, additions as prompts, and from
//! the completions on the stage's own code.

use std::{path::Path, time::Instant};

use rayon::ThreadPool;
use serde::Serialize;

use super::{
    advantage::{Normalize, advantages},
    minibatch::{Experience, Minibatches},
    objective::{Estimator, Level, Objective, Surrogate},
    weights::Aggregate,
};
use crate::{
    base::rng::Stream,
    model::{
        Completion, Config, Prompt, Sampler, Sampling, Transformer,
        bench::{Spread, peak_memory},
    },
    stages::{
        StageError,
        trainer::{Settings, Trainer},
    },
};

/// The sizes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpoBench {
    /// Prompts of a step.
    pub prompts: usize,
    /// Completions of a prompt.
    pub group: usize,
    /// The most tokens of a completion.
    pub new: usize,
    /// How often to measure, after a first time that does not count.
    pub repeats: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrpoReport {
    pub mode: &'static str,
    /// A whole step.
    pub step_seconds: Spread,
    /// Its sampling, the packing of the weights included.
    pub generation_seconds: Spread,
    /// Its update: log-probabilities, gradients, clipping and AdamW.
    pub training_seconds: Spread,
    /// Completion tokens of a step, the mean over all steps.
    pub tokens: f64,
    pub prompts: usize,
    pub group: usize,
    pub new: usize,
    pub threads: usize,
    pub repeats: usize,
    pub parameters: usize,
    /// The largest difference between a token's log-probability as sampled and as trained on.
    pub log_prob_difference: f64,
    /// The most memory that the process has held, in MiB.
    pub peak_rss_mb: f64,
}

/// One measured step.
struct Step {
    whole: f64,
    generation: f64,
    training: f64,
    tokens: usize,
    difference: f64,
}

/// The characters that prompts and answers are made of, from the third token on; the one before them ends a text.
const CHARACTERS: &str = "?0123456789+-*/=";
const STOP: u32 = 1;

/// Measures steps of a model with random weights, or with those of a folder.
///
/// # Errors
/// Where the model cannot be read, or has fewer tokens than the prompts need.
pub fn bench(source: &Path, sizes: &GrpoBench, pool: &ThreadPool) -> Result<GrpoReport, StageError> {
    let model = if source.join("model.safetensors").exists() {
        Transformer::load(source)?
    } else {
        Transformer::init(Config::read(source)?, 0)?
    };
    let (parameters, least) = (model.config().parameters(), CHARACTERS.len() + 2);
    if model.config().vocab_size() < least {
        let found = model.config().vocab_size();
        return Err(StageError::Data(format!("expected a vocabulary of at least {least} tokens, found {found}")));
    }
    // The settings of TRL's trainer as its users find them.
    let settings = Settings { beta2: 0.999, weight_decay: 0.0, clip: 1.0, bias_speed: 0.0 };
    let mut trainer = Trainer::new(model, settings)?;
    let mut steps = Vec::with_capacity(sizes.repeats + 1);
    for at in 0..=sizes.repeats.max(1) as u64 {
        steps.push(step(&mut trainer, sizes, pool, at)?);
    }
    steps.remove(0);
    let spread = |of: fn(&Step) -> f64| Spread::of(steps.iter().map(of).collect());
    Ok(GrpoReport {
        mode: "grpo",
        step_seconds: spread(|it| it.whole),
        generation_seconds: spread(|it| it.generation),
        training_seconds: spread(|it| it.training),
        tokens: steps.iter().map(|it| it.tokens).sum::<usize>() as f64 / steps.len() as f64,
        prompts: sizes.prompts,
        group: sizes.group,
        new: sizes.new,
        threads: pool.current_num_threads(),
        repeats: steps.len(),
        parameters,
        log_prob_difference: steps.iter().map(|it| it.difference).fold(0.0, f64::max),
        peak_rss_mb: peak_memory(),
    })
}

#[expect(clippy::disallowed_methods, reason = "the time is what is measured, and goes into no artifact")]
fn step(trainer: &mut Trainer, sizes: &GrpoBench, pool: &ThreadPool, at: u64) -> Result<Step, StageError> {
    let start = Instant::now();
    let sums: Vec<[u64; 2]> = (0..sizes.prompts as u64).map(|row| sum(at * sizes.prompts as u64 + row)).collect();
    let first = at * (sizes.prompts * sizes.group) as u64;
    let prompts = sums.iter().zip((first..).step_by(sizes.group.max(1))).map(|([a, b], row)| Prompt {
        ids: tokens(&format!("{a}+{b}=")),
        row,
        copies: sizes.group,
    });
    let prompts: Vec<Prompt> = prompts.collect();
    let sampling = Sampling { max_new: sizes.new, stop: vec![STOP], ..Sampling::default() };
    let completions = Sampler::new(&trainer.model)?.generate(pool, &prompts, &sampling)?;
    let generation = start.elapsed().as_secs_f64();

    let rewards = sums.iter().zip(completions.chunks(sizes.group.max(1)));
    let rewards: Vec<f64> =
        rewards.flat_map(|([a, b], group)| group.iter().map(move |it| reward(it, &(a + b).to_string()))).collect();
    let advantages = advantages(&rewards, sizes.group, Normalize::Group);
    let drawn = completions.iter().map(|it| it.ids.len()).sum();
    let asked = prompts.iter().flat_map(|it| std::iter::repeat_n(&it.ids, sizes.group));
    let experiences: Vec<Experience> = asked
        .zip(completions)
        .zip(advantages)
        .map(|((prompt, completion), advantage)| Experience::new(prompt.clone(), completion, advantage, false))
        .collect();

    let begun = Instant::now();
    let minibatches = Minibatches {
        pool,
        objective: Objective {
            surrogate: Surrogate::Clip,
            level: Level::Token,
            clip_low: 0.2,
            clip_high: 0.2,
            gate: (1.0, 1.05),
            delta: None,
            kl: 0.0,
            estimator: Estimator::K3,
            corrected: false,
            off_policy: None,
        },
        aggregate: Aggregate::Sequence,
        temperature: 1.0,
        longest: sizes.new,
        entropy_coef: 0.0,
        top_entropy: 1.0,
        order: Stream::new(0, "grpo minibatches").permutation(experiences.len(), at),
        count: 1,
        iterations: 1,
    };
    let learnt = minibatches.learn(trainer, None, &experiences, 1e-4)?;
    let training = begun.elapsed().as_secs_f64();
    let whole = start.elapsed().as_secs_f64();
    Ok(Step { whole, generation, training, tokens: drawn, difference: learnt.sampler_difference() })
}

/// Two numbers of two digits.
fn sum(row: u64) -> [u64; 2] {
    let stream = Stream::new(0, "additions");
    [0, 1].map(|at| 10 + stream.below(90, row, at))
}

/// The tokens of a text, one for each character.
fn tokens(text: &str) -> Vec<u32> {
    text.chars().map(|it| 2 + CHARACTERS.find(it).unwrap_or(0) as u32).collect()
}

/// One where the answer's first three digits are the sum, and a tenth where it begins with a digit.
fn reward(completion: &Completion, expected: &str) -> f64 {
    let character = |id: &u32| CHARACTERS.chars().nth(id.checked_sub(2)? as usize);
    let text: Vec<Option<char>> = completion.ids.iter().map(character).collect();
    let digits = text.iter().flatten().filter(|it| it.is_ascii_digit());
    let right = digits.take(3).collect::<String>() == expected;
    let begins = text.first().copied().flatten().is_some_and(|it| it.is_ascii_digit());
    f64::from(u8::from(right)) + 0.1 * f64::from(u8::from(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_worth_what_its_first_digits_say() {
        let worth = |text: &str| {
            let completion = Completion { row: 0, ids: tokens(text), log_probs: Vec::new(), stopped: true };
            reward(&completion, "77")
        };
        assert_eq!([worth("77"), worth("+77-"), worth("778"), worth("-"), worth("")], [1.1, 1.0, 0.1, 0.0, 0.0]);
    }

    #[test]
    fn the_sampler_says_of_a_token_what_the_trainer_says() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dsv3_group/config.json");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let sizes = GrpoBench { prompts: 2, group: 4, new: 6, repeats: 2 };
        let report = bench(&config, &sizes, &pool).unwrap();
        assert_eq!((report.log_prob_difference, report.repeats), (0.0, 2));
        assert!(report.tokens > 8.0 && report.tokens <= 48.0, "{report:?}");
        assert!(report.generation_seconds.min + report.training_seconds.min <= report.step_seconds.max, "{report:?}");
    }
}
