//! `mix`: several data sets as one, in a random order that the seed decides.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{rng::Stream, units::Amount},
    data::{
        DataError,
        dataset::{Dataset, Writer},
        rows::{Finish, Kind, Sample},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "mix", version: 2, run, check: Some(check), extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// How many rows of each part; all of them where it is left out.
    rows: Option<Vec<Amount>>,
    /// How the rows are shared out among the parts.
    weights: Option<Vec<f64>>,
    /// How many rows in all.
    total: Option<Amount>,
    seed: u64,
}

/// Whether the arguments agree with each other.
fn check(arguments: &Value, _: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    Arguments::deserialize(arguments).map_err(|error| StageError::Arguments(error.to_string()))?.check()
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let parts = context.inputs("parts").iter().map(|it| Dataset::open(it)).collect::<Result<Vec<_>, _>>()?;
    let kind = common_kind(&parts)?;
    arguments.check()?;
    arguments.check_parts(parts.len())?;
    let mut writer = Writer::create(&context.out, kind)?;
    let mut lines = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        context.check_cancelled()?;
        let (part, cut) = lines_of(part, kind)?;
        writer.count_many(&format!("cut off before the end in part {}", index + 1), cut);
        lines.push(part);
    }
    let there: Vec<usize> = lines.iter().map(Vec::len).collect();
    let wanted = arguments.wanted(&there);
    let mut rows = Vec::new();
    for (index, (lines, count)) in lines.iter().zip(wanted).enumerate() {
        context.check_cancelled()?;
        if lines.len() < count {
            let message = format!("expected {count} rows of part {} of the mix, found {}", index + 1, lines.len());
            return Err(StageError::Data(message));
        }
        writer.count_many(&format!("left out of part {}", index + 1), lines.len() - count);
        let mut chosen = Stream::new(arguments.seed, "mix choice").permutation(lines.len(), index as u64);
        chosen.truncate(count);
        rows.extend(chosen.into_iter().filter_map(|at| lines.get(at).cloned()));
    }
    for at in Stream::new(arguments.seed, "mix order").permutation(rows.len(), 0) {
        rows.get(at).map_or(Ok(()), |row| writer.push_line(row))?;
    }
    writer.finish()?;
    Ok(())
}

impl Arguments {
    /// Whether there is a figure for each part.
    fn check_parts(&self, parts: usize) -> Result<(), StageError> {
        for (name, given) in
            [("rows", self.rows.as_ref().map(Vec::len)), ("weights", self.weights.as_ref().map(Vec::len))]
        {
            if let Some(given) = given.filter(|it| *it != parts) {
                let message = format!("expected `{name}` for {parts} parts, found {given}");
                return Err(StageError::Arguments(message));
            }
        }
        Ok(())
    }

    /// Whether the arguments agree with each other.
    fn check(&self) -> Result<(), StageError> {
        let wrong = |message: String| Err(StageError::Arguments(message));
        if self.rows.is_some() && (self.weights.is_some() || self.total.is_some()) {
            return wrong("expected either `rows` of each part, or `weights` and a `total`, found both".to_owned());
        }
        let weights = self.weights.as_deref().unwrap_or(&[1.0]);
        if weights.iter().any(|it| !it.is_finite() || *it < 0.0) || weights.iter().sum::<f64>() <= 0.0 {
            return wrong(format!("expected `weights` of nought and more, not all of them nought, found {weights:?}"));
        }
        Ok(())
    }

    /// How many rows to take of each part, given how many each has. A total without weights is shared out by size.
    fn wanted(&self, there: &[usize]) -> Vec<usize> {
        if let Some(rows) = &self.rows {
            return rows.iter().map(|it| it.count() as usize).collect();
        }
        let sizes: Vec<f64> = there.iter().map(|it| *it as f64).collect();
        match (&self.weights, &self.total) {
            (None, None) => there.to_vec(),
            (weights, Some(total)) => share_out(total.count() as usize, weights.as_ref().unwrap_or(&sizes)),
            // As many as there can be before a part runs out.
            (Some(weights), None) => {
                let sum: f64 = weights.iter().sum();
                let most = there.iter().zip(weights).filter(|(_, weight)| **weight > 0.0);
                let most = most.map(|(rows, weight)| *rows as f64 * sum / weight).fold(f64::INFINITY, f64::min);
                // The nearest whole number may give a part one more than it has.
                let mut total = most.round() as usize;
                let fits =
                    |total: usize| share_out(total, weights).iter().zip(there).all(|(took, there)| took <= there);
                while total > 0 && !fits(total) {
                    total -= 1;
                }
                share_out(total, weights)
            }
        }
    }
}

/// A total in whole parts by weights: each gets what is due to it rounded down, and those with the largest remainders one
/// more, the first of them where they are equal.
fn share_out(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let due: Vec<f64> = weights.iter().map(|it| total as f64 * it / sum.max(f64::MIN_POSITIVE)).collect();
    // What is a whole number but for rounding is that number.
    let mut shares: Vec<usize> = due.iter().map(|it| (it + 1e-9).floor() as usize).collect();
    let mut order: Vec<usize> = (0..due.len()).collect();
    let rest = |at: &usize| due.get(*at).zip(shares.get(*at)).map_or(0.0, |(due, share)| due - *share as f64);
    order.sort_by(|a, b| rest(b).total_cmp(&rest(a)));
    let missing = total.saturating_sub(shares.iter().sum());
    for at in order.into_iter().take(missing) {
        if let Some(share) = shares.get_mut(at) {
            *share += 1;
        }
    }
    shares
}

/// The kind of the mix. Samples among chats become chats; other kinds do not mix.
fn common_kind(parts: &[Dataset]) -> Result<Kind, StageError> {
    let kinds: Vec<Kind> = parts.iter().map(|it| it.summary.kind).collect();
    let Some(first) = kinds.first().copied() else {
        return Err(StageError::Arguments("expected at least one part to mix, found none".to_owned()));
    };
    if kinds.iter().all(|it| *it == first) {
        Ok(first)
    } else if kinds.iter().all(|it| matches!(it, Kind::Sample | Kind::Chat)) {
        Ok(Kind::Chat)
    } else {
        let names: Vec<String> = kinds.iter().map(|it| format!("`{it}`")).collect();
        Err(StageError::Data(format!("expected parts of one kind, found {}", names.join(", "))))
    }
}

/// The rows of a part, as lines of the mix, and how many are no rows of it: a chat is learnt to its end, so that a sample
/// that was cut off cannot become one.
fn lines_of(part: &Dataset, kind: Kind) -> Result<(Vec<String>, usize), StageError> {
    if part.summary.kind == kind {
        let lines = part.lines()?.map(|line| Ok(line?.text)).collect::<Result<_, DataError>>()?;
        return Ok((lines, 0));
    }
    let (mut lines, mut cut) = (Vec::new(), 0);
    for row in part.rows::<Sample>()? {
        let row = row?;
        if row.finish == Finish::Length {
            cut += 1;
        } else {
            let line = serde_json::to_string(&row.into_chat());
            lines.push(line.map_err(|error| StageError::Data(error.to_string()))?);
        }
    }
    Ok((lines, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Unit;

    #[test]
    fn weights_share_a_total_out_to_the_last_row() {
        assert_eq!(share_out(4, &[0.75, 0.25]), [3, 1]);
        assert_eq!(share_out(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(share_out(10, &[0.1, 0.2, 0.7]), [1, 2, 7]);
        assert_eq!(share_out(0, &[1.0, 2.0]), [0, 0]);
    }

    #[test]
    fn without_a_total_the_scarcest_part_decides() {
        let total = |value| Some(Amount { value, unit: Unit::Rows });
        let wanted = |weights: Option<Vec<f64>>, total, there: &[usize]| {
            Arguments { rows: None, weights, total, seed: 0 }.wanted(there)
        };
        assert_eq!(wanted(Some(vec![0.75, 0.25]), None, &[60, 1_000]), [60, 20]);
        assert_eq!(wanted(Some(vec![3.0, 1.0]), None, &[1_000, 7]), [21, 7]);
        assert_eq!(wanted(Some(vec![2.0, 1.0]), None, &[5, 100]), [5, 3]);
        assert_eq!(wanted(Some(vec![0.0, 1.0]), None, &[5, 3]), [0, 3]);
        assert_eq!(wanted(None, total(10.0), &[30, 10]), [8, 2]);
        assert_eq!(wanted(None, None, &[30, 10]), [30, 10]);
    }
}
