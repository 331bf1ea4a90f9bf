//! States that a long step goes on from when it was stopped or killed: what keeps them, and what they are made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    base::disk,
    data::journal::{Journal, Mark},
    stages::{Context, StageError},
};

/// Where the states of one step are kept.
pub trait Checkpoints: Send + Sync {
    /// A folder of the step's own, for files that outlive the process and end with the step.
    fn workspace(&self) -> Result<PathBuf, StageError>;

    /// The folders of the states that are kept and whole, the latest first.
    fn kept(&self) -> Vec<PathBuf>;

    /// Whether it is time to keep a state.
    fn due(&self) -> bool;

    /// Whether a longer run may go on from this step's end.
    fn extends(&self) -> bool;

    /// Keeps what `fill` writes into a folder, whole or not at all.
    fn keep(&self, position: u64, fill: Fill) -> Result<(), StageError>;

    /// Told that the step goes on from a state.
    fn resumed(&self, position: u64);
}

/// Writes a state into a folder.
pub type Fill<'a> = &'a mut dyn FnMut(&Path) -> Result<(), StageError>;

/// What a long step knows so far: the lines it has written, and a value beside them. Both are kept together.
///
/// No result depends on when states are kept: a step that goes on from one does what it would have done anyway.
pub struct Course<S> {
    pub known: S,
    /// How many units of its work the step has done.
    pub done: u64,
    journal: Journal,
    /// The position of the latest state that is kept.
    kept: u64,
}

/// What `course.json` says in the folder of a state.
#[derive(Serialize, Deserialize)]
struct Saved<S> {
    done: u64,
    mark: Mark,
    known: S,
}

const FILE: &str = "course.json";
const LINES: &str = "lines.jsonl";

impl<S: Serialize + DeserializeOwned + Default> Course<S> {
    /// Goes on from the latest state that can be used, else begins. `restore` puts back what else a state's folder
    /// holds; where it cannot, the state before is tried.
    ///
    /// # Errors
    /// Where the step's files cannot be written.
    pub fn begin(
        context: &Context,
        longest: u64,
        mut restore: impl FnMut(&Path) -> Result<(), StageError>,
    ) -> Result<Self, StageError> {
        let lines = context.checkpoints.workspace()?.join(LINES);
        for folder in context.checkpoints.kept() {
            let Some(saved) = read::<S>(&folder.join(FILE)).filter(|saved| saved.done <= longest) else { continue };
            let Some(journal) = Journal::resume(&lines, saved.mark)? else { continue };
            if restore(&folder).is_err() {
                continue;
            }
            context.checkpoints.resumed(saved.done);
            return Ok(Self { known: saved.known, done: saved.done, journal, kept: saved.done });
        }
        Ok(Self { known: S::default(), done: 0, journal: Journal::create(&lines)?, kept: 0 })
    }

    /// Adds a line to what the step has written.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn push(&mut self, line: &impl Serialize) -> Result<(), StageError> {
        let text = serde_json::to_string(line).map_err(|error| StageError::Data(error.to_string()))?;
        Ok(self.journal.push(&text)?)
    }

    /// Keeps the state where it is time to, or where the person wants to stop; `fill` adds what else belongs to it.
    ///
    /// # Errors
    /// [`StageError::Cancelled`] where the person wants to stop, and where a state cannot be kept.
    pub fn pause(&mut self, context: &Context, fill: Fill) -> Result<(), StageError> {
        let stop = context.check_cancelled();
        if (stop.is_err() || context.checkpoints.due()) && self.done > self.kept {
            self.keep(context, fill)?;
        }
        stop
    }

    /// Keeps the state now.
    ///
    /// # Errors
    /// Where it cannot be kept.
    pub fn keep(&mut self, context: &Context, fill: Fill) -> Result<(), StageError> {
        let saved = Saved { done: self.done, mark: self.journal.mark()?, known: &self.known };
        let text = serde_json::to_vec(&saved).map_err(|error| StageError::Data(error.to_string()))?;
        context.checkpoints.keep(self.done, &mut |folder| {
            let path = folder.join(FILE);
            disk::save(&path, &text).map_err(|error| StageError::File { path, error })?;
            fill(folder)
        })?;
        self.kept = self.done;
        Ok(())
    }

    /// Copies the lines to a file of the artifact, and gives what is known at the end.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn finish(self, to: &Path) -> Result<S, StageError> {
        self.journal.copy(to)?;
        Ok(self.known)
    }
}

fn read<S: DeserializeOwned>(file: &Path) -> Option<Saved<S>> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Keeps nothing: for a stage that is run by itself, in a folder of its own.
pub struct Nowhere(pub PathBuf);

impl Checkpoints for Nowhere {
    fn workspace(&self) -> Result<PathBuf, StageError> {
        Ok(self.0.clone())
    }

    fn kept(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn due(&self) -> bool {
        false
    }

    fn extends(&self) -> bool {
        false
    }

    fn keep(&self, _: u64, _: Fill) -> Result<(), StageError> {
        Ok(())
    }

    fn resumed(&self, _: u64) {}
}
