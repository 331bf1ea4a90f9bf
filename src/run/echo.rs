//! What a run says that has nothing to do, kept to be said again while all is as it was: the program and what is asked of
//! it, the recipe, the files that it reads, and the record and the object of every step.
//!
//! Then a recipe of many steps need not be read as a recipe once more. Its text is read, and every file is looked at.

use std::{collections::BTreeMap, fs, path::PathBuf, time::Instant};

use serde::{Deserialize, Serialize};

use super::{Event, Options, Outcome, Output, Status, watch::Watch};
use crate::{
    base::digest::Digest,
    plan::{Plan, StepId},
    store::{Done, Glance, Store, StoreError},
};

/// What is asked of a run, by which it is known again.
#[derive(Clone, Debug)]
pub struct Question {
    /// The digest of what tells this program from others, and of what it was told.
    pub asked: Digest,
    /// The recipe and what it uses, with the digest of each text.
    pub texts: Vec<(PathBuf, Digest)>,
}

/// A run with nothing to do, all of whose steps were just looked at.
#[derive(Debug)]
pub struct Echo {
    body: Body<String>,
    /// What each step made.
    made: Vec<Done>,
}

/// What must be as it was for an echo to hold.
#[derive(Serialize, Deserialize)]
struct Head {
    asked: Digest,
    texts: Vec<(PathBuf, Digest)>,
    /// The snapshot that tells of the steps.
    snapshot: Digest,
}

/// What is to be said, and what more must be as it was.
#[derive(Debug, Serialize, Deserialize)]
struct Body<Text> {
    /// Each step's address and its stage, and where the snapshot tells of it.
    steps: Vec<(Text, Text, usize)>,
    gates: Vec<Event>,
    /// Each output's name, the address that a recipe writes for it, and its step.
    outputs: Vec<(String, String, usize)>,
}

impl Echo {
    /// The echo of what is asked, where all is as it was when it was kept.
    ///
    /// None where another process is removing objects, too: then nothing that was seen is certain to stay.
    #[must_use]
    pub fn hear(store: &Store, glance: &Glance, asked: &Digest) -> Option<Self> {
        let text = glance.is_held().then(|| store.echo())??;
        let mut lines = text.lines();
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        let same = head.asked == *asked && glance.snapshot() == Some(head.snapshot) && unchanged(&head.texts);
        let watch: Watch = same.then(|| serde_json::from_str(lines.next()?).ok())??;
        if watch.any_has_changed() {
            return None;
        }
        let body: Body<String> = serde_json::from_str(lines.next()?).ok()?;
        // The glance began with the first.
        let mut made: Vec<Done> = body.steps.iter().rev().map(|step| glance.at(step.2)).collect::<Option<_>>()?;
        made.reverse();
        Some(Self { body, made })
    }

    /// Tells what such a run tells, and how it ends.
    pub fn tell(&self, store: &Store, options: &Options, report: &mut dyn FnMut(&Event)) -> Outcome {
        let (start, count) = (Instant::now(), self.made.len());
        report(&Event::Plan {
            steps: count,
            hits: count,
            runs: 0,
            waits: 0,
            seconds: Some(0.0),
            recipe: options.recipe.clone(),
            sets: options.sets.clone(),
        });
        for ((address, stage, _), done) in self.body.steps.iter().zip(&self.made) {
            let (address, stage) = (address.clone(), stage.clone());
            report(&Event::StepHit { address, stage, digest: done.output });
        }
        self.body.gates.iter().for_each(&mut *report);
        let output = |step: &usize| {
            let digest = self.made.get(*step)?.output;
            Some(Output { digest, path: store.object(&digest) })
        };
        let outputs = self.body.outputs.iter().filter_map(|(name, _, step)| Some((name.clone(), output(step)?)));
        let (status, outputs): (_, BTreeMap<String, Output>) = (Status::Done, outputs.collect());
        report(&Event::Finished { status, outputs: outputs.clone(), seconds: start.elapsed().as_secs_f64() });
        Outcome { status, outputs, run: None }
    }

    /// The steps, each with its address and its stage.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.body.steps.iter().map(|(address, stage, _)| (address.as_str(), stage.as_str()))
    }

    /// What [`Plan::outcomes`] told.
    #[must_use]
    pub fn outcomes(&self) -> Vec<(String, String, StepId)> {
        let outputs = self.body.outputs.iter();
        outputs.map(|(name, address, step)| (name.clone(), address.clone(), StepId(*step))).collect()
    }
}

/// Keeps what a run would say that is asked the same: all of the plan is `made`, as the snapshot that was `seen` tells.
pub(super) fn keep(
    store: &Store,
    plan: &Plan,
    question: &Question,
    watch: &Watch,
    gates: Vec<Event>,
    made: impl Iterator<Item = Done>,
    seen: &Glance,
) -> Result<(), StoreError> {
    let places: Option<Vec<usize>> = made.map(|done| seen.place(&done.key)).collect();
    let Some((places, snapshot)) = places.zip(seen.snapshot()) else { return Ok(()) };
    let head = Head { asked: question.asked, texts: question.texts.clone(), snapshot };
    let body = Body {
        steps: plan.steps.iter().zip(places).map(|(it, at)| (it.address.as_str(), it.stage.as_str(), at)).collect(),
        gates,
        outputs: plan.outcomes().into_iter().map(|(name, address, step)| (name, address, step.0)).collect(),
    };
    match lines(&head, watch, &body) {
        Ok(text) => store.keep_echo(&text),
        // A path that is no text cannot be written.
        Err(_) => Ok(()),
    }
}

/// The text of an echo, a line for each part.
fn lines(head: &Head, watch: &Watch, body: &Body<&str>) -> serde_json::Result<Vec<u8>> {
    let mut text = Vec::new();
    serde_json::to_writer(&mut text, head)?;
    text.push(b'\n');
    serde_json::to_writer(&mut text, watch)?;
    text.push(b'\n');
    serde_json::to_writer(&mut text, body)?;
    Ok(text)
}

/// Whether the texts are those that were read. What is no file, such as a pipe, could be read only once.
fn unchanged(texts: &[(PathBuf, Digest)]) -> bool {
    texts.iter().all(|(path, digest)| path.is_file() && fs::read(path).is_ok_and(|bytes| Digest::of(&bytes) == *digest))
}
