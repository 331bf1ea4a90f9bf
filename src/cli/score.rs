//! `regimen score`: what the answers in a file are worth, without training anything.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    base::{device::Device, reward::Reward, span::Sources},
    cli::{CliError, Exit},
    data::{
        DataError,
        answers::{self, AnswerRow},
        jsonl,
    },
    lang::{self, Overrides},
    report::format::{Align, columns, counted, figure},
    reward::score::{Needs, Score, Scorer, Spread},
    stages::{
        StageError,
        scorer::{Lenders, asking},
    },
    syntax,
};

/// Score the answers in a JSON Lines file by a reward, without training anything
#[derive(clap::Args)]
pub struct Arguments {
    /// The file, one JSON object a line, with `answer` and `completion` or the columns of TRL
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The reward, as a recipe would write it: `2 * accuracy + format`
    #[arg(long, value_name = "EXPR")]
    reward: String,
    /// Print an object a row: `{"reward": total, "rewards": {term: value}}`, null where there is no value
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let (reward, folders) = parse(&arguments.reward)?;
    let scorer = opened(&reward, &folders)?;
    let lines = jsonl::rows(&arguments.file)?.collect::<Result<Vec<_>, _>>()?;
    let rows = lines.par_iter().map(|line| {
        let row = answers::read(&arguments.file, line)?;
        complete(&row, scorer.needs()).map_err(|message| DataError::row(&arguments.file, row.line, message))?;
        Ok(row)
    });
    // All of them first, and then the errors in order: which one is told must not depend on who was quicker.
    let rows = rows.collect::<Vec<Result<_, DataError>>>().into_iter().collect::<Result<Vec<_>, _>>()?;
    let scores = score(&scorer, &rows)?;
    if arguments.json { print_json(&scorer, &scores) } else { print_table(&scorer, &scores) }
}

/// The scorer of a reward, with the models that it asks.
fn opened(reward: &Reward, folders: &[PathBuf]) -> Result<Scorer, CliError> {
    let lenders = Lenders::of(folders, &[reward], Device::Cpu);
    let scorer = lenders.and_then(|it| it.scorer(reward));
    scorer.map_err(|error| match error {
        StageError::Reward(error) => error.into(),
        other => CliError::Unknown { message: other.to_string(), hint: None },
    })
}

/// The reward that an expression of the language stands for, and the folders of the models that it asks.
fn parse(text: &str) -> Result<(Reward, Vec<PathBuf>), CliError> {
    let mut sources = Sources::default();
    let recipe = "param scored: Reward = accuracy\n";
    let id = sources.add("recipe", recipe);
    let (file, mut diagnostics) = syntax::parse(id, recipe);
    let overrides = Overrides { sets: vec![format!("scored={text}")], ..Overrides::default() };
    let (program, complaints) = lang::check(&mut sources, &file, &overrides);
    diagnostics.extend(complaints);
    if diagnostics.has_errors() {
        return Err(CliError::Recipe(Box::new((diagnostics.sorted(), sources))));
    }
    let value = program.params.into_iter().find(|it| it.name == "scored").map(|it| it.value).unwrap_or_default();
    let mut reward: Reward =
        serde_json::from_value(value).map_err(|error| CliError::Unknown { message: error.to_string(), hint: None })?;
    let mut folders = Vec::new();
    for term in reward.terms.iter_mut().filter(|it| asking(it).is_some()) {
        // The model is a step, which reads it from a folder: that folder is read here.
        let step = term.arguments.first().and_then(|it| it.get("step")?.as_u64());
        let call = step.and_then(|it| program.calls.get(it as usize));
        let folder = call.and_then(|it| it.files.get("dir")).ok_or_else(|| CliError::Unknown {
            message: format!("`{}` asks a model that only a run of a recipe would make", term.name),
            hint: Some(format!("name the folder of a model: `{}(\"models/taste\")`", term.name)),
        })?;
        if let Some(argument) = term.arguments.first_mut() {
            *argument = json!({ "input": folders.len() });
        }
        folders.push(folder.clone());
    }
    Ok((reward, folders))
}

/// Whether a row holds what the reward reads.
fn complete(row: &AnswerRow, needs: Needs) -> Result<(), String> {
    if needs >= Needs::Answer && !row.answered {
        return Err("the reward needs the right answer, expected a column `answer` or `solution`".to_owned());
    }
    if needs >= Needs::Tokens && !row.counted {
        return Err("the reward needs the length, expected a column `tokens` or `completion_ids`".to_owned());
    }
    Ok(())
}

/// The scores in the order of the rows. Answers to one question are scored together where a term compares them.
fn score(scorer: &Scorer, rows: &[AnswerRow]) -> Result<Vec<Score>, CliError> {
    if scorer.is_each() {
        let scores: Vec<_> = rows.par_iter().map(|row| scorer.score(&row.sample)).collect();
        return Ok(scores.into_iter().collect::<Result<_, _>>()?);
    }
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, row) in rows.iter().enumerate() {
        groups.entry(&row.sample.question).or_default().push(place);
    }
    let mut scored: Vec<(usize, Score)> = Vec::with_capacity(rows.len());
    for places in groups.into_values() {
        let group: Vec<_> = places.iter().filter_map(|it| rows.get(*it)).map(|it| &it.sample).collect();
        scored.extend(places.into_iter().zip(scorer.score_group(&group)?));
    }
    scored.sort_by_key(|(place, _)| *place);
    Ok(scored.into_iter().map(|(_, score)| score).collect())
}

fn print_json(scorer: &Scorer, scores: &[Score]) -> Result<Exit, CliError> {
    let names = scorer.names();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for score in scores {
        let terms: Map<String, Value> =
            names.iter().zip(&score.terms).map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        if writeln!(out, "{}", json!({ "reward": score.known(), "rewards": terms })).is_err() {
            // Nobody reads on.
            return Ok(Exit::Done);
        }
    }
    let _ = out.flush();
    Ok(Exit::Done)
}

fn print_table(scorer: &Scorer, scores: &[Score]) -> Result<Exit, CliError> {
    let total = Spread::new("reward".to_owned(), scores.iter().filter_map(Score::known));
    let mut rows = vec![["term", "mean", "spread", "rows", "no value"].map(str::to_owned).to_vec()];
    for spread in scorer.spreads(scores).into_iter().chain([total]) {
        let without = scores.len() - spread.count;
        rows.push(vec![
            spread.term,
            figure(spread.mean),
            figure(spread.deviation),
            spread.count.to_string(),
            without.to_string(),
        ]);
    }
    print!("{}", columns(&rows, &[Align::Left, Align::Right, Align::Right, Align::Right, Align::Right]));
    let without = scores.iter().filter(|it| it.known().is_none()).count();
    if without > 0 {
        println!("{} without a reward: the right answer cannot be read", counted(without, "row"));
    }
    Ok(Exit::Done)
}
