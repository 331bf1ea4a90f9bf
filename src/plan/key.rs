//! The key of a step: a named record of everything that can change its bytes, and its digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    base::{
        argument::canonical,
        device::Device,
        digest::{Digest, FieldHasher},
    },
    lang::StepId,
    plan::Step,
};

/// The numeric class that results belong to where nothing else is asked for: another backend or another precision gives
/// other bytes.
pub const BACKEND: &str = Device::Cpu.backend();

/// Arguments that decide whether a step comes to its end, and never what it makes.
const BESIDE_THE_KEY: [(&str, &str); 1] = [("command", "timeout")];

/// What a key is made of. Names, addresses, paths, threads and times are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFields {
    /// Arguments in base units, defaults filled in, keys sorted.
    pub arguments: BTreeMap<String, Json>,
    pub backend: String,
    /// The content of each file that an argument names.
    pub files: BTreeMap<String, Digest>,
    /// The content of the artifacts that go into each port, in order.
    pub inputs: BTreeMap<String, Vec<Digest>>,
    pub stage: String,
    /// The version of the stage's code.
    pub version: u32,
}

impl KeyFields {
    /// The record of a step, once the content of its inputs and files is known; None where some of it is not.
    pub fn of(
        step: &Step,
        input: &dyn Fn(StepId) -> Option<Digest>,
        file: &dyn Fn(&str) -> Option<Digest>,
    ) -> Option<Self> {
        let mut inputs = BTreeMap::new();
        for (port, steps) in &step.inputs {
            inputs.insert(port.to_string(), steps.iter().map(|it| input(*it)).collect::<Option<Vec<_>>>()?);
        }
        let mut files = BTreeMap::new();
        for argument in step.files.keys() {
            files.insert(argument.clone(), file(argument)?);
        }
        let arguments = step.arguments.iter().filter(|(name, _)| counts(step, name));
        let arguments = arguments.map(|(name, value)| (name.to_string(), canonical(value))).collect();
        let (stage, version) = (step.stage.clone(), step.version);
        Some(Self { arguments, backend: step.device.backend().to_owned(), files, inputs, stage, version })
    }

    /// The digest of the record. Each argument, file and port is a field of its own, named and with its length.
    #[must_use]
    pub fn key(&self) -> Digest {
        let mut hasher = FieldHasher::new();
        hasher.field("stage", self.stage.as_bytes());
        hasher.field("version", &self.version.to_le_bytes());
        hasher.field("backend", self.backend.as_bytes());
        for (name, value) in &self.arguments {
            // What has no members is in order already.
            let text =
                if value.is_object() || value.is_array() { canonical(value).to_string() } else { value.to_string() };
            hasher.field(&format!("arguments.{name}"), text.as_bytes());
        }
        for (name, digest) in &self.files {
            hasher.field(&format!("files.{name}"), digest.hex().as_bytes());
        }
        for (port, digests) in &self.inputs {
            let digests: Vec<String> = digests.iter().map(Digest::hex).collect();
            hasher.field(&format!("inputs.{port}"), digests.join(" ").as_bytes());
        }
        hasher.finish()
    }
}

/// The key of a step without its record: what [`KeyFields::key`] of [`KeyFields::of`] comes to; None where some of what
/// goes in is not known.
#[must_use]
pub fn key(
    step: &Step,
    input: &dyn Fn(StepId) -> Option<Digest>,
    file: &dyn Fn(&str) -> Option<Digest>,
) -> Option<Digest> {
    // In a plan of which nothing is made this is so of most steps.
    if step.inputs.values().flatten().any(|id| input(*id).is_none()) {
        return None;
    }
    let mut hasher = FieldHasher::new();
    hasher.field("stage", step.stage.as_bytes());
    hasher.field("version", &step.version.to_le_bytes());
    hasher.field("backend", step.device.backend().as_bytes());
    for (name, value) in step.arguments.iter().filter(|(name, _)| counts(step, name)) {
        value.canonical(|text| _ = hasher.member("arguments.", name, text.as_bytes()));
    }
    for name in step.files.keys() {
        hasher.member("files.", name, file(name)?.hex().as_bytes());
    }
    let mut digests = String::new();
    for (port, steps) in &step.inputs {
        digests.clear();
        for (at, id) in steps.iter().enumerate() {
            digests.push_str(if at > 0 { " " } else { "" });
            digests.push_str(&input(*id)?.hex());
        }
        hasher.member("inputs.", port, digests.as_bytes());
    }
    Some(hasher.finish())
}

/// Whether an argument is part of the key.
fn counts(step: &Step, name: &str) -> bool {
    !BESIDE_THE_KEY.contains(&(step.stage.as_str(), name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> KeyFields {
        KeyFields {
            arguments: BTreeMap::from([("budget".into(), json!({"value": 3.0, "unit": "epochs"}))]),
            backend: BACKEND.into(),
            files: BTreeMap::new(),
            inputs: BTreeMap::from([("model".into(), vec![Digest::of(b"a")])]),
            stage: "sft".into(),
            version: 1,
        }
    }

    #[test]
    fn a_key_survives_the_text_of_its_record() {
        let text = serde_json::to_string(&fields()).unwrap();
        let read: KeyFields = serde_json::from_str(&text).unwrap();
        assert_eq!(read, fields());
        assert_eq!(read.key(), fields().key());
    }

    #[test]
    fn the_order_of_members_changes_no_key() {
        let mut turned = fields();
        turned.arguments.insert("budget".into(), json!({"unit": "epochs", "value": 3.0}));
        assert_eq!(turned.key(), fields().key());
    }

    #[test]
    fn every_field_changes_the_key() {
        let mut seen = vec![fields().key()];
        let mut see = |change: &dyn Fn(&mut KeyFields)| {
            let mut fields = fields();
            change(&mut fields);
            let key = fields.key();
            assert!(!seen.contains(&key));
            seen.push(key);
        };
        see(&|it| it.stage = "pretrain".into());
        see(&|it| it.version = 2);
        see(&|it| it.backend = "candle-cuda-bf16".into());
        see(&|it| _ = it.arguments.insert("seed".into(), json!(1)));
        see(&|it| _ = it.files.insert("file".into(), Digest::of(b"b")));
        see(&|it| _ = it.inputs.insert("model".into(), vec![Digest::of(b"b")]));
        see(&|it| _ = it.inputs.insert("data".into(), vec![Digest::of(b"a")]));
    }
}
