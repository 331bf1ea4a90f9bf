//! Runs a step that is made once more, beside the store, and compares the bytes.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::Instant,
};

use rayon::ThreadPoolBuilder;

use super::{Options, RunError, desk::Settled, dispatcher::STACK, executor::message};
use crate::{
    base::{argument, digest::Digest},
    plan::{Plan, StepId},
    schedule::Schedule,
    stages::{Context, Stage, checkpoint::Nowhere},
    store::{Folder, Record, Store, StoreError},
};

/// How a second run of a step came out.
#[derive(Clone, Debug, PartialEq)]
pub enum Rerun {
    /// The same bytes, after so many seconds.
    Same {
        seconds: f64,
    },
    /// Other bytes.
    Other {
        digest: Digest,
        /// The first file that differs, in the order of their names.
        file: String,
        /// The first byte that differs in it; None where only one of the two has the file.
        byte: Option<u64>,
    },
    Failed(String),
}

/// Runs a step of which all inputs are made, and compares what it writes with what the store keeps, which stays as it is.
///
/// # Errors
/// Where the store cannot be read or written.
pub fn rerun(
    plan: &Plan,
    id: StepId,
    schedule: &Schedule,
    record: &Record,
    store: &Store,
    stage: &'static Stage,
    options: &Options,
) -> Result<Rerun, RunError> {
    let Some(step) = plan.step(id) else { return Err(RunError::Stage(stage.name.to_owned())) };
    let mut inputs = BTreeMap::new();
    for (port, ids) in &step.inputs {
        let made = ids.iter().filter_map(|id| schedule.get(*id)?.made);
        inputs.insert(port.to_string(), made.map(|made| store.object(&made.output)).collect());
    }
    let pool = ThreadPoolBuilder::new().num_threads(options.threads.get()).stack_size(STACK).build();
    store.prepare()?;
    let rehearsal = store.rehearse(&record.key)?;
    let context = Context {
        arguments: argument::object(&step.arguments),
        inputs,
        files: step.files.clone(),
        out: rehearsal.out(),
        pool: Arc::new(pool.map_err(|error| RunError::Runtime(std::io::Error::other(error)))?),
        cancelled: Arc::clone(&options.cancelled),
        batch: options.batch.get(),
        device: step.device,
        checkpoints: Box::new(Nowhere(rehearsal.workspace()?)),
        reviews: Box::new(Settled(store.review(&record.key))),
        progress: Box::new(|_| {}),
    };
    let start = Instant::now();
    let run = || (stage.run)(&context);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Ok(Rerun::Failed(error.to_string())),
        Err(panic) => return Ok(Rerun::Failed(format!("the stage panicked: {}", message(&*panic)))),
    }
    let seconds = start.elapsed().as_secs_f64();
    compare(&rehearsal.out(), &store.object(&record.output), record, seconds)
}

/// Compares two folders: what was written now, and what is kept.
fn compare(now: &Path, kept: &Path, record: &Record, seconds: f64) -> Result<Rerun, RunError> {
    let found = Folder::read(now)?;
    let digest = found.digest();
    if digest == record.output {
        return Ok(Rerun::Same { seconds });
    }
    let lost = record.files.iter().find(|file| !found.files.contains(file));
    let added = found.files.iter().find(|file| !record.files.contains(file));
    let file = lost.or(added).map(|file| file.name.clone()).unwrap_or_default();
    let [one, other] = [now.join(&file), kept.join(&file)];
    let byte = if one.exists() && other.exists() { Some(first_difference(&one, &other)?) } else { None };
    Ok(Rerun::Other { digest, file, byte })
}

/// How many bytes two files begin with that are the same.
fn first_difference(one: &Path, other: &Path) -> Result<u64, StoreError> {
    let open = |path: &Path| {
        let file = File::open(path).map_err(|error| StoreError::File { path: path.to_owned(), error })?;
        Ok::<_, StoreError>(BufReader::new(file).bytes())
    };
    let pairs = open(one)?.zip(open(other)?);
    Ok(pairs.take_while(|(one, other)| matches!((one, other), (Ok(one), Ok(other)) if one == other)).count() as u64)
}
