//! What a stage is handed: arguments, the folders of its input artifacts, and a folder to fill.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    base::{decision::Tally, device::Device, digest::Digest},
    stages::{checkpoint::Checkpoints, review::Reviews},
};

/// All that one step sees of the world.
pub struct Context {
    /// The arguments, each in base units, defaults filled in.
    pub arguments: Value,
    /// The folders of the input artifacts by port, in order; a port that takes one artifact holds one.
    pub inputs: BTreeMap<String, Vec<PathBuf>>,
    /// The files that arguments of type `path` name.
    pub files: BTreeMap<String, PathBuf>,
    /// The folder to fill: it is empty, and becomes the artifact when the stage returns.
    pub out: PathBuf,
    /// Threads to compute with. No result depends on them.
    pub pool: Arc<rayon::ThreadPool>,
    /// Set when the person wants the run to stop.
    pub cancelled: Arc<AtomicBool>,
    /// How many problems a sampling stage hands to the sampler at once. No result depends on it.
    pub batch: usize,
    /// Where models compute.
    pub device: Device,
    /// Where the step keeps the states that it can go on from.
    pub checkpoints: Box<dyn Checkpoints>,
    /// Where people decide on the step's rows.
    pub reviews: Box<dyn Reviews>,
    /// Told how far the step is, with its metrics.
    pub progress: Box<dyn Fn(Progress) + Send + Sync>,
}

/// How far a step is.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
    /// What is counted: "steps", "rows".
    pub unit: &'static str,
    /// Named figures of the moment, such as `loss` or `reward`.
    pub metrics: Metrics,
}

/// Figures by their names, in the order in which they are shown.
pub type Metrics = Vec<(Cow<'static, str>, f64)>;

/// Figures whose names are known beforehand.
#[must_use]
pub fn figures<const COUNT: usize>(figures: [(&'static str, f64); COUNT]) -> Metrics {
    figures.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// As [`Context::shared_arguments`], of arguments that no context holds yet.
pub fn shared_arguments<S: DeserializeOwned, T: DeserializeOwned>(
    arguments: &Value,
    shared: &[&str],
) -> Result<(S, T), StageError> {
    let mut own = arguments.clone();
    let mut common = serde_json::Map::new();
    for name in shared {
        if let Some((name, value)) = own.as_object_mut().and_then(|it| it.remove_entry(*name)) {
            common.insert(name, value);
        }
    }
    let own = T::deserialize(own).map_err(|error| {
        let others = shared.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ");
        StageError::Arguments(format!("{error}, beside {others}"))
    })?;
    let common = S::deserialize(Value::Object(common)).map_err(|error| StageError::Arguments(error.to_string()))?;
    Ok((common, own))
}

impl Context {
    /// The arguments as the stage's own struct, which should deny unknown fields.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, StageError> {
        T::deserialize(&self.arguments).map_err(|error| StageError::Arguments(error.to_string()))
    }

    /// The arguments as two structs that both deny unknown fields: one that several stages share, whose fields are named
    /// here, and the stage's own.
    pub fn shared_arguments<S: DeserializeOwned, T: DeserializeOwned>(
        &self,
        shared: &[&str],
    ) -> Result<(S, T), StageError> {
        shared_arguments(&self.arguments, shared)
    }

    /// The one artifact of a port.
    pub fn input(&self, port: &str) -> Result<&Path, StageError> {
        self.optional_input(port).ok_or_else(|| StageError::Arguments(format!("the input `{port}` is missing")))
    }

    /// The artifact of a port that may be left out.
    #[must_use]
    pub fn optional_input(&self, port: &str) -> Option<&Path> {
        self.inputs.get(port)?.first().map(PathBuf::as_path)
    }

    /// Every artifact of a port.
    #[must_use]
    pub fn inputs(&self, port: &str) -> &[PathBuf] {
        self.inputs.get(port).map(Vec::as_slice).unwrap_or_default()
    }

    /// The file that a `path` argument names.
    pub fn file(&self, argument: &str) -> Result<&Path, StageError> {
        let file = self.files.get(argument).map(PathBuf::as_path);
        file.ok_or_else(|| StageError::Arguments(format!("the file `{argument}` is missing")))
    }

    /// A folder beside the one to fill, for what the step needs while it runs. It goes with the step.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.out.with_file_name("work")
    }

    /// The file for what a step has to say at length. It outlives the step: `logs/KEY.log` in the store.
    ///
    /// The folder to fill is `scratch/KEY-PROCESS/out` there.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        let own = self.out.parent().unwrap_or(Path::new(""));
        let name = own.file_name().and_then(|it| it.to_str()).and_then(|it| it.split('-').next()).unwrap_or("step");
        let store = own.parent().and_then(Path::parent).unwrap_or(own);
        store.join("logs").join(format!("{name}.log"))
    }

    /// The name of the content of a port's one artifact: its folder in the store is named so.
    #[must_use]
    pub fn input_digest(&self, port: &str) -> Option<Digest> {
        self.optional_input(port)?.file_name()?.to_str()?.parse().ok()
    }

    pub fn progress(&self, progress: Progress) {
        (self.progress)(progress);
    }

    /// An error when the person wants to stop; long loops ask between their steps.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(StageError::Cancelled) } else { Ok(()) }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("{0}")]
    Arguments(String),
    #[error("{0}")]
    Data(String),
    #[error(transparent)]
    Rows(#[from] crate::data::DataError),
    #[error(transparent)]
    Reward(#[from] crate::reward::RewardError),
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    #[error("{0}")]
    Merge(crate::merge::MergeError),
    #[error("{path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error("interrupted")]
    Cancelled,
    /// Neither failed nor done: a person is to decide on the rows first.
    #[error("waiting for a person ({0})")]
    Waiting(Tally),
}

impl From<crate::merge::MergeError> for StageError {
    fn from(error: crate::merge::MergeError) -> Self {
        match error {
            crate::merge::MergeError::Cancelled => Self::Cancelled,
            other => Self::Merge(other),
        }
    }
}
