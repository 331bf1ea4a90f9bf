//! Merging models: mergekit's methods and its YAML, tensor by tensor, so that memory holds one tensor of each model.

mod card;
mod checkpoint;
mod config;
mod error;
mod experts;
mod folder;
mod gates;
mod halfway;
mod job;
mod methods;
mod options;
mod output;
mod parameters;
mod place;
mod plan;
mod tokens;
mod upcycle;
mod vocabulary;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use checkpoint::Checkpoint;
pub use config::{Configuration, Member, Slice, Source};
pub use error::MergeError;
pub use folder::Partial;
pub use halfway::{Halfway, Pauses};
pub use job::{Job, from_file, models_of};
pub use methods::{Base, Kind, Method, Parameter, REGISTRY as METHODS, Scope, find};
pub use options::{Biases, Experts, Extra, Options};
pub use parameters::{Parameters, Setting};
pub use place::Path as Place;

use halfway::write_units;
use methods::Input;
use output::Output;
use plan::{Plan, Planned};
use tokens::Tokens;
use vocabulary::{Origin, Rows};

/// A merge that is known to fit: headers are read and compared, and no number has been computed yet.
pub struct Merge {
    configuration: Configuration,
    models: Vec<Checkpoint>,
    plan: Plan,
    rows: Option<Rows>,
    /// The tokenizer that the result gets, where it is not that of a folder.
    union: Option<Tokens>,
    /// The model whose tokenizer's files the result gets.
    tokenizer: usize,
    reference: usize,
    options: Options,
    pub warnings: Vec<String>,
}

/// Told how many tensors are done, of how many; false asks to stop.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

impl Merge {
    /// Reads the headers of the models, and finds all that can be wrong without reading tensors.
    /// `folder` tells where a model lies that the configuration names.
    pub fn prepare(
        configuration: Configuration,
        folder: impl Fn(&str) -> PathBuf,
        options: Options,
    ) -> Result<Self, MergeError> {
        configuration.check().map_err(|mistake| configuration.source.error(mistake))?;
        let names: Vec<String> = configuration.models().into_iter().map(str::to_owned).collect();
        let models = names.iter().map(|name| Checkpoint::open(&folder(name))).collect::<Result<Vec<_>, _>>()?;
        let place = |model: &str| names.iter().position(|name| name == model);
        let reference = place(configuration.reference()).unwrap_or_default();
        let mut warnings = configuration.warnings.clone();
        let (mut rows, mut union, mut tokenizer) = (None, None, reference);
        if let Some(choice) = &configuration.tokenizer {
            let tokens = models.iter().map(|model| Tokens::read(&model.folder)).collect::<Result<Vec<_>, _>>()?;
            let result = match &choice.source {
                Origin::Base => tokens[reference].clone(),
                Origin::Model(model) => {
                    tokenizer = place(model).unwrap_or(reference);
                    tokens[tokenizer].clone()
                }
                Origin::Union => {
                    let others = tokens.iter().enumerate().filter(|(at, _)| *at != reference).map(|(_, it)| it);
                    let all = tokens[reference].union(&others.collect::<Vec<_>>())?;
                    union = Some(all.clone()).filter(|all| !all.agrees(&tokens[reference]));
                    all
                }
            };
            let named: Vec<(&str, &Tokens)> = names.iter().map(String::as_str).zip(&tokens).collect();
            rows = Some(Rows::new(choice, &result, &named, Some(reference))?);
        } else {
            warnings.extend(compare_tokens(&models, reference));
        }
        let mut plan = Plan::new(&configuration, &models, rows.as_ref(), &options)?;
        experts::align(&mut plan, &models, options.experts)?;
        Ok(Self { configuration, models, plan, rows, union, tokenizer, reference, options, warnings })
    }

    /// Computes and writes the result into a folder that is there: weights, configuration and tokenizer.
    pub fn write(&self, out: &Path, progress: Progress) -> Result<(), MergeError> {
        let output = Output::create(out, self.plan.slots(), self.options.shard)?;
        let total = self.plan.tensors.len() as u64;
        for (done, (name, planned)) in self.plan.tensors.iter().enumerate() {
            if !progress(done as u64, total) {
                return Err(MergeError::Cancelled);
            }
            self.tensor(name, planned, &output)?;
        }
        output.write_index(out)?;
        folder::companions(self, out)?;
        progress(total, total);
        Ok(())
    }

    /// As [`Merge::write`], going on where an earlier attempt was stopped. The bytes are the same.
    pub fn write_on(&self, out: &Path, progress: Progress, pauses: &dyn Pauses) -> Result<(), MergeError> {
        let units: Vec<_> = self.plan.tensors.keys().map(|name| vec![name.as_str()]).collect();
        let planned: Vec<_> = self.plan.tensors.iter().collect();
        let slots = self.plan.slots();
        let output = write_units(&units, (&slots, self.options.shard), progress, pauses, |at, output| {
            let (name, planned) = planned[at];
            self.tensor(name, planned, output)
        })?;
        output.write_index(out)?;
        folder::companions(self, out)?;
        let total = planned.len() as u64;
        progress(total, total);
        output.move_to(out)
    }

    fn tensor(&self, name: &str, planned: &Planned, output: &Output) -> Result<(), MergeError> {
        if matches!(planned.slot.kind, output::Kind::Exact(..)) {
            return self.exact(name, planned, output);
        }
        let mut inputs = Vec::new();
        for source in &planned.sources {
            let values = self.models[source.model].read(&source.name)?;
            inputs.push((
                source.model,
                match &source.rows {
                    Some(rows) => experts::reorder(&values, rows),
                    None => values,
                },
            ));
        }
        let tensors = match &self.rows {
            Some(rows) if planned.embedding => rows.arrange(inputs, planned.slot.shape[1]),
            _ => inputs.into_iter().map(|(_, values)| values).collect(),
        };
        if planned.keep {
            return output.write(name, tensors.first().map(Vec::as_slice).unwrap_or_default());
        }
        let settings = planned.sources.iter().map(|source| source.settings.clone());
        let inputs = tensors.into_iter().zip(settings).map(|(values, settings)| Input { values, settings });
        let method = self.configuration.method;
        let merged = (method.merge)(methods::Job {
            name,
            shape: &planned.slot.shape,
            inputs: inputs.collect(),
            base: planned.base,
            settings: planned.settings.clone(),
            seed: self.options.seed,
        });
        let merged =
            merged.map_err(|message| MergeError::Method { method: method.name, tensor: name.to_owned(), message })?;
        output.write(name, &merged)
    }

    /// Whole numbers are not merged: all models must hold the same.
    fn exact(&self, name: &str, planned: &Planned, output: &Output) -> Result<(), MergeError> {
        let mut first = None;
        for source in &planned.sources {
            let model = &self.models[source.model];
            let bytes = model.bytes(&source.name)?;
            if first.as_ref().is_some_and(|first| *first != bytes) {
                let message = "holds whole numbers that differ from model to model, which cannot be merged";
                return Err(MergeError::tensor(&model.folder, &source.name, message));
            }
            first = Some(bytes);
        }
        output.write_exact(name, &first.unwrap_or_default())
    }

    /// The configuration of the result: that of the reference, with what the merge has changed.
    fn config(&self) -> Value {
        folder::config(self)
    }
}

/// Names models whose tokens differ from the reference's, as their embeddings are then mixed up row by row.
fn compare_tokens(models: &[Checkpoint], reference: usize) -> Vec<String> {
    let text = |model: &Checkpoint| std::fs::read(model.folder.join("tokenizer.json")).ok();
    let Some(first) = models.get(reference) else { return Vec::new() };
    let Some(ours) = text(first) else { return Vec::new() };
    let differs = |model: &&Checkpoint| {
        let unlike = text(model).is_some_and(|theirs| theirs != ours);
        unlike
            && match (Tokens::read(&first.folder), Tokens::read(&model.folder)) {
                (Ok(one), Ok(other)) => !one.agrees(&other),
                _ => false,
            }
    };
    let warn = |model: &Checkpoint| {
        format!(
            "the tokens of `{}` and `{}` differ, and rows of their embeddings are merged all the same; \
             `tokenizer_source: union` carries each token's row along",
            first.folder.display(),
            model.folder.display()
        )
    };
    models.iter().filter(differs).map(warn).collect()
}
