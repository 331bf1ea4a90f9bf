//! `pairs`: preferences made of samples: of the answers to one question the better and the worse by a reward.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    base::reward::Reward,
    data::{
        dataset::{self, Writer},
        rows::{Finish, Kind, Pair, Sample},
    },
    reward::score::Score,
    stages::{
        Context, Stage, StageError,
        scorer::{Lenders, score_groups},
    },
};

pub const STAGE: Stage = Stage { name: "pairs", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    prefer: Reward,
    margin: f64,
    per_prompt: usize,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let samples: Vec<Sample> = dataset::read(context.input("data")?)?;
    let lenders = Lenders::open(context, "prefer", &[&arguments.prefer])?;
    let scorer = lenders.scorer(&arguments.prefer)?;
    let rows = samples.len();
    let mut writer = Writer::create(&context.out, Kind::Pair)?;
    let groups = groups(samples, &mut writer);
    for groups in groups.chunks(context.batch.max(1)) {
        context.check_cancelled()?;
        for (group, scores) in groups.iter().zip(score_groups(&scorer, &context.pool, groups)?) {
            compare(group, &scores, &arguments, &mut writer)?;
        }
    }
    let summary = writer.finish()?;
    if summary.rows == 0 {
        let counts: Vec<String> = summary.counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let counts = counts.join(", ");
        return Err(StageError::Data(format!(
            "expected pairs, found none among {rows} answers: {counts}; sample more answers to each question, or lower `margin`"
        )));
    }
    Ok(())
}

/// The answers to each question, in the order in which questions come first; those that are of no use are counted.
fn groups(samples: Vec<Sample>, writer: &mut Writer) -> Vec<Vec<Sample>> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut groups: Vec<Vec<Sample>> = Vec::new();
    for sample in samples {
        let place = *places.entry(sample.question.clone()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if sample.finish == Finish::Length {
            writer.count("cut off at the limit");
        } else if !seen.insert((place, sample.completion.clone())) {
            writer.count("the same answer again");
        } else if let Some(group) = groups.get_mut(place) {
            group.push(sample);
        }
    }
    groups
}

/// Pairs the best answer to a question with the worst, the second best with the second worst, and so on inwards, as long
/// as the one is better by more than the margin.
fn compare(group: &[Sample], scores: &[Score], arguments: &Arguments, writer: &mut Writer) -> Result<(), StageError> {
    let mut known: Vec<(f64, &Sample)> =
        group.iter().zip(scores).filter_map(|(sample, score)| Some((score.known()?, sample))).collect();
    writer.count_many("without a reward", group.len() - known.len());
    if let [_] = known.as_slice() {
        writer.count("the only answer to its question");
        return Ok(());
    }
    // Answers of equal worth stay in the order of the data.
    known.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut left = known.len();
    let mut reason = "not better or worse by more than the margin";
    for ((better, chosen), (worse, rejected)) in known.iter().zip(known.iter().rev()).take(known.len() / 2) {
        if better - worse <= arguments.margin {
            break;
        }
        if known.len() - left >= 2 * arguments.per_prompt {
            reason = "over the limit per prompt";
            break;
        }
        left -= 2;
        writer.push(&Pair {
            prompt: chosen.question.clone(),
            chosen: chosen.completion.clone(),
            rejected: rejected.completion.clone(),
            margin: None,
        })?;
    }
    writer.count_many(reason, left);
    Ok(())
}
