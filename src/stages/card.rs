//! What completes a model folder beside its weights: the tokenizer's files and the model card.

use std::path::Path;

use crate::{
    base::disk,
    model::{Config, Transformer},
    stages::{Context, StageError},
};

/// The files that travel with a model from step to step, where they are present.
const COMPANIONS: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"];

/// Copies the tokenizer's files from a folder, and writes the card from the configuration beside it.
pub fn finish(context: &Context, tokenizer: &Path) -> Result<(), StageError> {
    take_tokenizer(context, tokenizer)?;
    let config = Config::read(&context.out)?;
    // What made the model is in its record. Were it here as well, models of equal weights would differ.
    write(context, "text-generation", &format!("{} model", config.family()), config.parameters(), config.vocab_size())
}

/// As [`finish`], of a model that scores.
pub fn finish_scoring(context: &Context, tokenizer: &Path, model: &Transformer) -> Result<(), StageError> {
    take_tokenizer(context, tokenizer)?;
    let config = model.config();
    let parameters = model.plan().variables.iter().map(crate::model::Variable::len).sum();
    let what = format!("{} reward model", config.family());
    write(context, "text-classification", &what, parameters, config.vocab_size())
}

fn take_tokenizer(context: &Context, tokenizer: &Path) -> Result<(), StageError> {
    for name in COMPANIONS {
        let from = tokenizer.join(name);
        if from.exists() {
            let to = context.out.join(name);
            disk::copy(&from, &to).map_err(|error| StageError::File { path: to, error })?;
        }
    }
    Ok(())
}

fn write(context: &Context, task: &str, what: &str, parameters: usize, vocabulary: usize) -> Result<(), StageError> {
    let card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: {task}\ntags:\n- regimen\n---\n\n\
         # A {what} made by Regimen\n\n{parameters} parameters, vocabulary of {vocabulary}.\n",
    );
    let path = context.out.join("README.md");
    disk::save(&path, card).map_err(|error| StageError::File { path, error })
}
