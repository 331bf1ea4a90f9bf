//! Reading the fields of a JSON object, with errors that name the field.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::model::config::SpecialTokens;
use crate::model::error::ModelError;

/// The fields of `config.json`.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The path of the object inside the file, with a dot at its end.
    prefix: String,
    /// The names that were asked for: what the file says beyond them was not understood.
    asked: RefCell<BTreeSet<String>>,
}

/// Fields that change nothing that is computed here: about files, classes, the library's own outputs, and training elsewhere.
const HARMLESS: [&str; 44] = [
    "architectures",
    "auto_map",
    "aux_loss_alpha",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "custom_generate",
    "decoder_start_token_id",
    "dtype",
    "embd_pdrop",
    "ep_size",
    "finetuning_task",
    "generation_config",
    "gradient_checkpointing",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "max_length",
    "max_new_tokens",
    "mergekit",
    "model_max_length",
    "model_type",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "problem_type",
    "pretraining_tp",
    "resid_pdrop",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "seq_aux",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

impl<'a> Fields<'a> {
    /// The fields of the outermost object.
    pub fn new(value: &'a Value) -> Result<Self, ModelError> {
        let object = value.as_object().ok_or_else(|| ModelError::Config("expected an object".to_owned()))?;
        Ok(Self { object, prefix: String::new(), asked: RefCell::default() })
    }

    /// The fields of an object inside, if it is there and not null.
    pub fn inner(&self, name: &str) -> Result<Option<Self>, ModelError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => {
                let prefix = format!("{}{name}.", self.prefix);
                Ok(Some(Self { object, prefix, asked: RefCell::default() }))
            }
            Some(other) => Err(self.expected(name, "an object", other)),
        }
    }

    /// A whole number that must be there.
    pub fn size(&self, name: &str) -> Result<usize, ModelError> {
        self.optional_size(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number that must be there and must not be zero.
    pub fn positive(&self, name: &str) -> Result<usize, ModelError> {
        match self.size(name)? {
            0 => Err(self.error(name, "expected a number above 0, found 0")),
            size => Ok(size),
        }
    }

    /// A whole number, if it is there and not null.
    pub fn optional_size(&self, name: &str) -> Result<Option<usize>, ModelError> {
        self.get(name)
            .map(|value| {
                let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
                number.ok_or_else(|| self.expected(name, "a whole number", value))
            })
            .transpose()
    }

    /// A number that must be there.
    pub fn number(&self, name: &str) -> Result<f64, ModelError> {
        self.optional_number(name)?.ok_or_else(|| self.missing(name))
    }

    /// A number, if it is there and not null.
    pub fn optional_number(&self, name: &str) -> Result<Option<f64>, ModelError> {
        self.get(name).map(|value| value.as_f64().ok_or_else(|| self.expected(name, "a number", value))).transpose()
    }

    /// True or false, that must be there.
    pub fn flag(&self, name: &str) -> Result<bool, ModelError> {
        self.optional_flag(name)?.ok_or_else(|| self.missing(name))
    }

    /// True or false, if it is there and not null.
    pub fn optional_flag(&self, name: &str) -> Result<Option<bool>, ModelError> {
        self.get(name)
            .map(|value| value.as_bool().ok_or_else(|| self.expected(name, "true or false", value)))
            .transpose()
    }

    /// A text, if it is there and not null.
    pub fn optional_text(&self, name: &str) -> Result<Option<String>, ModelError> {
        self.get(name)
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| self.expected(name, "a text", value)))
            .transpose()
    }

    /// A list of whole numbers; an absent one is empty.
    pub fn sizes(&self, name: &str) -> Result<Vec<usize>, ModelError> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let size = |item: &Value| item.as_u64().and_then(|number| usize::try_from(number).ok());
        let sizes = value.as_array().and_then(|items| items.iter().map(size).collect());
        sizes.ok_or_else(|| self.expected(name, "a list of whole numbers", value))
    }

    /// Refuses a list that holds anything but one text.
    pub fn only_items(&self, name: &str, allowed: &str) -> Result<(), ModelError> {
        let Some(value) = self.get(name) else { return Ok(()) };
        let Some(items) = value.as_array() else { return Err(self.expected(name, "a list", value)) };
        match items.iter().find(|item| item.as_str() != Some(allowed)) {
            None => Ok(()),
            Some(other) => Err(self.error(name, &format!("expected `{allowed}`, found `{}`", plain(other)))),
        }
    }

    /// The first text of a list of texts, if it is there.
    pub fn first_text(&self, name: &str) -> Result<Option<String>, ModelError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(items.first().and_then(Value::as_str).map(str::to_owned)),
            Some(other) => Err(self.expected(name, "a list of texts", other)),
        }
    }

    /// Refuses a field whose value would change what the model computes.
    pub fn only(&self, name: &str, allowed: &[Value]) -> Result<(), ModelError> {
        match self.get(name) {
            Some(value) if !allowed.iter().any(|it| same(it, value)) => {
                let allowed: Vec<String> = allowed.iter().map(|it| format!("`{}`", plain(it))).collect();
                let allowed = if allowed.is_empty() { "no such field".to_owned() } else { allowed.join(" or ") };
                Err(self.error(name, &format!("expected {allowed}, found `{}`", plain(value))))
            }
            _ => Ok(()),
        }
    }

    /// The special tokens; `eos_token_id` may be one token or a list.
    pub fn special_tokens(&self) -> Result<SpecialTokens, ModelError> {
        let eos = match self.get("eos_token_id") {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().map(|item| self.token("eos_token_id", item)).collect::<Result<_, _>>()?
            }
            Some(value) => vec![self.token("eos_token_id", value)?],
        };
        let one = |name: &str| self.get(name).map(|value| self.token(name, value)).transpose();
        Ok(SpecialTokens { bos: one("bos_token_id")?, eos, pad: one("pad_token_id")? })
    }

    /// An error about a field.
    pub fn error(&self, name: &str, text: &str) -> ModelError {
        ModelError::Config(format!("field `{}{name}`: {text}", self.prefix))
    }

    /// Refuses what the file says beyond the fields that were asked for: it may change what the model computes.
    ///
    /// Null and false say that something is not there, and names that begin with an underscore are the library's own.
    pub fn finish(&self) -> Result<(), ModelError> {
        let asked = self.asked.borrow();
        let unknown = self.object.iter().find(|(name, value)| {
            let silent = value.is_null() || *value == &Value::Bool(false) || name.starts_with('_');
            !silent && !asked.contains(name.as_str()) && !HARMLESS.contains(&name.as_str())
        });
        match unknown {
            None => Ok(()),
            Some((name, value)) => {
                let text = format!(
                    "expected a field that this program knows, found `{}`; take it out if it changes no result",
                    plain(value)
                );
                Err(self.error(name, &text))
            }
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn token(&self, name: &str, value: &Value) -> Result<u32, ModelError> {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.expected(name, "a token", value))
    }

    fn missing(&self, name: &str) -> ModelError {
        ModelError::Config(format!("missing field `{}{name}`", self.prefix))
    }

    fn expected(&self, name: &str, what: &str, found: &Value) -> ModelError {
        self.error(name, &format!("expected {what}, found `{}`", plain(found)))
    }
}

/// Equal, where 1 and 1.0 are the same number.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}
