//! `pretrain`: next-token training on plain text, every token of every document.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{
        schedule::Schedule,
        units::{Amount, Unit},
    },
    data::{dataset, order::Order, packing::pieces, rows::Text, tokenizer::Tokenizer},
    model::Config,
    stages::{
        Context, Stage, StageError,
        likelihood::Likelihood,
        part::Sequence,
        trainer::Settings,
        training::{Training, is_open_ended},
    },
};

pub const STAGE: Stage = Stage { name: "pretrain", version: 4, run, check: None, extends: Some(extends) };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    budget: Amount,
    batch: Amount,
    lr: Schedule<f64>,
    weight_decay: f64,
    clip: f64,
    beta2: f64,
    bias_speed: Schedule<f64>,
    mtp: Schedule<f64>,
    balance: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let tokenizer = Tokenizer::load(folder)?;
    let documents = documents(context, &tokenizer)?;
    let batches = batches(&documents, &arguments)?;
    let settings = Settings {
        beta2: arguments.beta2,
        weight_decay: arguments.weight_decay,
        clip: arguments.clip,
        bias_speed: arguments.bias_speed.at(0, 1),
    };
    let total = batches.len() as u64;
    let length = |batch: &[usize]| batch.iter().filter_map(|at| documents.get(*at)).map(|it| it.ids.len() as u64).sum();
    let whole = documents.iter().map(|it| it.ids.len()).sum::<usize>().max(1) as f64;
    let mut training = Training::begin(context, folder, settings, false, total)?;
    let done = training.steps().start as usize;
    let mut tokens: u64 = batches.iter().take(done).map(|batch| -> u64 { length(batch) }).sum();
    for (step, batch) in training.steps().zip(batches.iter().skip(done)) {
        let sequences: Vec<Sequence> = batch.iter().filter_map(|at| documents.get(*at).cloned()).collect();
        let lr = arguments.lr.at(step, total);
        let likelihood = Likelihood { ahead: arguments.mtp.at(step, total), balance: arguments.balance };
        training.trainer.set_bias_speed(arguments.bias_speed.at(step, total));
        let learnt = likelihood.step(&mut training.trainer, &context.pool, lr, &sequences)?;
        tokens += length(batch);
        training.end_step(learnt.metrics(lr, tokens, tokens as f64 / whole))?;
    }
    training.finish(folder)
}

fn extends(arguments: &Value) -> Result<(), String> {
    let arguments = Arguments::deserialize(arguments).map_err(|error| error.to_string())?;
    if arguments.budget.unit != Unit::Steps {
        return Err(format!(
            "a budget in {} may cut its last batch short, which a longer one would not; give it in steps",
            arguments.budget.unit.name()
        ));
    }
    is_open_ended(&[("lr", &arguments.lr), ("bias_speed", &arguments.bias_speed), ("mtp", &arguments.mtp)])
}

/// The documents as token sequences; documents longer than the model's context are cut into several.
fn documents(context: &Context, tokenizer: &Tokenizer) -> Result<Vec<Sequence>, StageError> {
    let rows: Vec<Text> = dataset::read(context.input("text")?)?;
    let longest = Config::read(context.input("model")?)?.max_positions().max(2);
    let mut sequences = Vec::with_capacity(rows.len());
    for row in &rows {
        let ids = tokenizer.document(&row.text)?;
        sequences.extend(pieces(&ids, longest).into_iter().map(|ids| Sequence { ids, from: 0 }));
    }
    if sequences.iter().all(|it| it.targets() == 0) {
        return Err(StageError::Data("the text holds no document of two tokens or more".to_owned()));
    }
    Ok(sequences)
}

/// Which documents each step learns from: epoch by epoch in a seeded order, until the budget is used up.
fn batches(documents: &[Sequence], arguments: &Arguments) -> Result<Vec<Vec<usize>>, StageError> {
    let order = Order::new(arguments.seed, documents.len());
    let size = arguments.batch.count().max(1) as usize;
    let tokens: usize = documents.iter().map(|it| it.ids.len()).sum();
    let budget = match arguments.budget.unit {
        Unit::Tokens => arguments.budget.count() as usize,
        Unit::Epochs => (arguments.budget.value * tokens as f64).round() as usize,
        Unit::Steps => usize::MAX,
        other => {
            return Err(StageError::Arguments(format!(
                "expected a budget in tokens, epochs or steps, found {}",
                other.name()
            )));
        }
    };
    let steps = if arguments.budget.unit == Unit::Steps { arguments.budget.count() as usize } else { usize::MAX };
    let mut batches = Vec::new();
    let (mut batch, mut filled, mut used) = (Vec::new(), 0, 0);
    for epoch in 0.. {
        for index in order.epoch(epoch) {
            if used >= budget || batches.len() >= steps {
                break;
            }
            let length = documents.get(index).map_or(0, |it| it.ids.len());
            batch.push(index);
            filled += length;
            used += length;
            if filled >= size {
                batches.push(std::mem::take(&mut batch));
                filled = 0;
            }
        }
        if used >= budget || batches.len() >= steps {
            break;
        }
    }
    if !batch.is_empty() && batches.len() < steps {
        batches.push(batch);
    }
    Ok(batches)
}
