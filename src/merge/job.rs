//! A file of mergekit's, whichever of its two kinds it is, as work to do.

use std::path::{Path, PathBuf};

use super::{Configuration, Merge, MergeError, Options, Pauses, Progress, Source, card, upcycle::Upcycle};

/// What a file asks for, known to fit.
pub enum Job {
    Merge(Box<Merge>),
    Upcycle(Box<Upcycle>),
}

/// Reads a file and looks at the models that it names: in the working folder, else beside the file.
pub fn from_file(path: &Path, options: Options) -> Result<Job, MergeError> {
    Job::prepare(path, |name| locate(path, name), options)
}

/// The folders of the models that a file names.
pub fn models_of(path: &Path) -> Result<Vec<PathBuf>, MergeError> {
    let text = std::fs::read_to_string(path).map_err(MergeError::file(path))?;
    let source = Source { path: Some(path.to_owned()), text };
    let names = if Upcycle::is_asked_for(&source.text) {
        Upcycle::models(&source)?
    } else {
        Configuration::parse(source)?.models().into_iter().map(str::to_owned).collect()
    };
    Ok(names.into_iter().map(|name| locate(path, &name)).collect())
}

fn locate(file: &Path, name: &str) -> PathBuf {
    let beside = file.parent().map(|folder| folder.join(name)).filter(|it| it.is_dir());
    let here = PathBuf::from(name);
    if here.is_dir() { here } else { beside.unwrap_or(here) }
}

impl Job {
    /// Reads a file and looks at the models that it names, each in the folder that it is said to be in.
    pub fn prepare(path: &Path, folder: impl Fn(&str) -> PathBuf, options: Options) -> Result<Self, MergeError> {
        let text = std::fs::read_to_string(path).map_err(MergeError::file(path))?;
        let source = Source { path: Some(path.to_owned()), text };
        if Upcycle::is_asked_for(&source.text) {
            return Ok(Self::Upcycle(Box::new(Upcycle::prepare(source, folder, options)?)));
        }
        Ok(Self::Merge(Box::new(Merge::prepare(Configuration::parse(source)?, folder, options)?)))
    }

    /// What a person should know before.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Merge(merge) => &merge.warnings,
            Self::Upcycle(upcycle) => &upcycle.warnings,
        }
    }

    /// Computes and writes the result into a folder that is there.
    pub fn write(&self, out: &Path, progress: Progress) -> Result<(), MergeError> {
        match self {
            Self::Merge(merge) => merge.write(out, progress),
            Self::Upcycle(upcycle) => upcycle.write(out, progress),
        }
    }

    /// As [`Job::write`], going on where an earlier attempt was stopped.
    pub fn write_on(&self, out: &Path, progress: Progress, pauses: &dyn Pauses) -> Result<(), MergeError> {
        match self {
            Self::Merge(merge) => merge.write_on(out, progress, pauses),
            Self::Upcycle(upcycle) => upcycle.write_on(out, progress, pauses),
        }
    }

    /// How many tensors the result has.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Merge(merge) => merge.plan.tensors.len(),
            Self::Upcycle(upcycle) => upcycle.count(),
        }
    }

    /// Writes the model card, with the file as it was.
    pub fn write_card(&self, out: &Path) -> Result<(), MergeError> {
        match self {
            Self::Merge(merge) => card::write(&merge.configuration.source, merge.configuration.method.name, out),
            Self::Upcycle(upcycle) => card::write(&upcycle.source, "moe", out),
        }
    }
}
