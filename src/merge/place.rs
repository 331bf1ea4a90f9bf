//! The line and column at which a part of a YAML text stands.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step on the way to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(String),
    Item(usize),
}

/// The way from the whole to a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    #[must_use]
    pub fn item(&self, at: usize) -> Self {
        self.with(Step::Item(at))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Where the part begins, or the nearest part around it that is there; both numbers count from one.
    #[must_use]
    pub fn find(&self, text: &str) -> (usize, usize) {
        for length in (0..=self.0.len()).rev() {
            let seed = Walk { steps: &self.0[..length] };
            // The parser says where it stood when the walk broke off, and it breaks off at the goal.
            if let Err(error) = seed.deserialize(serde_yaml::Deserializer::from_str(text))
                && error.to_string().contains(GOAL)
                && let Some(location) = error.location()
            {
                return (location.line(), location.column());
            }
        }
        (1, 1)
    }
}

const GOAL: &str = "the part is here";

struct Walk<'a> {
    steps: &'a [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.steps.is_empty() { GOAL } else { "a part on the way" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (step, rest) = self.steps.split_first().ok_or_else(|| A::Error::custom(GOAL))?;
        while let Some(key) = map.next_key::<serde_yaml::Value>()? {
            match step {
                Step::Field(name) if key.as_str() == Some(name) => map.next_value_seed(Walk { steps: rest })?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (step, rest) = self.steps.split_first().ok_or_else(|| A::Error::custom(GOAL))?;
        for at in 0.. {
            let there = match step {
                Step::Item(item) if *item == at => seq.next_element_seed(Walk { steps: rest })?.is_some(),
                _ => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !there {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_blocks_and_in_flow() {
        let text = "merge_method: ties\nmodels:\n  - model: a\n    parameters: {weight: 1, density: [0.5, x]}\n";
        let root = Path::default();
        assert_eq!(root.find(text), (1, 1));
        assert_eq!(root.field("merge_method").find(text), (1, 15));
        let model = root.field("models").item(0);
        assert_eq!(model.find(text), (3, 5));
        let density = model.field("parameters").field("density");
        assert_eq!(density.find(text), (4, 38));
        assert_eq!(density.item(1).find(text), (4, 44));
        // What is not there is sought where it should have been.
        assert_eq!(model.field("parameters").field("gamma").find(text), (4, 17));
    }
}
