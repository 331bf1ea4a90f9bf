//! What `verify` found: what is damaged, where it was moved to, and whose it is.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::format::{self, counted};
use crate::{
    base::digest::Digest,
    run::Rerun,
    store::{Damage, Record},
};

/// Something that is not as it was written.
pub struct Finding {
    pub what: What,
    /// The addresses of the steps that count as not made because of it.
    pub steps: Vec<String>,
    pub aside: Aside,
}

pub enum What {
    Object(Damage),
    /// A file among the records.
    Record(PathBuf),
    /// Lines in the journal of a review.
    Review(PathBuf, Vec<usize>),
}

/// What became of something that is damaged.
pub enum Aside {
    Moved(PathBuf),
    /// It was to be looked at only.
    Left,
    /// It could not be moved, and why.
    Stuck(String),
}

/// What was read, and what was found.
#[derive(Default)]
pub struct Report {
    pub objects: usize,
    pub bytes: u64,
    pub records: usize,
    /// Steps that were asked for and are not made.
    pub open: Vec<String>,
    pub findings: Vec<Finding>,
}

impl Report {
    /// As a person reads it.
    #[must_use]
    pub fn screen(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let steps = finding.steps.iter().map(|step| format!("`{step}`")).collect::<Vec<_>>().join(", ");
            let by = if steps.is_empty() { steps } else { format!(", made by {steps}") };
            text.push_str(&format!("damaged: {}{by}\n", finding.what.text()));
            text.push_str(&match &finding.aside {
                Aside::Moved(path) => format!("  moved to {}; the next run makes it again\n", path.display()),
                Aside::Left => "  left where it is\n".to_owned(),
                Aside::Stuck(error) => format!("  it could not be moved away: {error}\n"),
            });
        }
        if !self.open.is_empty() {
            text.push_str(&format!("not made: {}\n", self.open.join(", ")));
        }
        let read = format!("{}, {}", counted(self.objects, "object"), format::size(self.bytes));
        let records = counted(self.records, "record");
        text.push_str(&match self.findings.len() {
            0 => format!("{read}, and {records}: all as they were written\n"),
            count => format!("{read}, and {records}: {} damaged\n", format::count(count as u64)),
        });
        text
    }

    /// As a program reads it.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            let (kind, digest, file) = match &finding.what {
                What::Object(damage) => ("object", Some(damage.digest), damage.file.clone()),
                What::Record(path) => ("record", None, Some(path.display().to_string())),
                What::Review(path, _) => ("review", None, Some(path.display().to_string())),
            };
            let (aside, error) = match &finding.aside {
                Aside::Moved(path) => (Some(path), None),
                Aside::Left => (None, None),
                Aside::Stuck(error) => (None, Some(error)),
            };
            json!({ "kind": kind, "digest": digest, "file": file, "steps": finding.steps, "aside": aside, "error": error })
        });
        json!({
            "objects": self.objects,
            "bytes": self.bytes,
            "records": self.records,
            "not_made": self.open,
            "damaged": findings.collect::<Vec<_>>(),
        })
    }
}

impl What {
    fn text(&self) -> String {
        match self {
            Self::Object(Damage { digest, file: Some(file) }) => format!("`{file}` of object {}", digest.short()),
            Self::Object(Damage { digest, file: None }) => format!("object {}", digest.short()),
            Self::Record(path) => format!("the record {}", path.display()),
            Self::Review(path, lines) => {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                let lines = format!("line {}", lines.join(", "));
                format!("{lines} of {}; what it said counts for nothing and is to be decided anew", path.display())
            }
        }
    }
}

/// How a second run of a step compares with the first.
#[must_use]
pub fn rerun(address: &str, record: &Record, rerun: &Rerun) -> String {
    let name = format!("{address} ({})", record.stage);
    match rerun {
        Rerun::Same { seconds } => {
            format!("{name}: the same bytes again, {}, in {}\n", record.output.short(), format::duration(*seconds))
        }
        Rerun::Other { digest, file, byte } => {
            let place = match byte {
                Some(byte) => format!("`{file}` is the first file that differs, at byte {}", format::count(*byte)),
                None => format!("`{file}` is the first file that differs: only one of the two has it"),
            };
            let digests = format!("  kept {}, now {}\n", record.output.short(), digest.short());
            format!("{name}: other bytes than before; {place}\n{digests}")
        }
        Rerun::Failed(error) => format!("{name}: failed this time: {error}\n"),
    }
}

/// As [`rerun`], for a program.
#[must_use]
pub fn rerun_json(address: &str, record: &Record, rerun: &Rerun) -> Value {
    let (result, now, file, byte, error): (_, Option<Digest>, _, _, _) = match rerun {
        Rerun::Same { .. } => ("same", Some(record.output), None, None, None),
        Rerun::Other { digest, file, byte } => ("other", Some(*digest), Some(file), *byte, None),
        Rerun::Failed(error) => ("failed", None, None, None, Some(error)),
    };
    json!({
        "address": address,
        "kept": record.output,
        "result": result,
        "now": now,
        "file": file,
        "byte": byte,
        "error": error,
    })
}
