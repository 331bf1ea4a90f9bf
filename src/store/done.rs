//! What is known at a glance of a step that is done.

use super::Record;
use crate::base::digest::Digest;

/// A step that is done: all that the planning of other steps asks of its record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// The key of its record.
    pub key: Digest,
    /// The digest of its object, which is there.
    pub output: Digest,
    /// Bytes of the object.
    pub bytes: u64,
    /// The mean length in tokens of the answers that it drew, where it drew any.
    pub answer_length: Option<f64>,
}

impl From<&Record> for Done {
    fn from(record: &Record) -> Self {
        let answer_length = record.metrics.get("completions/mean_length").copied();
        Self { key: record.key, output: record.output, bytes: record.bytes, answer_length }
    }
}
