//! The token at which answers stop: the tokenizer must have one, and the model must be one that writes it.

use super::known;
use crate::{
    base::diagnostic::Diagnostic,
    data::{DataError, tokenizer::Tokenizer},
    model::Config,
    plan::{Plan, Step},
};

/// What would keep the answers that a step draws from stopping before their longest length.
pub fn check(plan: &Plan, step: &Step) -> Option<Diagnostic> {
    let source = known::origin(plan, step)?;
    let place = ["dir", "file"].iter().find_map(|it| source.argument_spans.get(it)).copied().unwrap_or(source.span);
    let complaint = match known::tokenizer(source)? {
        // A file that is not there is told of where files are digested.
        Err(DataError::File { .. }) => return None,
        Err(error) => Diagnostic::error(place, error.to_string()),
        Ok(tokenizer) => {
            let config = Config::read(source.files.get("dir")?).ok()?;
            let (end, id) = (tokenizer.end(), tokenizer.eos());
            if id as usize >= config.vocab_size() {
                let message =
                    format!("the end token `{end}` is {id}, and the model knows {} tokens", config.vocab_size());
                Diagnostic::error(place, message).hint("take the tokenizer that belongs to the model")
            } else {
                let written = written(&config, &tokenizer).filter(|_| asks(plan, step, source))?;
                let message =
                    format!("answers would not stop: the model ends them with {written}, the tokenizer with `{end}`");
                Diagnostic::error(place, message).hint(
                    "let `eos_token` in tokenizer_config.json name the token that `eos_token_id` in config.json does",
                )
            }
        }
    };
    Some(complaint.label(step.span, "this step draws answers"))
}

/// The tokens with which a model ends its texts, where its configuration names some and the tokenizer's is not among them.
fn written(config: &Config, tokenizer: &Tokenizer) -> Option<String> {
    let ends = &config.special_tokens().eos;
    if ends.is_empty() || ends.contains(&tokenizer.eos()) {
        return None;
    }
    let spelled =
        ends.iter().map(|id| tokenizer.decode(&[*id]).map_or_else(|_| id.to_string(), |it| format!("`{it}`")));
    Some(spelled.collect::<Vec<_>>().join(" or "))
}

/// Whether a step asks the very model that was loaded, as one that was trained since has learnt the tokenizer's end, and
/// has no other text to stop at.
fn asks(plan: &Plan, step: &Step, source: &Step) -> bool {
    let direct = step.inputs.get("model").and_then(|it| it.first()).and_then(|it| plan.step(*it));
    let stops = step.arguments.get("stop").and_then(|it| it.as_array()).is_some_and(|it| !it.is_empty());
    direct.is_some_and(|it| it.id == source.id) && !stops
}
