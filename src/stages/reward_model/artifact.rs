//! A reward model as other stages use it: the model, its tokenizer, and which part of an answer it scores.

use std::{borrow::Cow, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    base::{device::Device, disk},
    data::{rows::Sample, tokenizer::Tokenizer},
    model::{Packed, Transformer},
    stages::{
        StageError,
        part::{Part, Sequence, scored_parts},
    },
};

/// What a reward model scores of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// What stands after the thinking, as R1's model of helpfulness does.
    Answer,
    /// All of it, the thinking included, as R1's model of safety does.
    Whole,
}

/// A model that gives an answer to a question one number, the higher the better.
pub struct RewardModel {
    model: Transformer,
    tokenizer: Tokenizer,
    scope: Scope,
}

/// What `reward_model.json` says beside the model: what transformers has no word for.
#[derive(Serialize, Deserialize)]
struct About {
    scores: Scope,
}

const ABOUT: &str = "reward_model.json";

impl RewardModel {
    /// Opens the folder of one, which computes on a device.
    pub fn load(folder: &Path, device: Device) -> Result<Self, StageError> {
        let model = Transformer::load_scoring(folder)?.on(device)?;
        Ok(Self { model, tokenizer: Tokenizer::load(folder)?, scope: scope(folder)?.unwrap_or(Scope::Whole) })
    }

    /// The scores of samples.
    pub fn scores(&self, samples: &[&Sample]) -> Result<Vec<f64>, StageError> {
        let tokens = |sample: &&Sample| {
            // Where the prompt opens the thinking, only with its tag back can one see that it has no end.
            let part = match self.scope {
                Scope::Answer => self.scope.of(&sample.text()).into_owned(),
                Scope::Whole => sample.completion.clone(),
            };
            sequence(&self.tokenizer, Scope::Whole, &sample.question, &part)
        };
        let sequences = samples.iter().map(tokens).collect::<Result<Vec<_>, _>>()?;
        let longest = sequences.iter().map(|it| it.ids.len()).max().unwrap_or_default();
        let most = self.model.config().max_positions();
        if longest > most {
            let message =
                format!("expected answers of at most {most} tokens with their prompts, found one of {longest}");
            return Err(StageError::Data(message));
        }
        scores(&self.model, &sequences)
    }
}

/// The scores of sequences, each read at its last token. They do not depend on what they are scored together with.
pub fn scores(model: &Transformer, sequences: &[Sequence]) -> Result<Vec<f64>, StageError> {
    let mut scores = vec![0.0; sequences.len()];
    let groups: Vec<Vec<Sequence>> = sequences.iter().map(|it| vec![it.clone()]).collect();
    for Part { packed, rows, sequences, .. } in scored_parts(&groups) {
        let found = of_part(model, &packed, &rows)?;
        for ((at, _), score) in sequences.iter().zip(found) {
            scores.get_mut(*at).into_iter().for_each(|it| *it = f64::from(score));
        }
    }
    Ok(scores)
}

fn of_part(model: &Transformer, packed: &Packed, rows: &[u32]) -> Result<Vec<f32>, StageError> {
    let found = model.scores(packed, rows)?.scores.to_vec1::<f32>();
    Ok(found.map_err(crate::model::ModelError::from)?)
}

/// A question and what is scored of its answer as tokens, closed by the end token: there the score is read.
pub fn sequence(tokenizer: &Tokenizer, scope: Scope, question: &str, answer: &str) -> Result<Sequence, StageError> {
    let mut ids = tokenizer.prompt_ids(question)?;
    let from = ids.len();
    ids.extend(tokenizer.encode(&scope.of(answer))?);
    ids.push(tokenizer.eos());
    Ok(Sequence { ids, from })
}

/// What the folder of a reward model says that it scores, where it says so.
pub fn scope(folder: &Path) -> Result<Option<Scope>, StageError> {
    let path = folder.join(ABOUT);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(|error| StageError::File { path: path.clone(), error })?;
    let about: About =
        serde_json::from_slice(&text).map_err(|error| StageError::Data(format!("`{}`: {error}", path.display())))?;
    Ok(Some(about.scores))
}

/// Writes down in the folder of a reward model what it scores.
pub fn write_scope(folder: &Path, scores: Scope) -> Result<(), StageError> {
    let path = folder.join(ABOUT);
    let text = serde_json::to_string(&About { scores }).map_err(|error| StageError::Data(error.to_string()))?;
    disk::save(&path, text + "\n").map_err(|error| StageError::File { path, error })
}

impl Scope {
    /// The part of an answer that is scored. Where the thinking has no end there is nothing after it.
    #[must_use]
    pub fn of(self, answer: &str) -> Cow<'_, str> {
        if self == Self::Whole {
            return Cow::Borrowed(answer);
        }
        let after = match answer.rsplit_once("</think>") {
            Some((_, after)) => after,
            None if answer.trim_start().starts_with("<think>") => "",
            None => answer,
        };
        let after = after.trim();
        let inside = after.strip_prefix("<answer>").map(|it| it.strip_suffix("</answer>").unwrap_or(it));
        Cow::Borrowed(inside.unwrap_or(after).trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_what_stands_after_the_thinking() {
        for (answer, part) in [
            ("<think>1 + 1 = 2</think><answer>2</answer>", "2"),
            ("1 + 1 = 2</think>\n\nIt is 2.\n", "It is 2."),
            ("<think>1 + 1", ""),
            ("<answer>2", "2"),
            ("2", "2"),
            ("<think>a</think>b</think> c", "c"),
        ] {
            assert_eq!(Scope::Answer.of(answer), part, "{answer}");
            assert_eq!(Scope::Whole.of(answer), answer);
        }
    }
}
