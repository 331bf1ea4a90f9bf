//! What differs between two keys, in words: the answer to why a step would run.

use std::{collections::BTreeSet, fmt};

use serde_json::Value as Json;

use crate::{base::digest::Digest, plan::KeyFields};

/// One field in which two records differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `arguments.lr`, `inputs.model`, `inputs.parts[1]`, `files.file`, `stage`, `version`, `backend`.
    pub field: String,
    pub old: Side,
    pub new: Side,
}

/// What one of the two records holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// Nothing: the record has no such field.
    Absent,
    Value(Json),
    Content(Digest),
}

impl Difference {
    fn new(field: impl Into<String>, old: Side, new: Side) -> Option<Self> {
        (old != new).then(|| Self { field: field.into(), old, new })
    }

    /// The port and the position in it, where the difference is one of an input.
    #[must_use]
    pub fn input(&self) -> Option<(&str, usize)> {
        let port = self.field.strip_prefix("inputs.")?;
        match port.strip_suffix(']').and_then(|it| it.split_once('[')) {
            Some((port, position)) => Some((port, position.parse().ok()?)),
            None => Some((port, 0)),
        }
    }

    /// The argument, where the difference is one of an argument or of the file that one names.
    #[must_use]
    pub fn argument(&self) -> Option<&str> {
        let name = self.field.strip_prefix("arguments.").or_else(|| self.field.strip_prefix("files."))?;
        name.split('.').next()
    }
}

/// Every field in which two records differ, the most telling first: the stage, its arguments, its files, its inputs.
#[must_use]
pub fn differences(old: &KeyFields, new: &KeyFields) -> Vec<Difference> {
    let text = |it: &str| Side::Value(Json::from(it));
    let mut found = Vec::new();
    found.extend(Difference::new("stage", text(&old.stage), text(&new.stage)));
    found.extend(Difference::new("version", Side::Value(old.version.into()), Side::Value(new.version.into())));
    found.extend(Difference::new("backend", text(&old.backend), text(&new.backend)));
    for name in both(old.arguments.keys(), new.arguments.keys()) {
        arguments(&format!("arguments.{name}"), old.arguments.get(name), new.arguments.get(name), &mut found);
    }
    for name in both(old.files.keys(), new.files.keys()) {
        let side = |it: Option<&Digest>| it.map_or(Side::Absent, |digest| Side::Content(*digest));
        found.extend(Difference::new(format!("files.{name}"), side(old.files.get(name)), side(new.files.get(name))));
    }
    for port in both(old.inputs.keys(), new.inputs.keys()) {
        let digests = |it: &KeyFields| it.inputs.get(port).cloned().unwrap_or_default();
        let (old, new) = (digests(old), digests(new));
        let many = old.len().max(new.len()) > 1;
        for at in 0..old.len().max(new.len()) {
            let side = |it: &[Digest]| it.get(at).map_or(Side::Absent, |digest| Side::Content(*digest));
            let field = if many { format!("inputs.{port}[{at}]") } else { format!("inputs.{port}") };
            found.extend(Difference::new(field, side(&old), side(&new)));
        }
    }
    found
}

/// Goes down where both sides are objects with the same keys, and names the member that differs.
fn arguments(field: &str, old: Option<&Json>, new: Option<&Json>, found: &mut Vec<Difference>) {
    if let (Some(Json::Object(a)), Some(Json::Object(b))) = (old, new)
        && both(a.keys(), b.keys()).len() == a.len()
        && a.len() == b.len()
        && !(a.contains_key("unit") && a.contains_key("value"))
        && a.len() > 1
    {
        for name in both(a.keys(), b.keys()) {
            arguments(&format!("{field}.{name}"), a.get(name), b.get(name), found);
        }
        return;
    }
    let side = |it: Option<&Json>| it.map_or(Side::Absent, |value| Side::Value(value.clone()));
    found.extend(Difference::new(field, side(old), side(new)));
}

fn both<'a>(one: impl Iterator<Item = &'a String>, other: impl Iterator<Item = &'a String>) -> BTreeSet<&'a String> {
    one.chain(other).collect()
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "nothing"),
            Self::Value(value) => write!(f, "{value}"),
            Self::Content(digest) => write!(f, "{}", digest.short()),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.field, self.old, self.new)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::plan::BACKEND;

    #[test]
    fn every_difference_is_named_with_both_values() {
        let old = KeyFields {
            arguments: BTreeMap::from([
                ("budget".into(), json!({"value": 3.0, "unit": "epochs"})),
                ("lr".into(), json!({"constant": 0.001})),
                ("seed".into(), json!(0)),
            ]),
            backend: BACKEND.into(),
            files: BTreeMap::new(),
            inputs: BTreeMap::from([
                ("model".into(), vec![Digest::of(b"a")]),
                ("parts".into(), vec![Digest::of(b"a"), Digest::of(b"b")]),
            ]),
            stage: "sft".into(),
            version: 1,
        };
        let mut new = old.clone();
        new.version = 2;
        new.arguments.insert("budget".into(), json!({"value": 2.0, "unit": "epochs"}));
        new.arguments.insert("lr".into(), json!({"cosine": {"from": 0.001, "to": 0.0, "warmup": 5}}));
        new.arguments.remove("seed");
        new.inputs.insert("model".into(), vec![Digest::of(b"c")]);
        new.inputs.insert("parts".into(), vec![Digest::of(b"a"), Digest::of(b"c")]);
        let text: Vec<String> = differences(&old, &new).iter().map(Difference::to_string).collect();
        assert_eq!(
            text,
            [
                "version: 1 -> 2",
                r#"arguments.budget: {"value":3.0,"unit":"epochs"} -> {"value":2.0,"unit":"epochs"}"#,
                r#"arguments.lr: {"constant":0.001} -> {"cosine":{"from":0.001,"to":0.0,"warmup":5}}"#,
                "arguments.seed: 0 -> nothing",
                "inputs.model: 17762fddd969 -> ea7aa1fc9efd",
                "inputs.parts[1]: 10e5cf3d3c8a -> ea7aa1fc9efd",
            ]
        );
        assert!(differences(&old, &old).is_empty());
    }

    #[test]
    fn a_difference_knows_its_port_or_its_argument() {
        let of = |field: &str| Difference { field: field.into(), old: Side::Absent, new: Side::Absent };
        assert_eq!(of("inputs.parts[1]").input(), Some(("parts", 1)));
        assert_eq!(of("inputs.model").input(), Some(("model", 0)));
        assert_eq!(of("arguments.reward.terms").argument(), Some("reward"));
        assert_eq!(of("files.file").argument(), Some("file"));
        assert_eq!(of("version").argument(), None);
    }
}
