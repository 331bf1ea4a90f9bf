//! The tokens of a `tokenizer.json`, and the union of several.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{MergeError, checkpoint};

/// A tokenizer's file, with its tokens by text and by id.
#[derive(Clone)]
pub struct Tokens {
    path: PathBuf,
    json: Value,
    ids: BTreeMap<String, usize>,
}

impl Tokens {
    /// Reads the `tokenizer.json` of a folder.
    pub fn read(folder: &Path) -> Result<Self, MergeError> {
        let path = folder.join("tokenizer.json");
        let json = checkpoint::json(&path)?;
        Self::new(path, json)
    }

    fn new(path: PathBuf, json: Value) -> Result<Self, MergeError> {
        let mut ids = BTreeMap::new();
        match json.pointer("/model/vocab") {
            Some(Value::Object(vocab)) => {
                for (text, id) in vocab {
                    ids.insert(text.clone(), id.as_u64().unwrap_or_default() as usize);
                }
            }
            Some(Value::Array(pieces)) => {
                let texts = pieces.iter().enumerate().filter_map(|(at, piece)| Some((piece.get(0)?.as_str()?, at)));
                ids.extend(texts.map(|(text, at)| (text.to_owned(), at)));
            }
            _ => return Err(MergeError::model(&path, "expected a vocabulary, found none")),
        }
        for token in added(&json) {
            if let (Some(text), Some(id)) = (token["content"].as_str(), token["id"].as_u64()) {
                ids.insert(text.to_owned(), id as usize);
            }
        }
        Ok(Self { path, json, ids })
    }

    /// One more than the largest id.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ids.values().max().map_or(0, |id| id + 1)
    }

    #[must_use]
    pub fn id(&self, text: &str) -> Option<usize> {
        self.ids.get(text).copied()
    }

    /// Every token with its id.
    pub fn ids(&self) -> impl Iterator<Item = (&str, usize)> {
        self.ids.iter().map(|(text, id)| (text.as_str(), *id))
    }

    /// Whether two tokenizers give the same ids to the same tokens.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.ids == other.ids
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:#}\n", self.json)
    }

    /// This tokenizer with what others have beyond it: their tokens follow in their order, and their merges after its own,
    /// so that texts which this one knows are cut as before.
    pub fn union(&self, others: &[&Self]) -> Result<Self, MergeError> {
        let mut json = self.json.clone();
        let mut ids = self.ids.clone();
        let mut next = self.count();
        let kind = |json: &Value| json.pointer("/model/type").cloned().unwrap_or_default();
        for other in others {
            if kind(&other.json) != kind(&json) {
                let message = format!(
                    "is of type {}, and `{}` of type {}, which cannot be united",
                    kind(&other.json),
                    self.path.display(),
                    kind(&json)
                );
                return Err(MergeError::model(&other.path, message));
            }
            let mut missing: Vec<(&str, usize)> = other.ids().filter(|(text, _)| !ids.contains_key(*text)).collect();
            missing.sort_by_key(|(_, id)| *id);
            let special: BTreeMap<&str, &Value> =
                added(&other.json).filter_map(|token| Some((token["content"].as_str()?, token))).collect();
            for (text, _) in missing {
                let plain = json!({"content": text, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": false});
                match (special.get(text), json.pointer_mut("/model/vocab")) {
                    (None, Some(Value::Object(vocab))) => {
                        vocab.insert(text.to_owned(), next.into());
                    }
                    (token, _) => add(&mut json, token.copied().unwrap_or(&plain), next),
                }
                ids.insert(text.to_owned(), next);
                next += 1;
            }
            add_merges(&mut json, &other.json, &ids);
        }
        Ok(Self { path: self.path.clone(), json, ids })
    }
}

fn added(json: &Value) -> impl Iterator<Item = &Value> {
    json.get("added_tokens").and_then(Value::as_array).into_iter().flatten()
}

/// Adds a token that stands for itself, whatever the text around it.
fn add(json: &mut Value, token: &Value, id: usize) {
    let mut token = token.clone();
    if let Some(fields) = token.as_object_mut() {
        fields.insert("id".to_owned(), id.into());
        fields.sort_keys();
    }
    match json.get_mut("added_tokens").and_then(Value::as_array_mut) {
        Some(tokens) => tokens.push(token),
        None => json["added_tokens"] = json!([token]),
    }
}

/// Adds the merges that only the other has.
fn add_merges(json: &mut Value, other: &Value, ids: &BTreeMap<String, usize>) {
    let Some(more) = other.pointer("/model/merges").and_then(Value::as_array) else { return };
    let Some(merges) = json.pointer_mut("/model/merges").and_then(Value::as_array_mut) else { return };
    // Older files write a merge as one text, newer ones as a pair.
    let parts = |merge: &Value| -> Option<(String, String)> {
        match merge {
            Value::String(text) => text.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())),
            pair => Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())),
        }
    };
    let as_text = merges.first().is_some_and(Value::is_string);
    let known: BTreeSet<(String, String)> = merges.iter().filter_map(parts).collect();
    for (left, right) in more.iter().filter_map(parts) {
        let whole = format!("{left}{right}");
        if known.contains(&(left.clone(), right.clone()))
            || ![&left, &right, &whole].iter().all(|it| ids.contains_key(*it))
        {
            continue;
        }
        merges.push(if as_text { format!("{left} {right}").into() } else { json!([left, right]) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(json: Value) -> Tokens {
        Tokens::new("tokenizer.json".into(), json).unwrap()
    }

    #[test]
    fn a_union_keeps_the_ids_of_the_first_and_adds_what_others_have() {
        let one = tokens(json!({
            "added_tokens": [{"id": 2, "content": "<eos>", "special": true}],
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
        }));
        let other = tokens(json!({
            "added_tokens": [{"id": 0, "content": "<eos>", "special": true}, {"id": 4, "content": "<pad>", "special": true}],
            "model": {"type": "BPE", "vocab": {"b": 1, "a": 2, "ab": 3}, "merges": [["a", "b"], ["b", "x"]]},
        }));
        let union = one.union(&[&other]).unwrap();
        assert_eq!(union.ids().collect::<Vec<_>>(), [("<eos>", 2), ("<pad>", 4), ("a", 0), ("ab", 3), ("b", 1)]);
        assert_eq!(union.json["model"]["merges"], json!([["a", "b"]]));
        assert_eq!(union.json["added_tokens"][1], json!({"content": "<pad>", "id": 4, "special": true}));
        assert!(union.agrees(&tokens(union.json.clone())));
    }

    #[test]
    fn tokenizers_of_unlike_kinds_are_refused() {
        let one = tokens(json!({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}));
        let other = tokens(json!({"model": {"type": "Unigram", "vocab": [["b", -1.0]]}}));
        let error = one.union(&[&other]).err().unwrap().to_string();
        assert!(error.contains("which cannot be united"), "{error}");
    }
}
