//! `eval_pairs`: how often a model holds the preferred answer of a pair the likelier one.

use serde::{Deserialize, Serialize};

use crate::{
    data::tokenizer::Tokenizer,
    model::{Config, Transformer},
    stages::{
        Context, Stage, StageError,
        dpo::sums,
        eval_reward::{Standing, write_answers, write_report},
        part::Sequence,
        preference::Preferences,
        reward_model::artifact::Scope,
    },
};

pub const STAGE: Stage = Stage { name: "eval_pairs", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// Whether answers count by the mean over their tokens instead of the sum.
    mean: bool,
}

/// What becomes `report.json`.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    standing: Standing,
    /// The mean log-probability of the preferred answers, and of the others.
    logps_chosen: f64,
    logps_rejected: f64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let folder = context.input("model")?;
    let longest = Config::read(folder)?.max_positions();
    let rows = Preferences::read(context.input("data")?, &Tokenizer::load(folder)?, Scope::Whole, longest)?;
    let Preferences::Pairs(rows) = rows else {
        return Err(StageError::Data("expected rows of pairs, found label".to_owned()));
    };
    let answers: Vec<Sequence> = rows.into_iter().flat_map(|it| [it.chosen, it.rejected]).collect();
    let ask = |folder: &std::path::Path| sums(&Transformer::load(folder)?.on(context.device)?, &context.pool, &answers);
    let policy = ask(folder)?;
    context.check_cancelled()?;
    let reference = context.optional_input("reference").map(ask).transpose()?;
    let counted = |at: usize| {
        let sum = policy.get(at).copied().unwrap_or_default()
            - reference.as_ref().and_then(|it| it.get(at)).copied().unwrap_or_default();
        let tokens = answers.get(at).map_or(1, |it| it.targets().max(1)) as f64;
        if arguments.mean { sum / tokens } else { sum }
    };
    let found: Vec<Vec<f64>> = (0..answers.len() / 2).map(|row| vec![counted(2 * row), counted(2 * row + 1)]).collect();
    let leads: Vec<f64> = found.iter().filter_map(|it| Some(it.first()? - it.get(1)?)).collect();
    write_answers(&context.out, &found, &leads)?;
    let mean = |skip: usize| {
        let own: Vec<f64> = policy.iter().skip(skip).step_by(2).copied().collect();
        own.iter().sum::<f64>() / own.len().max(1) as f64
    };
    let report = Report { standing: Standing::new(&leads)?, logps_chosen: mean(0), logps_rejected: mean(1) };
    write_report(&context.out, &report)
}
