//! Parameters as YAML writes them: a number, a gradient over the layers, or a list of both by the names of tensors.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::{
    methods::{self, Kind, Method, Parameter},
    place::Path,
};
use crate::base::suggest::did_you_mean;

/// The parameters of one place in a configuration, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub BTreeMap<String, Setting>);

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq)]
pub enum Setting {
    Number(f64),
    /// From the first layer to the last, in straight lines.
    Gradient(Vec<f64>),
    /// The first whose filter is a part of the tensor's name, is absent or is `*`.
    Filtered(Vec<(Option<String>, Self)>),
}

/// A mistake, and the part of the file in which it lies.
#[derive(Debug)]
pub struct Mistake {
    pub at: Path,
    pub message: String,
    pub hint: Option<String>,
}

impl Mistake {
    pub fn new(at: Path, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Parameters {
    /// Reads the parameters for a method. Those that only other methods take are dropped, and named in `unused`.
    pub fn read(
        values: &BTreeMap<String, Value>,
        method: &Method,
        at: &Path,
        unused: &mut Vec<String>,
    ) -> Result<Self, Mistake> {
        let mut parameters = Self::default();
        for (name, value) in values {
            let at = at.field(name);
            let Some(parameter) = method.parameters.iter().find(|it| it.name == name) else {
                let known = || methods::REGISTRY.iter().flat_map(|it| it.parameters).map(|it| it.name);
                if known().any(|it| it == name) {
                    unused.push(name.clone());
                    continue;
                }
                let hint = did_you_mean(name, known()).unwrap_or_else(|| known_to(method));
                return Err(Mistake::new(at, format!("`{}` has no parameter `{name}`", method.name)).hint(hint));
            };
            // mergekit takes `null` for what is not said.
            if !value.is_null() {
                parameters.0.insert(name.clone(), Setting::read(value, parameter, &at)?);
            }
        }
        Ok(parameters)
    }

    /// The number for a tensor, `t` of the way from the first layer to the last.
    #[must_use]
    pub fn get(&self, parameter: &Parameter, tensor: &str, t: f64) -> Option<f64> {
        self.0.get(parameter.name)?.get(parameter.kind, tensor, t)
    }
}

fn known_to(method: &Method) -> String {
    let names: Vec<&str> = method.parameters.iter().map(|it| it.name).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("its parameters are {}", names.join(", ")) }
}

impl Setting {
    fn read(value: &Value, parameter: &Parameter, at: &Path) -> Result<Self, Mistake> {
        match value {
            Value::Sequence(items) if items.is_empty() => {
                Err(Mistake::new(at.clone(), format!("`{}` is an empty list", parameter.name)))
            }
            Value::Sequence(items) if items.iter().any(Value::is_mapping) => {
                let mut filtered = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    filtered.push(filter(item, parameter, &at.item(index))?);
                }
                Ok(Self::Filtered(filtered))
            }
            Value::Sequence(items) => {
                let numbers = items.iter().enumerate().map(|(index, item)| number(item, parameter, &at.item(index)));
                Ok(Self::Gradient(numbers.collect::<Result<_, _>>()?))
            }
            value => Ok(Self::Number(number(value, parameter, at)?)),
        }
    }

    fn get(&self, kind: Kind, tensor: &str, t: f64) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Gradient(points) => Some(along(points, kind, t)),
            Self::Filtered(entries) => {
                let fits = |filter: &Option<String>| {
                    filter.as_deref().is_none_or(|filter| filter == "*" || tensor.contains(filter))
                };
                entries.iter().find(|(filter, _)| fits(filter))?.1.get(kind, tensor, t)
            }
        }
    }
}

/// The value at `t` of the way along the points; flags do not change between points.
fn along(points: &[f64], kind: Kind, t: f64) -> f64 {
    let place = t * (points.len() - 1) as f64;
    let at = place as usize;
    let next = points[(at + 1).min(points.len() - 1)];
    if kind == Kind::Number { points[at] + (place - at as f64) * (next - points[at]) } else { points[at] }
}

fn filter(item: &Value, parameter: &Parameter, at: &Path) -> Result<(Option<String>, Setting), Mistake> {
    let Value::Mapping(fields) = item else {
        return Err(Mistake::new(at.clone(), "expected `{filter: .., value: ..}` like the entries beside it"));
    };
    let mut filter = None;
    let mut value = None;
    for (name, field) in fields {
        match (name.as_str(), field) {
            (Some("filter"), Value::Null) => {}
            (Some("filter"), Value::String(text)) => filter = Some(text.clone()),
            (Some("filter"), _) => {
                return Err(Mistake::new(at.field("filter"), "expected a part of a tensor's name"));
            }
            (Some("value"), field) => value = Some(Setting::read(field, parameter, &at.field("value"))?),
            _ => {
                let message = "expected `filter` and `value`, and nothing else";
                return Err(Mistake::new(at.clone(), message));
            }
        }
    }
    let value = value.ok_or_else(|| Mistake::new(at.clone(), "missing field `value`"))?;
    Ok((filter, value))
}

fn number(value: &Value, parameter: &Parameter, at: &Path) -> Result<f64, Mistake> {
    let expected = match parameter.kind {
        Kind::Number => "a number",
        Kind::Flag => "true or false",
        Kind::Whole => "a whole number",
    };
    let found = match (parameter.kind, value) {
        (Kind::Flag, Value::Bool(flag)) => Some(f64::from(u8::from(*flag))),
        (Kind::Flag, value) => value.as_f64().filter(|it| *it == 0.0 || *it == 1.0),
        (Kind::Whole, value) => value.as_f64().filter(|it| *it >= 0.0 && it.fract() == 0.0),
        (Kind::Number, value) => value.as_f64().filter(|it| it.is_finite()),
    };
    found.ok_or_else(|| {
        let text = serde_yaml::to_string(value).unwrap_or_default();
        let message = format!("`{}`: expected {expected}, found `{}`", parameter.name, text.trim_end());
        Mistake::new(at.clone(), message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(text: &str) -> Setting {
        let value: Value = serde_yaml::from_str(text).unwrap();
        let slerp = methods::find("slerp").unwrap();
        Setting::read(&value, &slerp.parameters[0], &Path::default()).unwrap()
    }

    #[test]
    fn gradients_run_in_straight_lines_from_the_first_layer_to_the_last() {
        let gradient = setting("[0, 1, 0.5]");
        let at = |t| gradient.get(Kind::Number, "model.norm.weight", t).unwrap();
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(at), [0.0, 0.5, 1.0, 0.75, 0.5]);
        assert_eq!(gradient.get(Kind::Flag, "", 0.75), Some(1.0));
        assert_eq!(setting("[3]").get(Kind::Number, "", 1.0), Some(3.0));
    }

    #[test]
    fn the_first_filter_that_fits_wins() {
        let filtered = setting("[{filter: mlp, value: [0, 2]}, {filter: '*', value: 5}, {value: 7}]");
        let at = |tensor| filtered.get(Kind::Number, tensor, 0.5);
        assert_eq!((at("model.layers.0.mlp.up_proj.weight"), at("model.norm.weight")), (Some(1.0), Some(5.0)));
        assert_eq!(setting("[{filter: mlp, value: 1}]").get(Kind::Number, "lm_head.weight", 0.0), None);
    }
}
