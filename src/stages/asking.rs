//! How a model is asked and how it answers: the arguments that `sample`, `reject` and `eval` share.

use std::path::Path;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    base::units::Amount,
    data::{
        dataset::{self, Dataset},
        rows::{Chat, Kind, Message, Problem, Sample},
    },
    stages::{Context, StageError, context::shared_arguments},
};

/// The names of the shared arguments.
pub const SHARED: [&str; 12] = [
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "max_length",
    "stop",
    "prefix",
    "instruction",
    "prompt",
    "shots",
    "seed",
];

/// The arguments that [`SHARED`] names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asking {
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: Option<usize>,
    pub min_p: f64,
    pub repetition_penalty: f64,
    /// The longest answer, the prefix included.
    pub max_length: Amount,
    /// Texts that end an answer; the one that did stays a part of it.
    pub stop: Option<Vec<String>>,
    /// What every answer begins with.
    pub prefix: Option<String>,
    /// The system's turn.
    pub instruction: Option<String>,
    /// The person's turn, with `{question}` where the question goes.
    pub prompt: Option<String>,
    /// How many of the examples are shown.
    pub shots: Option<usize>,
    pub seed: u64,
}

/// Where the question goes in a prompt.
const PLACE: &str = "{question}";

/// What a model is told beside the question, and what its answer begins with.
#[derive(Clone, Debug, Default)]
pub struct Form {
    instruction: Option<String>,
    prompt: Option<String>,
    /// Conversations that show how to answer, each with the question it is about.
    examples: Vec<(String, Vec<Message>)>,
    pub prefix: String,
}

/// The shared arguments and a stage's own, the shared ones checked as far as nothing needs to be read for it.
pub fn read<T: DeserializeOwned>(arguments: &Value) -> Result<(Asking, T), StageError> {
    let (asking, own): (Asking, T) = shared_arguments(arguments, &SHARED)?;
    asking.check()?;
    Ok((asking, own))
}

impl Asking {
    fn check(&self) -> Result<(), StageError> {
        if let Some(prompt) = self.prompt.as_ref().filter(|it| !it.contains(PLACE)) {
            return Err(StageError::Arguments(format!("expected `{PLACE}` in `prompt`, found {prompt:?}")));
        }
        if self.stop.iter().flatten().any(String::is_empty) {
            return Err(StageError::Arguments("expected texts in `stop`, found an empty one".to_owned()));
        }
        Ok(())
    }

    /// The form of the prompts, with the examples of the port `examples`.
    pub fn form(&self, context: &Context) -> Result<Form, StageError> {
        self.check()?;
        let mut form = Form {
            instruction: self.instruction.clone(),
            prompt: self.prompt.clone(),
            examples: Vec::new(),
            prefix: self.prefix.clone().unwrap_or_default(),
        };
        let Some(folder) = context.optional_input("examples") else { return Ok(form) };
        let mut examples = form.examples_of(folder)?;
        let shots = self.shots.unwrap_or(examples.len());
        if examples.len() < shots {
            let message = format!("expected {shots} examples as `shots` says, found {}", examples.len());
            return Err(StageError::Data(message));
        }
        examples.truncate(shots);
        form.examples = examples;
        Ok(form)
    }
}

impl Form {
    /// The conversation that ends with a question. An example about that very question is left out, as it would give the
    /// answer away.
    #[must_use]
    pub fn messages(&self, question: &str) -> Vec<Message> {
        let system = self.instruction.iter().map(|it| Message::new("system", it));
        let shown = self.examples.iter().filter(|(about, _)| about != question).flat_map(|(_, turns)| turns.clone());
        system.chain(shown).chain([Message::new("user", self.asked(question))]).collect()
    }

    /// The person's turn.
    fn asked(&self, question: &str) -> String {
        self.prompt.as_ref().map_or_else(|| question.to_owned(), |prompt| prompt.replace(PLACE, question))
    }

    fn examples_of(&self, folder: &Path) -> Result<Vec<(String, Vec<Message>)>, StageError> {
        let turns = |question: &str, answer: String| {
            let turns = vec![Message::new("user", self.asked(question)), Message::new("assistant", answer)];
            (question.to_owned(), turns)
        };
        match Dataset::open(folder)?.summary.kind {
            Kind::Chat => dataset::read::<Chat>(folder)?.into_iter().enumerate().map(chat).collect(),
            Kind::Sample => {
                let rows = dataset::read::<Sample>(folder)?;
                Ok(rows.iter().map(|it| turns(&it.question, it.text().into_owned())).collect())
            }
            Kind::Problem => {
                let rows = dataset::read::<Problem>(folder)?;
                Ok(rows.iter().map(|it| turns(&it.question, it.worked().unwrap_or_else(|| it.bare()))).collect())
            }
            other => {
                Err(StageError::Data(format!("expected examples to be chats, samples or problems, found `{other}`")))
            }
        }
    }
}

/// A conversation as an example; it is about what the person says last.
fn chat((index, chat): (usize, Chat)) -> Result<(String, Vec<Message>), StageError> {
    if chat.messages.last().is_none_or(|it| it.role != "assistant") {
        let message = format!("example {}: expected the last message to be the assistant's", index + 1);
        return Err(StageError::Data(message));
    }
    let about = chat.messages.iter().rev().find(|it| it.role == "user").map(|it| it.content.clone());
    Ok((about.unwrap_or_default(), chat.messages))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_puts_instruction_examples_and_question_in_this_order() {
        let form = Form {
            instruction: Some("Check each step.".to_owned()),
            prompt: Some("Q: {question}\nThink.".to_owned()),
            examples: vec![
                ("1+1=?".to_owned(), vec![Message::new("user", "1+1=?"), Message::new("assistant", "2")]),
                ("2+2=?".to_owned(), vec![Message::new("user", "2+2=?"), Message::new("assistant", "4")]),
            ],
            prefix: String::new(),
        };
        let told = |question: &str| -> Vec<String> {
            form.messages(question).iter().map(|it| format!("{}: {}", it.role, it.content)).collect()
        };
        let expected = [
            "system: Check each step.",
            "user: 1+1=?",
            "assistant: 2",
            "user: 2+2=?",
            "assistant: 4",
            "user: Q: 3\nThink.",
        ];
        assert_eq!(told("3"), expected);
        assert_eq!(told("2+2=?")[1..], ["user: 1+1=?", "assistant: 2", "user: Q: 2+2=?\nThink."]);
        assert_eq!(Form::default().messages("3"), [Message::new("user", "3")]);
    }
}
