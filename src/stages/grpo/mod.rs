//! `grpo`: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300), the reinforcement learning of R1.

mod advantage;
mod loss;
mod minibatch;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{
        reward::Reward,
        rng::Stream,
        schedule::Schedule,
        units::{Amount, Unit},
    },
    data::{
        dataset,
        order::Order,
        rows::{Problem, Sample},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    stages::{
        Context, Stage, StageError,
        context::{Metrics, figures},
        rollout::{Answer, Draw, Numbered, Respondent},
        scorer::{Lenders, score_groups},
        trainer::{Settings, Trainer},
        training::{Reference, Training, is_open_ended},
    },
};
use advantage::{Normalize, advantages, deviation, mean};
use loss::{Aggregate, Coefficients};
use minibatch::{Experience, Minibatches};

pub const STAGE: Stage = Stage { name: "grpo", version: 2, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    reward: Schedule<Reward>,
    budget: Amount,
    prompts: usize,
    group: usize,
    lr: Schedule<f64>,
    temperature: Schedule<f64>,
    max_length: Schedule<Amount>,
    kl: f64,
    clip_low: f64,
    clip_high: f64,
    normalize: Normalize,
    loss: Aggregate,
    minibatches: usize,
    /// Steps after which the reference becomes the policy of the moment; the starting model for good where absent.
    reference: Option<Amount>,
    clip: f64,
    beta2: f64,
    weight_decay: f64,
    bias_speed: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    if arguments.budget.unit != Unit::Steps {
        return Err(StageError::Arguments(format!(
            "expected a budget in steps, found {}",
            arguments.budget.unit.name()
        )));
    }
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    if problems.is_empty() {
        return Err(StageError::Data("the data holds no problems".to_owned()));
    }
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed,
    };
    let total = arguments.budget.count();
    let lenders = Lenders::open(context, "reward", &arguments.reward.values())?;
    let mut training = Training::begin(context, folder, settings, arguments.kl > 0.0, total)?;
    for step in training.steps() {
        if let (Some(reference), Some(every)) = (&mut training.reference, &arguments.reference)
            && step > 0
            && step % every.count().max(1) == 0
        {
            *reference = Reference { model: training.trainer.model.copy()?, moved: true };
        }
        let rollout = roll_out(context, &arguments, &lenders, &training.trainer.model, &tokenizer, &problems, step)?;
        let reference = training.reference.as_ref().map(|it| &it.model);
        let metrics = learn(context, &arguments, &mut training.trainer, reference, rollout, step)?;
        training.end_step(metrics)?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    is_open_ended(&[("lr", &arguments.lr), ("temperature", &arguments.temperature)])
}

/// What was sampled in one step, scored.
struct Rollout {
    experiences: Vec<Experience>,
    metrics: Metrics,
}

/// Draws groups of answers to the step's problems and scores them.
fn roll_out(
    context: &Context,
    arguments: &Arguments,
    lenders: &Lenders,
    model: &Transformer,
    tokenizer: &Tokenizer,
    problems: &[Problem],
    step: u64,
) -> Result<Rollout, StageError> {
    let chosen = chosen(problems, arguments, step);
    let draw = Draw {
        copies: arguments.group,
        temperature: arguments.temperature.at(step, arguments.budget.count()),
        top_p: 1.0,
        top_k: None,
        max_length: max_length(arguments, step)?,
        seed: arguments.seed,
        first_row: step * (arguments.prompts * arguments.group) as u64,
    };
    let answers = Respondent::new(model, tokenizer)?.answer(&context.pool, &chosen, draw)?;
    let reward = arguments.reward.constant_at(step);
    let reward = reward.ok_or_else(|| StageError::Arguments("expected a reward at every step".to_owned()))?;
    let scorer = lenders.scorer(reward)?;
    let mut groups = Vec::with_capacity(chosen.len());
    let mut correct = 0.0;
    for ((_, problem), answers) in chosen.iter().zip(answers.chunks(arguments.group)) {
        let prompt = tokenizer.prompt(&problem.question)?;
        groups.push(answers.iter().map(|answer| answer.sample(problem, prompt.clone())).collect::<Vec<Sample>>());
        let right = |answer: &&Answer| crate::reward::answer::is_correct(&answer.text, &problem.answer);
        correct += answers.iter().filter(right).count() as f64;
    }
    let scores = score_groups(&scorer, &context.pool, &groups)?.concat();
    let rewards: Vec<f64> = scores.iter().map(|it| it.total).collect();
    let count = answers.len().max(1) as f64;
    let lengths: Vec<f64> = answers.iter().map(|it| it.completion.ids.len() as f64).collect();
    let cut = answers.iter().filter(|it| !it.completion.stopped).count() as f64;
    let spread: Vec<f64> = rewards.chunks(arguments.group).map(deviation).collect();
    let even = spread.iter().filter(|it| **it < 1e-9).count() as f64;
    let mut metrics = figures([
        ("reward", mean(&rewards)),
        ("reward_std", mean(&spread)),
        ("frac_reward_zero_std", even / spread.len().max(1) as f64),
        ("accuracy", correct / count),
        ("completions/mean_length", mean(&lengths)),
        ("completions/clipped_ratio", cut / count),
    ]);
    for spread in scorer.spreads(&scores) {
        metrics.push((format!("rewards/{}/mean", spread.term).into(), spread.mean));
        metrics.push((format!("rewards/{}/std", spread.term).into(), spread.deviation));
    }
    let advantages = advantages(&rewards, arguments.group, arguments.normalize);
    let experiences = answers.into_iter().zip(advantages);
    let experiences =
        experiences.map(|(answer, advantage)| Experience::new(answer.prompt, answer.completion, advantage)).collect();
    Ok(Rollout { experiences, metrics })
}

/// The problems of a step: a seeded order of all problems, epoch after epoch.
fn chosen<'a>(problems: &'a [Problem], arguments: &Arguments, step: u64) -> Vec<Numbered<'a>> {
    let order = Order::new(arguments.seed, problems.len());
    let places = order.range(step * arguments.prompts as u64, arguments.prompts);
    (0..).zip(places.into_iter().filter_map(|at| problems.get(at))).collect()
}

fn max_length(arguments: &Arguments, step: u64) -> Result<usize, StageError> {
    let length = arguments.max_length.constant_at(step).map(|it| it.count() as usize);
    length.ok_or_else(|| StageError::Arguments("expected `max_length` to be constant between its phases".to_owned()))
}

/// Takes the step's optimiser steps, one for each minibatch, and adds their metrics to the rollout's.
fn learn(
    context: &Context,
    arguments: &Arguments,
    trainer: &mut Trainer,
    reference: Option<&Transformer>,
    rollout: Rollout,
    step: u64,
) -> Result<Metrics, StageError> {
    let total = arguments.budget.count();
    let temperature = arguments.temperature.at(step, total);
    let lr = arguments.lr.at(step, total);
    let minibatches = Minibatches {
        pool: &context.pool,
        coefficients: Coefficients { clip_low: arguments.clip_low, clip_high: arguments.clip_high, kl: arguments.kl },
        aggregate: arguments.loss,
        temperature,
        order: Stream::new(arguments.seed, "grpo minibatches").permutation(rollout.experiences.len(), step),
        count: arguments.minibatches.max(1),
    };
    let learnt = minibatches.learn(trainer, reference, &rollout.experiences, lr)?;
    let mut metrics = rollout.metrics;
    metrics.extend(figures([
        ("loss", learnt.loss),
        ("kl", learnt.kl),
        ("clip_ratio", learnt.clip_ratio),
        ("entropy", learnt.entropy),
        ("sampling/logp_difference/max", learnt.sampler_difference),
        ("grad_norm", learnt.gradient_norm),
        ("learning_rate", lr),
        ("expert_imbalance", learnt.imbalance),
    ]));
    Ok(metrics)
}
