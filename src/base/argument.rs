//! An argument of a step, as stages and keys see it.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use super::named::Named;

/// A value that many steps share: what a default says is said once, however many steps leave it at that.
#[derive(Clone)]
pub struct Argument(Arc<Inner>);

struct Inner {
    value: Value,
    /// The value as its key holds it, once that was asked for; of values with members only.
    text: OnceLock<Box<str>>,
}

impl Argument {
    /// A value whose canonical text is known.
    #[must_use]
    pub fn with_text(value: Value, text: &str) -> Self {
        Self(Arc::new(Inner { value, text: OnceLock::from(Box::from(text)) }))
    }

    /// Hands over the value as text, with the members of every object in the order of their names.
    pub fn canonical<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        if self.0.value.is_object() || self.0.value.is_array() {
            read(self.0.text.get_or_init(|| canonical(&self.0.value).to_string().into()))
        } else {
            read(&self.0.value.to_string())
        }
    }
}

/// The arguments of a step as one object.
#[must_use]
pub fn object(arguments: &Named<Argument>) -> Value {
    arguments.iter().map(|(name, it)| (name.to_string(), Value::clone(it))).collect::<serde_json::Map<_, _>>().into()
}

/// The same value with the members of every object in the order of their names.
#[must_use]
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            sorted.into_iter().map(|(name, it)| (name.clone(), canonical(it))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Array(elements) => elements.iter().map(canonical).collect(),
        other => other.clone(),
    }
}

impl<T: Into<Value>> From<T> for Argument {
    fn from(value: T) -> Self {
        Self(Arc::new(Inner { value: value.into(), text: OnceLock::new() }))
    }
}

impl Deref for Argument {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0.value
    }
}

impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

impl fmt::Debug for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}
