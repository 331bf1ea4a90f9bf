//! The folder of a data set: `rows.jsonl`, one row a line, and `dataset.json`, which says what and how many they are.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    base::disk,
    data::{
        DataError,
        jsonl::{self, Line},
        rows::{Kind, Row},
    },
};

const ROWS: &str = "rows.jsonl";
const SUMMARY: &str = "dataset.json";

/// What `dataset.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub kind: Kind,
    pub rows: usize,
    /// Rows that the step met and did not keep, by reason.
    pub counts: BTreeMap<String, usize>,
}

impl Summary {
    /// Writes the summary beside the rows, which makes a data set of them.
    pub fn write(&self, folder: &Path) -> Result<(), DataError> {
        let path = folder.join(SUMMARY);
        let text = serde_json::to_string_pretty(self).map_err(|error| DataError::content(&path, error.to_string()))?;
        disk::save(&path, text + "\n").map_err(DataError::file(&path))
    }
}

/// Where the rows of a data set are.
#[must_use]
pub fn rows_file(folder: &Path) -> PathBuf {
    folder.join(ROWS)
}

/// A data set that was written.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub summary: Summary,
    folder: PathBuf,
}

impl Dataset {
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(SUMMARY);
        let text = fs::read_to_string(&path).map_err(DataError::file(&path))?;
        let summary = serde_json::from_str(&text)
            .map_err(|error| DataError::content(&path, format!("expected the summary of a data set: {error}")))?;
        Ok(Self { summary, folder: folder.to_owned() })
    }

    /// Takes rows that another program wrote as a data set: writes the summary that they lack.
    pub fn found(folder: &Path, kind: Kind) -> Result<Self, DataError> {
        let path = folder.join(ROWS);
        let rows = jsonl::rows(&path)?.try_fold(0, |rows, line| line.map(|_| rows + 1))?;
        let summary = Summary { kind, rows, counts: BTreeMap::new() };
        summary.write(folder)?;
        Ok(Self { summary, folder: folder.to_owned() })
    }

    /// Where the rows are.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(ROWS)
    }

    /// Every row as its text, read as it is asked for.
    pub fn lines(&self) -> Result<impl Iterator<Item = Result<Line, DataError>> + use<>, DataError> {
        jsonl::rows(&self.path())
    }

    /// Every row as a value, read as it is asked for. Samples hold all that problems do, and may be read as such.
    pub fn rows<T: Row>(&self) -> Result<impl Iterator<Item = Result<T, DataError>>, DataError> {
        let kind = self.summary.kind;
        if kind != T::KIND && (kind, T::KIND) != (Kind::Sample, Kind::Problem) {
            let message = format!("expected rows of the kind `{}`, found `{kind}`", T::KIND);
            return Err(DataError::content(&self.folder, message));
        }
        let path = self.path();
        let expected = format!("a row of the kind `{}`", T::KIND);
        Ok(self.lines()?.map(move |line| jsonl::parse(&path, &line?, &expected)))
    }
}

/// What the rows of a folder are.
pub fn kind(folder: &Path) -> Result<Kind, DataError> {
    Ok(Dataset::open(folder)?.summary.kind)
}

/// Every row of a data set of one kind.
pub fn read<T: Row>(folder: &Path) -> Result<Vec<T>, DataError> {
    Dataset::open(folder)?.rows()?.collect()
}

/// Writes a data set; it is whole once [`Writer::finish`] has returned.
pub struct Writer {
    summary: Summary,
    folder: PathBuf,
    rows: BufWriter<disk::Writer>,
}

impl Writer {
    pub fn create(folder: &Path, kind: Kind) -> Result<Self, DataError> {
        let path = folder.join(ROWS);
        let rows = disk::Writer::buffered(&path, disk::BUFFER).map_err(DataError::file(&path))?;
        let summary = Summary { kind, rows: 0, counts: BTreeMap::new() };
        Ok(Self { summary, folder: folder.to_owned(), rows })
    }

    pub fn push<T: Row>(&mut self, row: &T) -> Result<(), DataError> {
        let text = serde_json::to_string(row).map_err(|error| DataError::content(&self.folder, error.to_string()))?;
        self.push_line(&text)
    }

    /// Adds a row as the text that another data set holds it in.
    pub fn push_line(&mut self, text: &str) -> Result<(), DataError> {
        writeln!(self.rows, "{text}").map_err(DataError::file(&self.folder))?;
        self.summary.rows += 1;
        Ok(())
    }

    /// Counts a row that was not kept.
    pub fn count(&mut self, reason: &str) {
        self.count_many(reason, 1);
    }

    /// Counts rows that were not kept.
    pub fn count_many(&mut self, reason: &str, rows: usize) {
        if rows > 0 {
            *self.summary.counts.entry(reason.to_owned()).or_default() += rows;
        }
    }

    pub fn finish(mut self) -> Result<Summary, DataError> {
        self.rows.flush().map_err(DataError::file(&self.folder))?;
        self.summary.write(&self.folder)?;
        Ok(self.summary)
    }
}
