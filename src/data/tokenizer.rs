//! A tokenizer with its special tokens and its chat template: a folder of `tokenizer.json` and `tokenizer_config.json`.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    base::disk,
    data::{
        DataError, bpe,
        rows::Message,
        template::{self, Opening, Template},
    },
};

const TOKENIZER: &str = "tokenizer.json";
const CONFIG: &str = "tokenizer_config.json";

/// End tokens by the names they have where no configuration names one.
const USUAL_ENDS: [&str; 5] = ["<|eos|>", "<|endoftext|>", "</s>", "<|im_end|>", "<｜end▁of▁sentence｜>"];

/// Text to tokens and back.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The text of `tokenizer.json`, kept so that saving gives the very bytes that were loaded.
    text: String,
    config: Value,
    template: Option<Template>,
    bos: Option<Special>,
    eos: Special,
    vocabulary: usize,
}

struct Special {
    text: String,
    id: u32,
}

impl Tokenizer {
    /// Loads the tokenizer of a folder, which may be a model's.
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(CONFIG);
        Self::load_files(&folder.join(TOKENIZER), if path.is_file() { Some(&path) } else { None }, None)
    }

    /// Loads a `tokenizer.json`, the configuration that belongs to it, and a chat template in place of the one there.
    pub fn load_files(path: &Path, config: Option<&Path>, template: Option<&str>) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::file(path))?;
        let inner = tokenizers::Tokenizer::from_bytes(&text)
            .map_err(|error| DataError::content(path, format!("expected a tokenizer: {error}")))?;
        let mut settings = match config {
            Some(path) => read_config(path)?,
            None => json!({ "tokenizer_class": "PreTrainedTokenizerFast" }),
        };
        // Newer releases of transformers keep the template in a file of its own.
        let beside = path.with_file_name("chat_template.jinja");
        if let Some(template) = template {
            set(&mut settings, "chat_template", json!(template));
        } else if settings.get("chat_template").is_none() && beside.is_file() {
            set(&mut settings, "chat_template", json!(fs::read_to_string(&beside).map_err(DataError::file(&beside))?));
        }
        Self::new(inner, text, settings)
    }

    /// Trains a tokenizer on texts; see [`bpe::train`].
    pub fn train(texts: &[String], vocabulary: usize, template: Option<&str>) -> Result<Self, DataError> {
        let inner = bpe::train(texts, vocabulary)?;
        let text = inner.to_string(false).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        let config = json!({
            "add_bos_token": false,
            "add_eos_token": false,
            "bos_token": bpe::BOS,
            "eos_token": bpe::EOS,
            "pad_token": bpe::PAD,
            "additional_special_tokens": [bpe::USER, bpe::ASSISTANT],
            "clean_up_tokenization_spaces": false,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": template.unwrap_or(template::DEFAULT),
        });
        Self::new(inner, text, config)
    }

    fn new(mut inner: tokenizers::Tokenizer, text: String, config: Value) -> Result<Self, DataError> {
        // Cutting and padding are for batches in Python; here they would drop tokens in silence.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        let special = |name: &str| -> Result<Option<Special>, DataError> {
            let Some(text) = token_text(&config, name) else { return Ok(None) };
            let id = inner.token_to_id(text).ok_or_else(|| {
                DataError::Tokenizer(format!("`{name}` is `{text}` in {CONFIG}, but {TOKENIZER} has no such token"))
            })?;
            Ok(Some(Special { text: text.to_owned(), id }))
        };
        let usual = || {
            USUAL_ENDS.iter().find_map(|text| Some(Special { text: (*text).to_owned(), id: inner.token_to_id(text)? }))
        };
        let eos = special("eos_token")?.or_else(usual).ok_or_else(|| {
            DataError::Tokenizer(format!("expected an end token, found none; name it as `eos_token` in {CONFIG}"))
        })?;
        let bos = special("bos_token")?;
        // Named in the file and not in the tokenizer is a mistake, although nothing here pads.
        special("pad_token")?;
        let template = template_text(&config).map(Template::new).transpose()?;
        let vocabulary = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { inner, text, config, template, bos, eos, vocabulary })
    }

    /// Writes the two files; the folder must exist.
    pub fn save(&self, folder: &Path) -> Result<(), DataError> {
        let path = folder.join(TOKENIZER);
        disk::save(&path, &self.text).map_err(DataError::file(&path))?;
        let path = folder.join(CONFIG);
        let config =
            serde_json::to_string_pretty(&self.config).map_err(|error| DataError::content(&path, error.to_string()))?;
        disk::save(&path, config + "\n").map_err(DataError::file(&path))
    }

    /// How many rows an embedding needs: one more than the largest id.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.bos.as_ref().map(|it| it.id)
    }

    #[must_use]
    pub fn eos(&self) -> u32 {
        self.eos.id
    }

    /// The token that fills up a batch, where one is named; nothing here pads.
    #[must_use]
    pub fn pad(&self) -> Option<u32> {
        self.id_of(token_text(&self.config, "pad_token")?)
    }

    /// The text of the token that ends an answer.
    #[must_use]
    pub fn end(&self) -> &str {
        &self.eos.text
    }

    /// The id of a token by its text.
    #[must_use]
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The tokens of a text. Special tokens spelt out in it become their ids; none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let encoding = self.inner.encode_fast(text, false).map_err(|error| DataError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokens of a whole document: begun by the start token, where there is one, and closed by the end token.
    pub fn document(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut ids = self.encode(text)?;
        if let Some(bos) = self.bos().filter(|bos| ids.first() != Some(bos)) {
            ids.insert(0, bos);
        }
        if ids.last() != Some(&self.eos()) {
            ids.push(self.eos());
        }
        Ok(ids)
    }

    /// The text of tokens, special ones spelt out.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.inner.decode(ids, false).map_err(|error| DataError::Tokenizer(error.to_string()))
    }

    /// The text of a completion, without the end token that closes it.
    pub fn completion(&self, ids: &[u32]) -> Result<String, DataError> {
        self.decode(ids.strip_suffix(&[self.eos()]).unwrap_or(ids))
    }

    /// A conversation as text.
    pub fn render(&self, messages: &[Message], opening: Opening) -> Result<String, DataError> {
        let bos = self.bos.as_ref().map_or("", |it| &it.text);
        self.template()?.render(messages, bos, &self.eos.text, opening)
    }

    /// What the model reads for a question, up to where its answer begins.
    pub fn prompt(&self, question: &str) -> Result<String, DataError> {
        self.render(&[Message::new("user", question)], Opening::Answer)
    }

    /// The tokens of [`Tokenizer::prompt`].
    pub fn prompt_ids(&self, question: &str) -> Result<Vec<u32>, DataError> {
        self.encode(&self.prompt(question)?)
    }

    /// A question and its answer as a document: what follows a prompt, closed by the end token.
    pub fn answered(&self, question: &str, completion: &str) -> Result<String, DataError> {
        Ok(format!("{}{completion}{}", self.prompt(question)?, self.eos.text))
    }

    fn template(&self) -> Result<&Template, DataError> {
        self.template.as_ref().ok_or_else(|| {
            DataError::Tokenizer("expected a chat template, found none; give one as `template`".to_owned())
        })
    }
}

fn read_config(path: &Path) -> Result<Value, DataError> {
    let text = fs::read_to_string(path).map_err(DataError::file(path))?;
    let config: Value = serde_json::from_str(&text)
        .map_err(|error| DataError::content(path, format!("expected a tokenizer's configuration: {error}")))?;
    if !config.is_object() {
        return Err(DataError::content(path, "expected a tokenizer's configuration, found no object"));
    }
    Ok(config)
}

fn set(config: &mut Value, name: &str, value: Value) {
    if let Some(object) = config.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// A special token, which is written as its text or as an object that holds it.
fn token_text<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    let token = config.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The template, which is one text or a list of named ones.
fn template_text(config: &Value) -> Option<&str> {
    let template = config.get("chat_template")?;
    let named = |name: &str| {
        template
            .as_array()?
            .iter()
            .find(|it| it.get("name").and_then(Value::as_str) == Some(name))?
            .get("template")?
            .as_str()
    };
    template.as_str().or_else(|| named("default"))
}
