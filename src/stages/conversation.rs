//! Chats and sampled answers as token sequences, with the assistant's tokens to learn.

use std::path::Path;

use serde::Deserialize;

use crate::{
    data::{
        dataset::{self, Dataset},
        rows::{Chat, Finish, Kind, Message, Sample},
        template::Opening,
        tokenizer::Tokenizer,
    },
    stages::{StageError, part::Example},
};

/// Which of the assistant's turns are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    Last,
    All,
}

/// The rows of a data set of chats or samples as sequences. What is not learnt of them is their prompt.
pub fn examples(folder: &Path, tokenizer: &Tokenizer, turns: Turns) -> Result<Vec<Example>, StageError> {
    match Dataset::open(folder)?.summary.kind {
        Kind::Sample => {
            let rows: Vec<Sample> = dataset::read(folder)?;
            rows.iter().map(|row| sample(row, tokenizer)).collect()
        }
        Kind::Chat => {
            let rows: Vec<Chat> = dataset::read(folder)?;
            let numbered = rows.iter().enumerate();
            numbered.map(|(index, row)| chat(row, tokenizer, turns).map_err(|it| it.at(index))).collect()
        }
        other => Err(StageError::Data(format!("expected rows of chats or samples, found {}", other.name()))),
    }
}

/// What is wrong with a chat.
enum Complaint {
    Row(String),
    Other(StageError),
}

impl Complaint {
    fn at(self, index: usize) -> StageError {
        match self {
            Self::Row(text) => StageError::Data(format!("row {}: {text}", index + 1)),
            Self::Other(error) => error,
        }
    }
}

impl<E: Into<StageError>> From<E> for Complaint {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// A sample's prompt is rendered anew, so that the model learns it under its own template.
fn sample(row: &Sample, tokenizer: &Tokenizer) -> Result<Example, StageError> {
    let mut ids = tokenizer.prompt_ids(&row.question)?;
    let from = ids.len();
    ids.extend(tokenizer.encode(&row.completion)?);
    if row.finish == Finish::Stop {
        ids.push(tokenizer.eos());
    }
    let learnt = std::iter::once(from..ids.len()).collect();
    Ok(Example { ids, learnt })
}

fn chat(row: &Chat, tokenizer: &Tokenizer, turns: Turns) -> Result<Example, Complaint> {
    let assistant = |message: &Message| message.role == "assistant";
    if !row.messages.last().is_some_and(assistant) {
        return Err(Complaint::Row("expected the last message to be the assistant's".to_owned()));
    }
    let mut every = (0..row.messages.len()).filter(|at| row.messages.get(*at).is_some_and(assistant));
    let answers: Vec<usize> = match turns {
        Turns::Last => every.next_back().into_iter().collect(),
        Turns::All => every.collect(),
    };
    let mut example = Example::default();
    // What the sequence says so far: the next prompt must begin with it, so that only what is new is added.
    let mut said = String::new();
    for at in answers {
        let (before, rest) = row.messages.split_at(at);
        let Some(answer) = rest.first() else { continue };
        let prompt = tokenizer.render(before, Opening::Answer)?;
        let Some(new) = prompt.strip_prefix(said.as_str()) else {
            let text =
                "the chat template writes earlier turns otherwise than they were answered; learn the `last` turn";
            return Err(Complaint::Row(text.to_owned()));
        };
        example.ids.extend(tokenizer.encode(new)?);
        let from = example.ids.len();
        example.ids.extend(tokenizer.encode(&answer.content)?);
        example.ids.push(tokenizer.eos());
        example.learnt.push(from..example.ids.len());
        said = format!("{prompt}{}{}", answer.content, tokenizer.end());
    }
    Ok(example)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::template;

    /// What is learnt of a chat stands in brackets.
    fn shown(template: &str, turns: Turns) -> String {
        let texts = vec!["<|bos|>hello there<|eos|>".to_owned()];
        let tokenizer = Tokenizer::train(&texts, 265, Some(template)).unwrap();
        let says = [("system", "be brief"), ("user", "2+2"), ("assistant", "4"), ("user", "3+3"), ("assistant", "6")];
        let chat = Chat { messages: says.iter().map(|(role, text)| Message::new(*role, *text)).collect() };
        let example = match chat_of(&chat, &tokenizer, turns) {
            Ok(example) => example,
            Err(error) => return error.to_string(),
        };
        let mut text = String::new();
        for (at, id) in example.ids.iter().enumerate() {
            let starts = example.learnt.iter().any(|it| it.start == at);
            let ends = example.learnt.iter().any(|it| it.end == at + 1);
            let piece = tokenizer.decode(&[*id]).unwrap();
            text.push_str(&format!("{}{piece}{}", if starts { "[" } else { "" }, if ends { "]" } else { "" }));
        }
        text
    }

    fn chat_of(chat: &Chat, tokenizer: &Tokenizer, turns: Turns) -> Result<Example, StageError> {
        super::chat(chat, tokenizer, turns).map_err(|it| it.at(0))
    }

    #[test]
    fn the_last_turn_is_learnt_or_all_of_the_assistants() {
        assert_eq!(
            shown(template::DEFAULT, Turns::Last),
            "<|bos|>be brief<|user|>2+2<|assistant|>4<|eos|><|user|>3+3<|assistant|>[6<|eos|>]"
        );
        assert_eq!(
            shown(template::DEFAULT, Turns::All),
            "<|bos|>be brief<|user|>2+2<|assistant|>[4<|eos|>]<|user|>3+3<|assistant|>[6<|eos|>]"
        );
    }

    #[test]
    fn a_template_that_rewrites_earlier_turns_can_teach_the_last_one_only() {
        let rewrites = "{% for message in messages %}{{ message['content'][:1] }};{% endfor %}";
        assert_eq!(shown(rewrites, Turns::Last), "b;2;4;3;[6<|eos|>]");
        assert_eq!(
            shown(rewrites, Turns::All),
            "row 1: the chat template writes earlier turns otherwise than they were answered; learn the `last` turn"
        );
    }
}
