//! Rewards that ask a model: opens what the terms of a reward name, and lends it to the scoring.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use rayon::prelude::*;
use serde_json::Value;

use crate::{
    base::{
        device::Device,
        reward::{Reward, Term},
    },
    data::rows::Sample,
    reward::{
        RewardError,
        score::{Lent, Score, Scorer, Values},
    },
    stages::{
        Context, StageError,
        judge::{Judge, Question},
        reward_model::artifact::RewardModel,
    },
};

/// A scoring function that asks a model: the first argument of its term is `{"input": n}`, the n-th of the artifacts
/// that come with the reward.
pub struct Asking {
    /// Its name in the language.
    pub name: &'static str,
    /// Opens the folder of such an artifact. What it gives is called with all arguments of the term.
    open: fn(&Path, Device) -> Result<Lent, StageError>,
}

/// Every scoring function that asks a model.
pub const ASKING: &[Asking] =
    &[Asking { name: "preference", open: preference }, Asking { name: "judge_reward", open: judge }];

/// The models that some rewards ask, opened: each once, however many terms and rewards name it.
pub struct Lenders {
    /// By the name of the term and the number of the artifact.
    opened: BTreeMap<(&'static str, usize), Arc<Lent>>,
}

impl Lenders {
    /// Opens what the rewards of a step ask; the artifacts come into the port that is named as the argument.
    ///
    /// # Errors
    /// Where a model cannot be read.
    pub fn open(context: &Context, port: &str, rewards: &[&Reward]) -> Result<Self, StageError> {
        Self::of(context.inputs(port), rewards, context.device)
    }

    /// Opens what rewards ask, given the folders of the artifacts and where the models compute.
    ///
    /// # Errors
    /// Where a model cannot be read.
    pub fn of(folders: &[PathBuf], rewards: &[&Reward], device: Device) -> Result<Self, StageError> {
        let mut opened = BTreeMap::new();
        for term in rewards.iter().flat_map(|reward| &reward.terms) {
            let Some(asking) = asking(term) else { continue };
            let at = input(term).ok_or_else(|| unnamed(term))?;
            if opened.contains_key(&(asking.name, at)) {
                continue;
            }
            let folder = folders.get(at).ok_or_else(|| unnamed(term))?;
            opened.insert((asking.name, at), Arc::new((asking.open)(folder, device)?));
        }
        Ok(Self { opened })
    }

    /// The scorer of one of the rewards.
    ///
    /// # Errors
    /// Where a term is none that there is, or asks what was not opened.
    pub fn scorer(&self, reward: &Reward) -> Result<Scorer, StageError> {
        let mut lent: BTreeMap<String, Lent> = BTreeMap::new();
        for asking in ASKING {
            let name = asking.name;
            let own = self.opened.iter().filter(|((it, _), _)| *it == name);
            let own: BTreeMap<usize, Arc<Lent>> = own.map(|((_, at), lent)| (*at, Arc::clone(lent))).collect();
            let ask = move |group: &[&Sample], arguments: &[Value]| {
                let lent = arguments.first().and_then(number).and_then(|at| own.get(&at));
                let lent = lent.ok_or_else(|| failed(name, "the model that it asks is not there"))?;
                lent(group, arguments)
            };
            lent.insert(name.to_owned(), Box::new(ask));
        }
        Ok(Scorer::with(reward, lent)?)
    }
}

/// Scores groups of answers, several groups at a time; within a group are the answers to one question.
///
/// # Errors
/// That of the first group that cannot be scored.
pub fn score_groups(
    scorer: &Scorer,
    pool: &rayon::ThreadPool,
    groups: &[Vec<Sample>],
) -> Result<Vec<Vec<Score>>, StageError> {
    let of_group = |group: &Vec<Sample>| scorer.score_group(&group.iter().collect::<Vec<_>>());
    // All of them first, and then the errors in order: which one is told must not depend on who was quicker.
    let scores: Vec<Result<Vec<Score>, RewardError>> = pool.install(|| groups.par_iter().map(of_group).collect());
    Ok(scores.into_iter().collect::<Result<_, _>>()?)
}

/// The function of a term, where it asks a model.
#[must_use]
pub fn asking(term: &Term) -> Option<&'static Asking> {
    ASKING.iter().find(|it| it.name == term.name)
}

/// Which of the artifacts a term asks.
fn input(term: &Term) -> Option<usize> {
    term.arguments.first().and_then(number)
}

fn number(argument: &Value) -> Option<usize> {
    argument.get("input")?.as_u64()?.try_into().ok()
}

fn unnamed(term: &Term) -> StageError {
    StageError::Arguments(format!("`{}` asks a model that did not come with the reward", term.name))
}

fn failed(name: &str, problem: impl std::fmt::Display) -> RewardError {
    RewardError::Failed { name: name.to_owned(), problem: problem.to_string() }
}

/// What a reward model gives each answer.
fn preference(folder: &Path, device: Device) -> Result<Lent, StageError> {
    let model = RewardModel::load(folder, device)?;
    Ok(Box::new(move |group: &[&Sample], _: &[Value]| -> Values {
        let scores = model.scores(group).map_err(|error| failed("preference", error))?;
        Ok(scores.into_iter().map(Some).collect())
    }))
}

/// What a judge gives each answer.
fn judge(folder: &Path, device: Device) -> Result<Lent, StageError> {
    let judge = Judge::load(folder, device)?;
    Ok(Box::new(move |group: &[&Sample], arguments: &[Value]| -> Values {
        let text = |at: usize| {
            let text = arguments.get(at).and_then(Value::as_str);
            text.ok_or_else(|| failed("judge_reward", "expected a rubric and two words"))
        };
        let question = Question { rubric: text(1)?, yes: text(2)?, no: text(3)? };
        let verdict = |sample: &&Sample| {
            let verdict = judge.verdict(sample, question).map_err(|error| failed("judge_reward", error))?;
            verdict.map(Some).ok_or_else(|| failed("judge_reward", "an answer is too long for the judge"))
        };
        group.iter().map(verdict).collect()
    }))
}
