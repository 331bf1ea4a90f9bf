//! The model card of a merge: what it was made by, word for word.

use std::path::Path;

use super::{MergeError, Source};
use crate::base::disk;

/// Writes `README.md`, and the configuration beside it under the name that mergekit gives it.
pub fn write(source: &Source, method: &str, out: &Path) -> Result<(), MergeError> {
    let text = source.text.trim_end();
    let card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- merge\n- regimen\n---\n\n\
         # A merge made by Regimen\n\nThe method is `{method}`; the configuration is in the form of mergekit:\n\n\
         ```yaml\n{text}\n```\n"
    );
    for (name, text) in [("README.md", card), ("mergekit_config.yml", format!("{text}\n"))] {
        let path = out.join(name);
        disk::save(&path, text).map_err(MergeError::file(&path))?;
    }
    Ok(())
}
