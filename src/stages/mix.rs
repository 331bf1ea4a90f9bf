//! `mix`: several data sets as one, in a random order that the seed decides.

use serde::Deserialize;

use crate::{
    base::{rng::Stream, units::Amount},
    data::{
        dataset::{Dataset, Writer},
        rows::{Kind, Sample},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "mix", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// How many rows of each part; all of them where it is left out.
    rows: Option<Vec<Amount>>,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let parts = context.inputs("parts").iter().map(|it| Dataset::open(it)).collect::<Result<Vec<_>, _>>()?;
    let kind = common_kind(&parts)?;
    let wanted = arguments.rows.unwrap_or_default();
    if !wanted.is_empty() && wanted.len() != parts.len() {
        let message = format!("expected `rows` for {} parts, found {}", parts.len(), wanted.len());
        return Err(StageError::Arguments(message));
    }
    let mut writer = Writer::create(&context.out, kind)?;
    let mut rows = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        context.check_cancelled()?;
        let lines = lines(part, kind)?;
        let count = wanted.get(index).map_or(lines.len(), |it| it.count() as usize);
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

/// The rows of a part, as lines of the mix.
fn lines(part: &Dataset, kind: Kind) -> Result<Vec<String>, StageError> {
    if part.summary.kind == kind {
        return Ok(part.lines()?.map(|line| Ok(line?.text)).collect::<Result<_, crate::data::DataError>>()?);
    }
    let rows = part
        .rows::<Sample>()?
        .map(|row| serde_json::to_string(&row?.into_chat()).map_err(|error| StageError::Data(error.to_string())));
    rows.collect()
}
