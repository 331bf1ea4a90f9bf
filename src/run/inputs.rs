//! The files that a plan reads, and their digests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    path::{Path, PathBuf},
};

use super::{RunError, watch::Watch};
use crate::{
    base::{
        argument,
        diagnostic::{Diagnostic, Diagnostics},
        digest::{Digest, FieldHasher},
        disk,
    },
    plan::Plan,
    schedule::{FileDigests, Schedule, State},
    stages::{Stage, models_of_merge},
    store::{Folder, Indexed, StoreError, digest_file},
};

/// A smaller file is read sooner than the index is opened.
const WORTH_REMEMBERING: u64 = 64 << 20;

/// The stage whose file names models, which it reads as well.
const MERGE: &str = "merge.from";

/// Digests every file or folder that a plan names, reading each of them whole and writing nothing.
///
/// # Errors
/// Where some of them cannot be read: a diagnostic for each.
pub fn digest_inputs(plan: &Plan) -> Result<FileDigests, RunError> {
    digest_with(plan, &mut |path, _| digest_file(path)).map(|(digests, _)| digests)
}

/// As [`digest_inputs`], without reading large files anew that have not changed since the index saw them. What the files
/// were is kept, to be held against what they are when they have been used.
///
/// # Errors
/// Where some of them cannot be read: a diagnostic for each.
pub(super) fn watched(plan: &Plan, history: &Indexed) -> Result<(FileDigests, Watch), RunError> {
    digest_with(plan, &mut |path, metadata| {
        let index = if metadata.len() < WORTH_REMEMBERING { None } else { history.existing() };
        index.map_or_else(|| digest_file(path), |index| index.digest_file(path, metadata))
    })
}

fn digest_with(
    plan: &Plan,
    read: &mut dyn FnMut(&Path, &Metadata) -> Result<Digest, StoreError>,
) -> Result<(FileDigests, Watch), RunError> {
    let mut found = BTreeMap::new();
    let mut complaints = Diagnostics::default();
    let named = || plan.steps.iter().flat_map(|step| step.files.iter().map(move |(name, path)| (step, name, path)));
    // All of them are looked for before any is read, as reading may take long and may open the index.
    for (step, argument, path) in named() {
        match fs::metadata(path) {
            Ok(metadata) => {
                found.insert(path.clone(), metadata);
            }
            Err(error) => {
                let span = step.argument_spans.get(argument).copied().unwrap_or(step.span);
                complaints.push(Diagnostic::error(
                    span,
                    format!("cannot read `{}`: {}", path.display(), disk::describe(&error)),
                ));
            }
        }
    }
    let (mut digests, mut watch) = (FileDigests::new(), Watch::default());
    if complaints.has_errors() {
        return Err(RunError::Inputs(complaints));
    }
    // A file that is read for several stages is digested for the one that reads more on its behalf.
    let merged: BTreeSet<&PathBuf> = named().filter(|it| it.0.stage == MERGE).map(|it| it.2).collect();
    for (step, argument, path) in named() {
        let Some(metadata) = found.remove(path) else { continue };
        let stage = if merged.contains(path) { MERGE } else { step.stage.as_str() };
        let mut files = Vec::new();
        let mut read = |file: &Path, metadata: &Metadata| {
            files.push((file.to_owned(), metadata.clone()));
            read(file, metadata)
        };
        match digest_one(stage, path, &metadata, &mut read) {
            Ok(digest) => {
                digests.insert(path.clone(), digest);
                watch.keep(stage, path, digest, files);
            }
            Err(message) => {
                let span = step.argument_spans.get(argument).copied().unwrap_or(step.span);
                complaints.push(Diagnostic::error(span, message));
            }
        }
    }
    if complaints.is_empty() { Ok((digests, watch)) } else { Err(RunError::Inputs(complaints)) }
}

/// The digest of one file or folder that a step of this stage names, with all that is read on its behalf.
pub(super) fn digest_one(
    stage: &str,
    path: &Path,
    metadata: &Metadata,
    read: &mut dyn FnMut(&Path, &Metadata) -> Result<Digest, StoreError>,
) -> Result<Digest, String> {
    let digested = if metadata.is_dir() {
        Folder::read_with(path, read).map(|folder| folder.digest())
    } else {
        read(path, metadata)
    };
    let digest = digested.map_err(|error| format!("cannot read {error}"))?;
    if stage == MERGE { digest_models(path, digest, read) } else { Ok(digest) }
}

/// The digest of a file of mergekit's with the models that it names: another model under the same name is another merge.
fn digest_models(
    file: &Path,
    digest: Digest,
    read: &mut dyn FnMut(&Path, &Metadata) -> Result<Digest, StoreError>,
) -> Result<Digest, String> {
    let mut hasher = FieldHasher::new();
    hasher.field("config", digest.hex().as_bytes());
    for folder in models_of_merge(file).map_err(|error| error.to_string())? {
        let model = Folder::read_with(&folder, read).map_err(|error| format!("cannot read {error}"))?;
        hasher.field("model", model.digest().hex().as_bytes());
    }
    Ok(hasher.finish())
}

/// Lets each stage that would run look at the files it reads, before anything is written.
///
/// # Errors
/// Where a stage cannot use some of them: a diagnostic for each step.
pub(super) fn check(plan: &Plan, schedule: &Schedule, code: &[&'static Stage]) -> Result<(), RunError> {
    let mut complaints = Diagnostics::default();
    for ((step, scheduled), stage) in plan.steps.iter().zip(&schedule.steps).zip(code) {
        let Some(check) = stage.check.filter(|_| scheduled.state != State::Hit) else { continue };
        let arguments = argument::object(&step.arguments);
        if let Err(error) = check(&arguments, &step.files) {
            let file = step.files.keys().next().and_then(|argument| step.argument_spans.get(argument));
            complaints.push(Diagnostic::error(file.copied().unwrap_or(step.span), error.to_string()));
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(RunError::Inputs(complaints)) }
}
