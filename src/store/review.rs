//! A person's review of a step's rows: `reviews/<key>/`, with the rows, the guide, and a journal of decisions.
//!
//! The journal only grows, by whole lines, each durable before anybody is told that it is there; what a kill leaves half
//! written at its end is cut off by the next decision. Every line carries its own check. A review is written to only
//! under the lock of its step's key, and only while the step is not made: a record and the decisions that it was made
//! from stay together. Nothing here can be made again, so `gc` never takes it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Claim, Store, StoreError, claim, disk, durable,
    sealed::{unchanged, with_check},
    verify::names,
};
use crate::base::{
    decision::{Decisions, Entry},
    digest::Digest,
};

const STEP: &str = "step.json";
const ROWS: &str = "rows.jsonl";
const GUIDE: &str = "guide.md";
const JOURNAL: &str = "decisions.jsonl";

/// What stands before and behind the check at the end of a line of the journal.
const CHECK: (&str, &str) = (",\"check\":\"", "\"}");

/// The review of one step.
#[derive(Clone, Debug)]
pub struct Review {
    store: Store,
    key: Digest,
}

/// A review in the hands of whoever holds the claim of its step.
#[derive(Clone, Debug)]
pub struct Opening {
    review: Review,
    scratch: PathBuf,
}

/// Whose rows wait for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What the step's key is made of.
    pub fields: Value,
    /// The step's address in the recipe that asked last.
    pub address: String,
    /// When that was, in milliseconds since the epoch.
    pub at: u64,
}

/// What a journal holds.
#[derive(Debug, Default)]
pub struct Journal {
    pub decisions: Decisions,
    /// The numbers of the lines that are not as they were written; they count for nothing.
    pub damaged: Vec<usize>,
}

impl Store {
    /// The review of the step of that key, whether there is one or not.
    #[must_use]
    pub fn review(&self, key: &Digest) -> Review {
        Review { store: self.clone(), key: *key }
    }

    /// The review of the step that a claim is for.
    #[must_use]
    pub fn review_of(&self, claim: &Claim) -> Opening {
        Opening { review: self.review(claim.key()), scratch: claim.scratch().to_owned() }
    }

    /// Every review that was asked for, the newest first.
    #[must_use]
    pub fn reviews(&self) -> Vec<(Asked, Review)> {
        let folders = names(&self.root().join("reviews")).into_iter();
        let keys = folders.filter_map(|path| path.file_name()?.to_str()?.parse::<Digest>().ok());
        let reviews = keys.map(|key| self.review(&key));
        let mut found: Vec<(Asked, Review)> = reviews.filter_map(|review| Some((review.asked()?, review))).collect();
        found.sort_by_key(|(asked, review)| (std::cmp::Reverse(asked.at), review.key));
        found
    }

    /// The files that say whose a review is and are not as they were written. The next run writes them anew.
    #[must_use]
    pub fn damaged_reviews(&self) -> Vec<PathBuf> {
        let files = names(&self.root().join("reviews")).into_iter().map(|folder| folder.join(STEP));
        files.filter(|path| fs::read(path).is_ok_and(|bytes| unchanged(&bytes).is_none())).collect()
    }
}

impl Review {
    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.store.root().join("reviews").join(self.key.hex())
    }

    /// The rows to look at.
    #[must_use]
    pub fn rows_file(&self) -> PathBuf {
        self.folder().join(ROWS)
    }

    /// What the person who looks at them should heed; not every review has a guide.
    #[must_use]
    pub fn guide_file(&self) -> Option<PathBuf> {
        Some(self.folder().join(GUIDE)).filter(|it| it.is_file())
    }

    #[must_use]
    pub fn journal_file(&self) -> PathBuf {
        self.folder().join(JOURNAL)
    }

    /// Whose rows these are; None where no run has asked for a review.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        serde_json::from_slice(unchanged(&fs::read(self.folder().join(STEP)).ok()?)?).ok()
    }

    /// Whether the step is made, so that decisions come too late.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.store.done(&self.key).is_some()
    }

    /// All that was decided so far.
    ///
    /// # Errors
    /// Where the journal is there and cannot be read.
    pub fn journal(&self) -> Result<Journal, StoreError> {
        let path = self.journal_file();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Journal::default()),
            Err(error) => return Err(StoreError::file(&path, error)),
        };
        let mut journal = Journal::default();
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
        // What has no end was never told to anybody.
        lines.by_ref().filter_map(|(at, line)| Some((at, line.strip_suffix(b"\n")?))).for_each(
            |(at, line)| match entry(line) {
                Some(entry) => journal.decisions.add(entry),
                None => journal.damaged.push(at + 1),
            },
        );
        Ok(journal)
    }

    /// Adds to the journal; it is durable when this returns. False where the step is made, and nothing is added.
    ///
    /// # Errors
    /// Where it cannot be written; what was there before stays.
    pub fn append(&self, entries: &[Entry]) -> Result<bool, StoreError> {
        self.locked(|| if self.is_made() { Ok(false) } else { self.write(entries).map(|()| true) })
    }

    /// Takes decisions again on a step that is made: its record goes, and the next run makes it anew. False where it is
    /// not made.
    ///
    /// # Errors
    /// Where the record cannot be removed.
    pub fn reopen(&self, entry: &Entry) -> Result<bool, StoreError> {
        self.locked(|| {
            let made = self.is_made();
            self.write(std::slice::from_ref(entry))?;
            if made {
                self.store.forget(&self.key)?;
            }
            Ok(made)
        })
    }

    fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let path = self.journal_file();
        let failed = |error| StoreError::file(&path, error);
        let is_new = !path.exists();
        let mut text = String::new();
        for entry in entries {
            text.push_str(&line(entry).map_err(|error| failed(error.into()))?);
        }
        let mut file = disk::open_to_change(&path)?;
        let end = whole_lines(&mut file).map_err(failed)?;
        disk::set_length(&file, &path, end)?;
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        disk::write(&mut file, &path, text.as_bytes())?;
        disk::sync(&file, &path)?;
        if is_new { durable::sync_folder(&self.folder()) } else { Ok(()) }
    }

    /// Does something under the lock of the step's key, for which it waits.
    fn locked<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut result = None;
        let mut act = Some(act);
        loop {
            let mut once = || {
                result = act.take().map(|act| act()).transpose()?;
                Ok(())
            };
            if claim::with_lock(&self.store, &self.key, &mut once)? {
                return result.ok_or(StoreError::Cancelled);
            }
            std::thread::sleep(claim::PATIENCE);
        }
    }
}

impl Opening {
    #[must_use]
    pub fn review(&self) -> &Review {
        &self.review
    }

    /// Puts the rows and the guide where a person finds them.
    ///
    /// # Errors
    /// Where something cannot be written.
    pub fn ask(&self, fields: &Value, address: &str, rows: &Path, guide: Option<&Path>) -> Result<(), StoreError> {
        let folder = self.review.folder();
        let asked = self.review.asked();
        let whole = folder.join(ROWS).is_file() && (guide.is_none() || folder.join(GUIDE).is_file());
        if whole && asked.is_some_and(|it| it.address == address) {
            return Ok(());
        }
        disk::create_folder(&folder)?;
        for (from, name) in [(Some(rows), ROWS), (guide, GUIDE)] {
            let Some(from) = from else { continue };
            let scratch = self.scratch.join(name);
            disk::remove_file(&scratch)?;
            // The rows are those of an object, which nobody writes to; the guide lies where it may change.
            if name == ROWS {
                disk::link(from, &scratch)?
            } else {
                disk::copy(from, &scratch)?
            }
            durable::sync(&scratch)?;
            durable::rename(&scratch, &folder.join(name))?;
        }
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64);
        let asked = Asked { fields: fields.clone(), address: address.to_owned(), at };
        let path = folder.join(STEP);
        let text = serde_json::to_string_pretty(&asked).map_err(|error| StoreError::file(&path, error.into()))?;
        durable::write(&path, with_check(&text).as_bytes(), &self.scratch.join(STEP))?;
        folder.parent().map_or(Ok(()), durable::sync_folder)
    }

    /// Takes over what was decided in earlier reviews.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn carry(&self, entries: &[Entry]) -> Result<(), StoreError> {
        disk::create_folder(&self.review.folder())?;
        self.review.write(entries)
    }
}

/// How many bytes of a file are whole lines.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at as u64 + 1))
}

/// An entry as a line, with its check.
fn line(entry: &Entry) -> serde_json::Result<String> {
    let text = serde_json::to_string(entry)?;
    let text = text.strip_suffix('}').unwrap_or(&text);
    Ok(format!("{text}{}{}{}\n", CHECK.0, Digest::of(text.as_bytes()).short(), CHECK.1))
}

/// The entry that a line holds, where it is as it was written.
fn entry(line: &[u8]) -> Option<Entry> {
    let rest = line.strip_suffix(CHECK.1.as_bytes())?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(12)?)?;
    let text = rest.strip_suffix(CHECK.0.as_bytes())?;
    if Digest::of(text).short().as_bytes() != check {
        return None;
    }
    serde_json::from_slice(&[text, b"}"].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::decision::{Decision, Verdict};

    fn accept(row: u32) -> Entry {
        Entry::Decision(Decision {
            row: Digest::of(&row.to_le_bytes()),
            verdict: Verdict::Accept,
            reason: None,
            edited: Some("{\"a\":\"\u{fc}\\n\"}".to_owned()),
            by: "ada".to_owned(),
            at: 1,
            carried: None,
        })
    }

    fn review() -> (tempfile::TempDir, Review) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        let review = store.review(&Digest::of(b"key"));
        fs::create_dir_all(review.folder()).unwrap();
        (folder, review)
    }

    #[test]
    fn a_journal_that_was_cut_off_anywhere_holds_its_whole_lines_and_goes_on() {
        let (_folder, review) = review();
        assert!(review.append(&[accept(1)]).unwrap());
        let first = fs::metadata(review.journal_file()).unwrap().len();
        assert!(review.append(&[accept(2)]).unwrap());
        let whole = fs::read(review.journal_file()).unwrap();
        for end in 0..=whole.len() {
            fs::write(review.journal_file(), &whole[..end]).unwrap();
            let count = usize::from(end as u64 >= first) + usize::from(end == whole.len());
            let journal = review.journal().unwrap();
            assert_eq!((journal.decisions.standing().count(), journal.damaged.len()), (count, 0), "cut off at {end}");
            review.append(&[accept(3)]).unwrap();
            assert_eq!(review.journal().unwrap().decisions.standing().count(), count + 1, "cut off at {end}");
        }
    }

    #[test]
    fn a_line_that_has_changed_counts_for_nothing_and_is_named() {
        let (_folder, review) = review();
        review.append(&[accept(1), accept(2)]).unwrap();
        let mut bytes = fs::read(review.journal_file()).unwrap();
        bytes[20] ^= 1;
        fs::write(review.journal_file(), &bytes).unwrap();
        let journal = review.journal().unwrap();
        assert_eq!((journal.decisions.standing().count(), journal.damaged), (1, vec![1]));
    }
}
