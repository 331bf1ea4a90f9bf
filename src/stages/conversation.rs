//! Chats and sampled answers as token sequences, with the assistant's tokens to learn.

use std::path::Path;

use crate::{
    data::{
        dataset::{self, Dataset},
        rows::{Chat, Finish, Kind, Sample},
        template::Opening,
        tokenizer::Tokenizer,
    },
    stages::{StageError, part::Sequence},
};

/// The rows of a data set of chats or samples as sequences. Of a chat the last turn is learnt, the rest is its prompt.
pub fn sequences(folder: &Path, tokenizer: &Tokenizer) -> Result<Vec<Sequence>, StageError> {
    match Dataset::open(folder)?.summary.kind {
        Kind::Sample => {
            let rows: Vec<Sample> = dataset::read(folder)?;
            rows.iter().map(|row| sample(row, tokenizer)).collect()
        }
        Kind::Chat => {
            let rows: Vec<Chat> = dataset::read(folder)?;
            rows.iter().enumerate().map(|(index, row)| chat(index, row, tokenizer)).collect()
        }
        other => Err(StageError::Data(format!("expected rows of chats or samples, found {}", other.name()))),
    }
}

/// A sample's prompt is rendered anew, so that the model learns it under its own template.
fn sample(row: &Sample, tokenizer: &Tokenizer) -> Result<Sequence, StageError> {
    let mut ids = tokenizer.prompt_ids(&row.question)?;
    let from = ids.len();
    ids.extend(tokenizer.encode(&row.completion)?);
    if row.finish == Finish::Stop {
        ids.push(tokenizer.eos());
    }
    Ok(Sequence { ids, from })
}

fn chat(index: usize, row: &Chat, tokenizer: &Tokenizer) -> Result<Sequence, StageError> {
    let Some((last, before)) = row.messages.split_last().filter(|(last, _)| last.role == "assistant") else {
        return Err(StageError::Data(format!("row {}: expected the last message to be the assistant's", index + 1)));
    };
    let mut ids = tokenizer.encode(&tokenizer.render(before, Opening::Answer)?)?;
    let from = ids.len();
    ids.extend(tokenizer.encode(&last.content)?);
    ids.push(tokenizer.eos());
    Ok(Sequence { ids, from })
}
