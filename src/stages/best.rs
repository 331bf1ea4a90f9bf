//! `best`: of several models the one whose report says most, or least, under a name.

use std::{fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    base::{disk, suggest::did_you_mean},
    stages::{Context, Progress, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "best", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    by: String,
    want: Want,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Want {
    Most,
    Least,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    // What is not there is told as the missing input that it is.
    context.input("models")?;
    let (models, reports) = (context.inputs("models"), context.inputs("reports"));
    if models.len() != reports.len() {
        return Err(StageError::Arguments(format!(
            "expected a report for each model, found {} models and {} reports",
            models.len(),
            reports.len()
        )));
    }
    let figures = reports.iter().map(|report| figure(report, &arguments.by)).collect::<Result<Vec<f64>, _>>()?;
    let chosen = choose(&figures, arguments.want).and_then(|at| Some((at, figures.get(at)?, models.get(at)?)));
    let Some((at, figure, model)) = chosen else {
        return Err(StageError::Data("there is no model to choose from".to_owned()));
    };
    // Which of them it is, counted as a person counts, and what it is chosen for.
    let metrics = vec![(arguments.by.into(), *figure), ("member".into(), at as f64 + 1.0)];
    context.progress(Progress { done: 1, total: 1, unit: "models", metrics });
    // The chosen model byte for byte: its content is in the store already, and is kept once.
    copy(model, &context.out)
}

/// The place of the largest or the smallest figure, the first of equals.
fn choose(figures: &[f64], want: Want) -> Option<usize> {
    let better = |one: f64, other: f64| match want {
        Want::Most => one > other,
        Want::Least => one < other,
    };
    let keep = |best: Option<(usize, f64)>, (at, figure): (usize, f64)| match best {
        Some((_, champion)) if !better(figure, champion) => best,
        _ => Some((at, figure)),
    };
    figures.iter().copied().enumerate().fold(None, keep).map(|(at, _)| at)
}

/// A number of a report.
fn figure(report: &Path, name: &str) -> Result<f64, StageError> {
    let path = report.join("report.json");
    let text = fs::read(&path).map_err(|error| StageError::File { path: path.clone(), error })?;
    let figures: serde_json::Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| StageError::Data(format!("{}: {error}", path.display())))?;
    figures.get(name).and_then(Value::as_f64).ok_or_else(|| {
        let hint = did_you_mean(name, figures.keys().map(String::as_str)).map(|hint| format!("; {hint}"));
        StageError::Data(format!("the report has no figure `{name}`{}", hint.unwrap_or_default()))
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), StageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| StageError::File { path, error }
    };
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?.path();
        let Some(name) = entry.file_name() else { continue };
        if entry.is_dir() {
            disk::create_new_folder(&to.join(name)).map_err(failed(&to.join(name)))?;
            copy(&entry, &to.join(name))?;
        } else {
            disk::copy(&entry, &to.join(name)).map_err(failed(&to.join(name)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equals_is_chosen() {
        assert_eq!(choose(&[0.1, 0.7, 0.7, 0.3], Want::Most), Some(1));
        assert_eq!(choose(&[0.4, 0.2, 0.2], Want::Least), Some(1));
        assert_eq!(choose(&[], Want::Most), None);
    }

    #[test]
    fn a_figure_that_is_not_there_is_told_with_the_nearest() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("report.json"), r#"{"pass1": 0.5, "rows": 4}"#).unwrap();
        assert_eq!(figure(folder.path(), "pass1").unwrap(), 0.5);
        let error = figure(folder.path(), "pas1").unwrap_err().to_string();
        assert_eq!(error, "the report has no figure `pas1`; did you mean `pass1`?");
    }
}
