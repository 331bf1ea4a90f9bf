//! A training from its first step to its last: what pretraining, fine-tuning and reinforcement learning share.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    base::schedule::Schedule,
    model::{Transformer, load_state, save_state},
    stages::{
        Context, Progress, StageError, card,
        checkpoint::Course,
        context::Metrics,
        trainer::{Settings, Trainer},
    },
};

/// A model in training, at some step of it.
pub struct Training<'a> {
    context: &'a Context,
    pub trainer: Trainer,
    /// The model that the trained one is held against, where there is one.
    pub reference: Option<Reference>,
    pub total: u64,
    course: Course<Tally>,
}

/// A model that is not trained.
pub struct Reference {
    pub model: Transformer,
    /// Whether it is not the model that the training began with any more, and so is part of the state.
    pub moved: bool,
}

/// What a training knows beside its model, its optimizer and its lines.
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    /// How many tokens it has seen so far.
    #[serde(default)]
    tokens: u64,
}

/// The figures of every step, one line a step, beside the trained model.
pub const METRICS: &str = "metrics.jsonl";
const POLICY: &str = "policy.safetensors";
const REFERENCE: &str = "reference.safetensors";

impl<'a> Training<'a> {
    /// Begins the training of the model in a folder, or goes on with it where it was left.
    ///
    /// # Errors
    /// Where the model cannot be read.
    pub fn begin(
        context: &'a Context,
        model: &Path,
        settings: Settings,
        with_reference: bool,
        total: u64,
    ) -> Result<Self, StageError> {
        let reference = if with_reference { Some(Transformer::load(model)?.on(context.device)?) } else { None };
        Self::start(context, Transformer::load(model)?, reference, settings, total)
    }

    /// As [`Training::begin`], of a model that is there already.
    ///
    /// # Errors
    /// Where the step's files cannot be written.
    pub fn start(
        context: &'a Context,
        model: Transformer,
        reference: Option<Transformer>,
        settings: Settings,
        total: u64,
    ) -> Result<Self, StageError> {
        let mut trainer = Trainer::new(model.on(context.device)?, settings)?;
        let mut reference = reference.map(|model| Reference { model, moved: false });
        let course = Course::begin(context, total, |folder| {
            if let Some(moments) = load_state(&folder.join(POLICY), &mut trainer.model)? {
                trainer.resume(moments)?;
            }
            let file = folder.join(REFERENCE);
            if let Some(reference) = reference.as_mut().filter(|_| file.exists()) {
                load_state(&file, &mut reference.model)?;
                reference.moved = true;
            }
            Ok(())
        })?;
        Ok(Self { context, trainer, reference, total, course })
    }

    /// The steps that are left.
    #[must_use]
    pub fn steps(&self) -> std::ops::Range<u64> {
        self.course.done..self.total
    }

    /// Counts tokens that the training has seen, and says how many there were from its beginning on.
    pub fn count_tokens(&mut self, tokens: u64) -> u64 {
        self.course.known.tokens += tokens;
        self.course.known.tokens
    }

    /// Ends a step: tells its figures, writes them down, and keeps the state where it is time to.
    ///
    /// # Errors
    /// [`StageError::Cancelled`] where the person wants to stop, and where something cannot be written.
    pub fn end_step(&mut self, metrics: Metrics) -> Result<(), StageError> {
        self.course.done += 1;
        let done = self.course.done;
        let mut line = Map::from_iter([("step".to_owned(), Value::from(done))]);
        // JSON has no word for what is not finite.
        line.extend(metrics.iter().map(|(name, value)| (name.to_string(), Value::from(*value))));
        self.course.push(&line)?;
        self.context.progress(Progress { done, total: self.total, unit: "steps", metrics });
        self.course.pause(self.context, &mut |folder| save(&self.trainer, self.reference.as_ref(), folder))
    }

    /// Writes the trained model, its figures and its card; the tokenizer comes from the folder of the first model.
    ///
    /// # Errors
    /// Where something cannot be written.
    pub fn finish(mut self, model: &Path) -> Result<(), StageError> {
        if self.context.checkpoints.extends() {
            self.course.keep(self.context, &mut |folder| save(&self.trainer, self.reference.as_ref(), folder))?;
        }
        self.trainer.model.save(&self.context.out)?;
        self.course.finish(&self.context.out.join(METRICS))?;
        if self.trainer.model.is_scoring() {
            return card::finish_scoring(self.context, model, &self.trainer.model);
        }
        card::finish(self.context, model)
    }
}

/// Whether a longer training may go on from the end of a shorter one, as far as schedules are concerned.
///
/// # Errors
/// Says which argument develops over the whole budget.
pub fn is_open_ended(schedules: &[(&str, &Schedule<f64>)]) -> Result<(), String> {
    match schedules.iter().find(|(_, schedule)| !schedule.is_open_ended()) {
        Some((name, _)) => {
            Err(format!("`{name}` develops over the whole budget, so that every step of it is another one"))
        }
        None => Ok(()),
    }
}

fn save(trainer: &Trainer, reference: Option<&Reference>, folder: &Path) -> Result<(), StageError> {
    save_state(&folder.join(POLICY), &trainer.model, Some(trainer.moments()))?;
    if let Some(reference) = reference.filter(|it| it.moved) {
        save_state(&folder.join(REFERENCE), &reference.model, None)?;
    }
    Ok(())
}
