//! `grpo`: group relative policy optimisation (DeepSeekMath, arXiv 2402.03300), the reinforcement learning of R1, with
//! what its descendants changed of it.

mod advantage;
mod arguments;
pub mod bench;
mod draw;
mod figures;
pub mod formula;
mod minibatch;
mod objective;
mod weights;

use serde_json::Value;

use crate::{
    base::rng::Stream,
    data::{dataset, rows::Problem, tokenizer::Tokenizer},
    model::Transformer,
    stages::{
        Context, Stage, StageError,
        context::Metrics,
        scorer::Lenders,
        trainer::Trainer,
        training::{Reference, Training},
    },
};
use arguments::{Arguments, read};
use draw::{Rollout, Source};
use minibatch::Minibatches;

pub const STAGE: Stage = Stage { name: "grpo", version: 4, run, check: None, extends: Some(extends) };

/// The largest difference between what the sampler said of a token and what the trainer says of it, in nats. It is
/// nought on one machine; where it is not, answers would be learnt from that another policy gave.
const LIMIT: f64 = 1e-3;

fn run(context: &Context) -> Result<(), StageError> {
    let arguments = read(&context.arguments)?;
    if let Some((_, complaint)) = arguments.complaint() {
        return Err(StageError::Arguments(complaint));
    }
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let problems: Vec<Problem> = dataset::read(context.input("data")?)?;
    if problems.is_empty() {
        return Err(StageError::Data("the data holds no problems".to_owned()));
    }
    let lenders = Lenders::open(context, "reward", &arguments.reward.values())?;
    let mut training = Training::begin(context, folder, arguments.settings(), arguments.kl > 0.0, arguments.total())?;
    for step in training.steps() {
        if arguments.refreshes(step) {
            refresh(&mut training, arguments.ref_model_mixup_alpha)?;
        }
        let model = &training.trainer.model;
        let (arguments, lenders, tokenizer, problems) = (&arguments, &lenders, &tokenizer, &problems[..]);
        let source = Source { arguments, lenders, model, tokenizer, problems, step };
        let rollout = source.roll_out(context)?;
        let tokens = training.count_tokens(rollout.tokens);
        let reference = training.reference.as_ref().map(|it| &it.model);
        let mut metrics = learn(context, arguments, &mut training.trainer, reference, rollout, step)?;
        metrics.push(("num_tokens".into(), tokens as f64));
        training.end_step(metrics)?;
    }
    training.finish(folder)
}

/// An argument that does not go with the others, and what is wrong with it.
pub(super) fn complaint(arguments: &Value) -> Option<(&'static str, String)> {
    read(arguments).ok()?.complaint()
}

fn extends(arguments: &Value) -> Result<(), String> {
    read(arguments).map_err(|error| error.to_string())?.extends()
}

/// Moves the reference to the policy of the moment, or a part of the way there (TR-DPO, arXiv 2404.09656).
fn refresh(training: &mut Training, share: f64) -> Result<(), StageError> {
    let Some(reference) = &mut training.reference else { return Ok(()) };
    if share >= 1.0 {
        *reference = Reference { model: training.trainer.model.copy()?, moved: true };
    } else {
        reference.model.approach(&training.trainer.model, share)?;
        reference.moved = true;
    }
    Ok(())
}

/// Takes the step's optimiser steps, and adds their metrics to the rollout's.
fn learn(
    context: &Context,
    arguments: &Arguments,
    trainer: &mut Trainer,
    reference: Option<&Transformer>,
    rollout: Rollout,
    step: u64,
) -> Result<Metrics, StageError> {
    let lr = arguments.lr.at(step, arguments.total());
    let minibatches = Minibatches {
        pool: &context.pool,
        objective: arguments.objective(),
        aggregate: arguments.loss,
        temperature: arguments.temperature(step)?,
        longest: arguments.max_length(step)?,
        entropy_coef: arguments.entropy_coef,
        top_entropy: arguments.top_entropy_quantile,
        order: Stream::new(arguments.seed, "grpo minibatches").permutation(rollout.experiences.len(), step),
        count: arguments.minibatches.max(1),
        iterations: arguments.iterations.max(1),
    };
    let learnt = minibatches.learn(trainer, reference, &rollout.experiences, lr)?;
    let difference = learnt.sampler_difference();
    if difference > LIMIT {
        return Err(StageError::Data(format!(
            "the trainer's log-probability of a token differs from the sampler's by {difference:.1e}, more than {LIMIT:.0e}: \
             the answers are not those of the policy that learns from them"
        )));
    }
    let mut metrics = rollout.metrics;
    metrics.extend(learnt.metrics(lr));
    Ok(metrics)
}
