//! What a program left, held against the type that the recipe declares.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    data::{
        DataError,
        dataset::Dataset,
        rows::{Chat, Kind, Label, Pair, Problem, Row, Sample, Text},
        tokenizer::Tokenizer,
    },
    model::{Config, Transformer},
    stages::StageError,
};

/// The most that the header of a file of weights may be long, as its format says.
const LONGEST_HEADER: u64 = 100_000_000;

/// Complains where a folder is not what its declared type says.
pub(super) fn check(returns: &str, folder: &Path) -> Result<(), StageError> {
    let checked = match returns {
        "Model" => model(folder),
        "RewardModel" => weights(folder),
        "Tokenizer" => Tokenizer::load(folder).map(drop).map_err(StageError::from),
        "Report" => report(folder),
        other => match kind(other) {
            Some(kind) => dataset(folder, kind),
            None => Err(StageError::Arguments(format!("expected a type that a program can make, found `{other}`"))),
        },
    };
    checked.map_err(|error| {
        if is_the_disks(&error) {
            return error;
        }
        // The folder is gone when the person reads this.
        let [inside, itself] = ["/", ": "].map(|end| format!("{}{end}", folder.display()));
        let text = error.to_string().replace(&inside, "").replace(&itself, "");
        StageError::Data(format!("what the program left in `{{out}}` is no {returns}: {text}"))
    })
}

/// Whether the disk failed, which is no fault of what the program left there.
fn is_the_disks(error: &StageError) -> bool {
    let (StageError::File { error, .. } | StageError::Rows(DataError::File { error, .. })) = error else {
        return false;
    };
    let of_the_program = [
        ErrorKind::NotFound,
        ErrorKind::InvalidData,
        ErrorKind::IsADirectory,
        ErrorKind::NotADirectory,
        ErrorKind::PermissionDenied,
    ];
    !of_the_program.contains(&error.kind())
}

fn kind(returns: &str) -> Option<Kind> {
    let word = returns.strip_prefix("Dataset<")?.strip_suffix('>')?;
    serde_json::from_value(Value::from(word)).ok()
}

/// A model that this program computes is loaded whole. Of another architecture, which only programs can use, the files
/// are looked at.
fn model(folder: &Path) -> Result<(), StageError> {
    let path = folder.join("config.json");
    let config = json(&path)?;
    if !config.is_object() {
        return Err(DataError::content(&path, "expected an object").into());
    }
    let foreign = Config::from_json(&config).is_err_and(|it| it.to_string().starts_with("field `model_type`:"));
    if foreign {
        weights(folder)?;
        json(&folder.join("tokenizer.json")).map(drop)
    } else {
        Transformer::load(folder)?;
        Tokenizer::load(folder)?;
        Ok(())
    }
}

/// A configuration, and weights of which no file is cut off.
fn weights(folder: &Path) -> Result<(), StageError> {
    json(&folder.join("config.json"))?;
    weight_files(folder)?.iter().try_for_each(|file| whole(file))
}

/// The files of weights: one, or those that an index names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>, StageError> {
    let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
    if !index.exists() {
        let pickled = folder.join("pytorch_model.bin");
        if !single.exists() && pickled.exists() {
            let message = "expected `model.safetensors`; save the model with `safe_serialization=True`";
            return Err(DataError::content(&pickled, message).into());
        }
        return Ok(vec![single]);
    }
    let map = json(&index)?;
    let Some(map) = map.get("weight_map").and_then(Value::as_object) else {
        return Err(DataError::content(&index, "expected the field `weight_map`").into());
    };
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Reads the header of a file of weights, and compares the file's length with what the header says.
fn whole(path: &Path) -> Result<(), StageError> {
    let failed = |error| StageError::File { path: path.to_owned(), error };
    let wrong = |what: &str| StageError::from(DataError::content(path, what));
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size).map_err(|_| wrong("the file is cut off"))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size + 8 > length {
        return Err(wrong("the file is no safetensors, or it is cut off"));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(failed)?;
    let header: Value = serde_json::from_slice(&header).map_err(|_| wrong("the file's header is no JSON"))?;
    let tensors = header.as_object().into_iter().flatten().filter(|(name, _)| *name != "__metadata__");
    let ends = tensors.filter_map(|(_, tensor)| tensor.get("data_offsets")?.get(1)?.as_u64());
    match ends.max() {
        Some(end) if end.checked_add(size + 8) == Some(length) => Ok(()),
        Some(_) => Err(wrong("the file is cut off, or longer than its header says")),
        None => Err(wrong("the file holds no tensor")),
    }
}

/// The rows of a data set; what they are is written beside them where the program has not done so.
fn dataset(folder: &Path, kind: Kind) -> Result<(), StageError> {
    let said = folder.join("dataset.json").exists();
    let dataset = if said { Dataset::open(folder)? } else { Dataset::found(folder, kind)? };
    let rows = match kind {
        Kind::Text => rows::<Text>(&dataset),
        Kind::Problem => rows::<Problem>(&dataset),
        Kind::Chat => rows::<Chat>(&dataset),
        Kind::Sample => rows::<Sample>(&dataset),
        Kind::Pair => rows::<Pair>(&dataset),
        Kind::Label => rows::<Label>(&dataset),
    }?;
    let expected = dataset.summary.rows;
    match rows {
        0 if !said => Err(DataError::content(&dataset.path(), "expected at least one row, found none").into()),
        found if found != expected => {
            let message = format!("expected {expected} rows as `dataset.json` says, found {found}");
            Err(DataError::content(&dataset.path(), message).into())
        }
        _ => Ok(()),
    }
}

/// Reads every row as one of the kind, and counts them.
fn rows<T: Row>(dataset: &Dataset) -> Result<usize, DataError> {
    dataset.rows::<T>()?.try_fold(0, |count, row| row.map(|_| count + 1))
}

/// A flat object of numbers, so that `require` can read them.
fn report(folder: &Path) -> Result<(), StageError> {
    let path = folder.join("report.json");
    let value = json(&path)?;
    let Some(figures) = value.as_object().filter(|it| !it.is_empty()) else {
        return Err(DataError::content(&path, "expected an object of numbers, such as `{\"pass1\": 0.5}`").into());
    };
    match figures.iter().find(|(_, value)| !value.is_number()) {
        Some((name, value)) => {
            Err(DataError::content(&path, format!("expected a number for `{name}`, found {value}")).into())
        }
        None => Ok(()),
    }
}

fn json(path: &Path) -> Result<Value, StageError> {
    let text = fs::read(path).map_err(|error| StageError::File { path: path.to_owned(), error })?;
    serde_json::from_slice(&text).map_err(|error| DataError::content(path, format!("expected JSON: {error}")).into())
}
