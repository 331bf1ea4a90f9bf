//! What many steps are called with, worked out once: the defaults of the library, and amounts and lists that recur.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Number, Value as Json};

use crate::{
    base::{argument::Argument, span::Span},
    lang::{types::Type, values::Value},
};

/// Values that are kept to be shared.
#[derive(Default)]
pub(super) struct Constants {
    /// The value of each default that was used, by its place.
    defaults: BTreeMap<Span, (Value, Argument)>,
    /// Arguments by what their keys say of them.
    written: BTreeMap<String, Argument>,
    /// The text of the argument that is looked for.
    text: String,
}

impl Constants {
    /// The value of the default that stands in this place, where it was worked out before.
    pub fn known(&self, place: Span) -> Option<&Value> {
        self.defaults.get(&place).map(|(value, _)| value)
    }

    /// Keeps the value of a default. Steps are made anew each time, so what holds one is not kept.
    pub fn keep(&mut self, place: Span, value: &Value) {
        if is_plain(value) {
            self.defaults.insert(place, (value.clone(), value.to_json().into()));
        }
    }

    /// A value as a step holds it.
    pub fn argument(&mut self, place: Span, value: &Value) -> Argument {
        if let Some((_, argument)) = self.defaults.get(&place).filter(|(it, _)| it == value) {
            return argument.clone();
        }
        if !matches!(value, Value::Amount(_) | Value::List(_)) {
            return value.to_json().into();
        }
        self.text.clear();
        if write(value, &mut self.text).is_none() {
            return value.to_json().into();
        }
        if let Some(argument) = self.written.get(&self.text) {
            return argument.clone();
        }
        let argument = Argument::with_text(value.to_json(), &self.text);
        self.written.insert(self.text.clone(), argument.clone());
        argument
    }
}

/// Whether a value has no step in it, however it is made.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Amount(_) => true,
        Value::List(elements) => elements.iter().all(|it| is_plain(&it.value)),
        Value::Schedule(schedule) => {
            let mut plain = true;
            super::coerce::each(schedule, &mut |it| plain &= is_plain(it));
            plain
        }
        _ => false,
    }
}

/// The canonical text of an amount, or of a list of amounts, numbers and the like.
fn write(value: &Value, text: &mut String) -> Option<()> {
    match value {
        Value::Amount(amount) => {
            // Members stand in the order of their names.
            let number = Number::from_f64(amount.value)?;
            write!(text, "{{\"unit\":\"{}\",\"value\":{number}}}", amount.unit.name()).ok()
        }
        Value::List(elements) => {
            text.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(&element.value, text)?;
            }
            text.push(']');
            Some(())
        }
        Value::Bool(it) => write!(text, "{it}").ok(),
        Value::Int(it) => write!(text, "{it}").ok(),
        Value::Float(it) => write!(text, "{}", Number::from_f64(*it)?).ok(),
        Value::Text(it) => write!(text, "{}", Json::from(it.as_str())).ok(),
        _ => None,
    }
}

/// Whether the default of a parameter of this type is worth keeping: one that is an artifact makes a step.
pub(super) fn is_kept(ty: &Type) -> bool {
    !ty.is_artifact() && !ty.is_path()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{
            argument::canonical,
            units::{Amount, Unit},
        },
        lang::values::Element,
    };

    #[test]
    fn what_is_written_is_what_the_key_holds() {
        let of = |value: Value| Element { key: String::new(), value };
        let amounts =
            [0.0, 1.0, 2.5, 600_000.0, 1e300, 1e-7, 20e6].map(|it| Value::Amount(Amount::new(it, Unit::Rows)));
        let words = ["", "a\"b\n", "ß"].map(|it| Value::Text(it.to_owned()));
        let mut values: Vec<Value> = amounts.into_iter().chain(words).collect();
        values.extend([Value::Int(-3), Value::Bool(true), Value::Float(1.0), Value::Float(3e-6)]);
        values.push(Value::List(values.iter().cloned().map(of).collect()));
        values.push(Value::List(Vec::new()));
        let mut constants = Constants::default();
        for value in &values {
            let text = canonical(&value.to_json()).to_string();
            let mut written = String::new();
            write(value, &mut written).unwrap();
            assert_eq!(written, text);
            let argument = constants.argument(Span::default(), value);
            assert_eq!((Json::clone(&argument), argument.canonical(str::to_owned)), (value.to_json(), text));
            assert_eq!(constants.argument(Span::default(), value), argument);
        }
    }
}
