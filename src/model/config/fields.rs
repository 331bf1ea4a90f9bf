//! Reading the fields of a JSON object, with errors that name the field.

use serde_json::{Map, Value};

use crate::model::config::SpecialTokens;
use crate::model::error::ModelError;

/// The fields of `config.json`.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    /// The path of the object inside the file, with a dot at its end.
    prefix: String,
}

impl<'a> Fields<'a> {
    /// The fields of the outermost object.
    pub fn new(value: &'a Value) -> Result<Self, ModelError> {
        let object = value.as_object().ok_or_else(|| ModelError::Config("expected an object".to_owned()))?;
        Ok(Self { object, prefix: String::new() })
    }

    /// The fields of an object inside, if it is there and not null.
    pub fn inner(&self, name: &str) -> Result<Option<Self>, ModelError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { object, prefix: format!("{}{name}.", self.prefix) })),
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

    fn get(&self, name: &str) -> Option<&'a Value> {
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
