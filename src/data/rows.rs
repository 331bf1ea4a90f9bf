//! The rows of data sets, one type per kind.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::base::digest::Digest;

/// What the rows of a data set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Text,
    Problem,
    Chat,
    Sample,
    Pair,
    Label,
}

impl Kind {
    /// The name in the language, as in `Dataset<problem>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Problem => "problem",
            Self::Chat => "chat",
            Self::Sample => "sample",
            Self::Pair => "pair",
            Self::Label => "label",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A type whose values are rows of one kind.
pub trait Row: Serialize + DeserializeOwned {
    const KIND: Kind;
}

/// Text to learn from as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    pub text: String,
}

/// A question whose answer can be verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub question: String,
    pub answer: String,
    /// The worked chain of thought, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
    /// Where it comes from, such as the name of a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How hard it is, by whatever measure its source has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    pub messages: Vec<Message>,
}

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}

/// A model's answer to a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub question: String,
    pub answer: String,
    /// The question as the model read it, rendered by the chat template.
    pub prompt: String,
    pub completion: String,
    /// The length of the completion in tokens.
    pub tokens: usize,
    pub finish: Finish,
    #[serde(flatten)]
    pub lineage: Lineage,
}

/// Where a sample comes from, so that it can be drawn again. Rows from elsewhere may lack some of it, or all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// The source of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The level of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The model that drew it: the digest of its content, or the name that another program gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The content of the prompt, by which the samples of one prompt are found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which of the seed's rows of random numbers it was drawn with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<u64>,
    /// The content of the row that it puts in other words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Digest>,
    /// What it is worth, by scoring function.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rewards: BTreeMap<String, f64>,
}

/// Why a completion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model ended it.
    Stop,
    /// It reached the longest length allowed.
    Length,
}

/// Two answers to one prompt, of which a person prefers one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// What was asked, as a person asks it: the chat template is put around it later.
    pub prompt: String,
    pub chosen: String,
    pub rejected: String,
    /// By how much the one is preferred, where somebody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
}

/// An answer that is good, or is not: safe or unsafe, liked or disliked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What was asked, as a person asks it.
    pub prompt: String,
    pub completion: String,
    pub label: bool,
}

impl Row for Text {
    const KIND: Kind = Kind::Text;
}

impl Row for Problem {
    const KIND: Kind = Kind::Problem;
}

impl Row for Chat {
    const KIND: Kind = Kind::Chat;
}

impl Row for Sample {
    const KIND: Kind = Kind::Sample;
}

impl Row for Pair {
    const KIND: Kind = Kind::Pair;
}

impl Row for Label {
    const KIND: Kind = Kind::Label;
}

impl Problem {
    /// The completion that gives the answer and nothing else.
    #[must_use]
    pub fn bare(&self) -> String {
        format!("<answer>{}</answer>", self.answer)
    }

    /// The completion that works the answer out first, where the problem has a solution.
    #[must_use]
    pub fn worked(&self) -> Option<String> {
        let solution = self.solution.as_ref()?;
        Some(format!("<think>{solution}</think>{}", self.bare()))
    }
}

impl Message {
    #[must_use]
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

impl Sample {
    /// The completion, with the opening tag put back where the prompt has already written it.
    ///
    /// The template of the R1 distillations ends in `<think>`, so that their completions start inside the thought.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        if self.prompt.trim_end().ends_with("<think>") {
            Cow::Owned(format!("<think>{}", self.completion))
        } else {
            Cow::Borrowed(&self.completion)
        }
    }

    /// The sample as a conversation of one question and one answer.
    #[must_use]
    pub fn into_chat(self) -> Chat {
        let answer = self.text().into_owned();
        Chat { messages: vec![Message::new("user", self.question), Message::new("assistant", answer)] }
    }
}
