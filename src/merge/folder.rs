//! The folder of a result: what lies beside the weights, and how it comes to be there whole or not at all.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Merge, MergeError, checkpoint, options::Extra, output::Kind};
use crate::base::disk;

/// The tokenizer's files, and how texts are made with it.
const TOKENIZER: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

/// Writes what lies beside the weights.
pub fn companions(merge: &Merge, out: &Path) -> Result<(), MergeError> {
    write_json(&out.join("config.json"), &merge.config())?;
    let reference = &merge.models[merge.reference].folder;
    copy(reference, out, "generation_config.json")?;
    let tokenizer = &merge.models[merge.tokenizer].folder;
    for name in TOKENIZER {
        // What another form of the tokenizer says would no longer be true of a union.
        let stale = merge.union.is_some()
            && ["tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json"].contains(&name);
        if !stale {
            copy(tokenizer, out, name)?;
        }
    }
    if let Some(union) = &merge.union {
        let path = out.join("tokenizer.json");
        disk::save(&path, union.text()).map_err(MergeError::file(&path))?;
    }
    if let Some(template) = template(merge)? {
        let path = out.join("tokenizer_config.json");
        let mut config = if path.exists() { checkpoint::json(&path)? } else { json!({}) };
        config["chat_template"] = template.into();
        write_json(&path, &config)?;
        let beside = out.join("chat_template.jinja");
        if beside.exists() {
            disk::remove_file(&beside).map_err(MergeError::file(&beside))?;
        }
    }
    Ok(())
}

/// Copies what a model's tokenizer consists of, and how it generates.
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<(), MergeError> {
    TOKENIZER.iter().chain(&["generation_config.json"]).try_for_each(|name| copy(from, to, name))
}

/// The reference's configuration with the result's layers, tokens and kind of numbers.
pub fn config(merge: &Merge) -> Value {
    let reference = &merge.models[merge.reference];
    let mut config = reference.config.clone();
    let Some(fields) = config.as_object_mut() else { return config };
    let layers = merge.plan.layers;
    for name in ["num_hidden_layers", "n_layer", "num_layers"] {
        if fields.contains_key(name) {
            fields.insert(name.to_owned(), layers.into());
        }
    }
    // What is said layer by layer follows the layers.
    if let Some(Value::Array(kinds)) = fields.get("layer_types") {
        let chosen: Option<Vec<Value>> = merge.plan.origins.iter().map(|layer| kinds.get(*layer).cloned()).collect();
        if let Some(chosen) = chosen {
            fields.insert("layer_types".to_owned(), chosen.into());
        }
    }
    if merge.options.extra == Extra::Drop {
        for name in ["num_nextn_predict_layers", "num_mtp_layers"] {
            if fields.contains_key(name) {
                fields.insert(name.to_owned(), 0.into());
            }
        }
    }
    if merge.plan.tensors.contains_key("lm_head.weight") && fields.contains_key("tie_word_embeddings") {
        fields.insert("tie_word_embeddings".to_owned(), false.into());
    }
    let dtype = merge.configuration.out_dtype.or(merge.configuration.dtype);
    let stored = merge.plan.tensors.values().find_map(|it| match it.slot.kind {
        Kind::Numbers(precision) => Some(precision),
        Kind::Exact(..) => None,
    });
    if let Some(precision) = dtype.or(stored) {
        // Older releases of transformers read `torch_dtype`, newer ones both.
        let name = if fields.contains_key("dtype") { "dtype" } else { "torch_dtype" };
        fields.insert(name.to_owned(), precision.to_string().into());
    }
    if let Some(rows) = &merge.rows {
        fields.insert("vocab_size".to_owned(), rows.count.into());
        let theirs = &merge.models[merge.tokenizer].config;
        for name in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            if merge.tokenizer != merge.reference
                && let Some(id) = theirs.get(name)
            {
                fields.insert(name.to_owned(), id.clone());
            }
        }
    }
    config
}

/// The chat template that is asked for; None where the tokenizer's own is kept.
fn template(merge: &Merge) -> Result<Option<String>, MergeError> {
    const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] \
                          + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}\
                          {% endif %}";
    match merge.configuration.chat_template.as_deref() {
        None => Ok(None),
        Some("chatml") => Ok(Some(CHATML.to_owned())),
        Some("auto") => {
            let mut found: Vec<(String, usize)> = Vec::new();
            for model in &merge.models {
                let Some(text) = own_template(&model.folder)? else { continue };
                match found.iter_mut().find(|(it, _)| *it == text) {
                    Some((_, count)) => *count += 1,
                    None => found.push((text, 1)),
                }
            }
            let most = found.iter().map(|(_, count)| *count).max();
            Ok(found.into_iter().find(|(_, count)| Some(*count) == most).map(|(text, _)| text))
        }
        Some(text) if text.contains('{') => Ok(Some(text.to_owned())),
        Some(other) => Err(MergeError::request(format!("unknown chat template `{other}`"))
            .with_hint("write `auto`, `chatml` or the template itself, in Jinja")),
    }
}

fn own_template(folder: &Path) -> Result<Option<String>, MergeError> {
    let beside = folder.join("chat_template.jinja");
    if beside.is_file() {
        return fs::read_to_string(&beside).map(Some).map_err(MergeError::file(&beside));
    }
    let path = folder.join("tokenizer_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    Ok(checkpoint::json(&path)?.get("chat_template").and_then(Value::as_str).map(str::to_owned))
}

fn copy(from: &Path, to: &Path, name: &str) -> Result<(), MergeError> {
    let from = from.join(name);
    if from.is_file() {
        disk::copy(&from, &to.join(name)).map_err(MergeError::file(&to.join(name)))?;
    }
    Ok(())
}

pub fn write_json(path: &Path, value: &Value) -> Result<(), MergeError> {
    disk::save(path, format!("{value:#}\n")).map_err(MergeError::file(path))
}

/// A folder under another name, which gets its own when all is there.
pub struct Partial {
    folder: PathBuf,
    target: PathBuf,
    /// Held by the kernel, so that nothing is to be cleared when the process is killed.
    _lock: File,
}

impl Partial {
    /// Makes the folder beside its target. What a killed merge has left there is removed.
    pub fn create(target: &Path) -> Result<Self, MergeError> {
        if target.exists() {
            return Err(MergeError::request(format!("`{}` is already there", target.display()))
                .with_hint("name another folder, or remove this one"));
        }
        let name = target.file_name().ok_or_else(|| MergeError::request("expected the name of a folder"))?;
        let parent = target.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk::create_folder(parent).map_err(MergeError::file(parent))?;
        let folder = parent.join(format!(".{}.partial", name.to_string_lossy()));
        if folder.exists() {
            lock(&folder, target)?;
            disk::remove_folder(&folder).map_err(MergeError::file(&folder))?;
        }
        disk::create_new_folder(&folder).map_err(MergeError::file(&folder))?;
        let lock = lock(&folder, target)?;
        Ok(Self { folder, target: target.to_owned(), _lock: lock })
    }

    /// Where to write.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives the folder its name, after all of it is on the disk.
    pub fn finish(self) -> Result<(), MergeError> {
        let entries = fs::read_dir(&self.folder).map_err(MergeError::file(&self.folder))?;
        for entry in entries {
            let path = entry.map_err(MergeError::file(&self.folder))?.path();
            disk::sync_path(&path).map_err(MergeError::file(&path))?;
        }
        disk::rename(&self.folder, &self.target).map_err(MergeError::file(&self.target))
    }

    /// Removes what was written.
    pub fn abandon(self) {
        let _ = disk::remove_folder(&self.folder);
    }
}

fn lock(folder: &Path, target: &Path) -> Result<File, MergeError> {
    let file = File::open(folder).map_err(MergeError::file(folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(MergeError::request(format!("another merge is writing `{}`", target.display())))
        }
        Err(TryLockError::Error(error)) => Err(MergeError::File { path: folder.to_owned(), error }),
    }
}
