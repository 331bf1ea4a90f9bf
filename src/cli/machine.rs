//! `--machine h800.yaml`: a machine that the plan is priced for, without being on it.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{base::work::Machine, cli::CliError, report::plan::Elsewhere};

/// A machine as a file describes it: so many devices of one kind. Every rate is that of one device.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What one device is called.
    name: String,
    devices: NonZeroUsize,
    /// Bytes of memory that are read or written in a second.
    bandwidth: f64,
    /// Floating-point operations in a second that training comes to, all losses counted.
    training: f64,
    /// The same for sampling many answers side by side.
    sampling: f64,
    /// Tokens in a second that one answer grows by.
    #[serde(default)]
    stream: Option<f64>,
}

/// Bytes in a second that the machine of the estimates' constants reads and writes with one core.
const USUAL_BANDWIDTH: f64 = 17.5e9;

impl Description {
    /// Reads the description of a machine.
    ///
    /// # Errors
    /// Where the file cannot be read, lacks a figure or holds one that is not above nought.
    pub fn read(path: &Path) -> Result<Self, CliError> {
        let text = fs::read_to_string(path).map_err(|error| CliError::File { path: path.into(), error })?;
        let fault = |what: String| CliError::Profile(format!("{}: {what}", path.display()));
        let read: Self = serde_yaml::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let figures = [
            ("bandwidth", Some(read.bandwidth)),
            ("training", Some(read.training)),
            ("sampling", Some(read.sampling)),
            ("stream", read.stream),
        ];
        match figures.into_iter().find(|(_, figure)| figure.is_some_and(|it| !(it.is_finite() && it > 0.0))) {
            Some((name, figure)) => {
                Err(fault(format!("expected `{name}` to be above nought, found {}", figure.unwrap_or_default())))
            }
            None => Ok(read),
        }
    }

    /// Its speed. What takes plain work on a processor goes at the pace of its memory.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine {
            training: [self.training; 2],
            sampling: [self.sampling; 2],
            plain: self.devices.get() as f64 * self.bandwidth / USUAL_BANDWIDTH,
            stream: self.stream,
            // Its rates are those of the very model.
            mixture: Some(1.0),
            ..Machine::usual(self.devices.get())
        }
    }

    /// What the plan's screen says of it.
    #[must_use]
    pub fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            name: self.name.clone(),
            devices: self.devices.get(),
            training: self.training,
            sampling: self.sampling,
            stream: self.stream,
        }
    }
}

/// The flag that names such a file.
#[derive(clap::Args)]
pub struct MachineArgument {
    /// Price the plan for the machine that a YAML file describes, by the cost model alone
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    machine: Option<PathBuf>,
}

impl MachineArgument {
    /// The description, where one is asked for.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&self) -> Result<Option<Description>, CliError> {
        self.machine.as_deref().map(Description::read).transpose()
    }
}
