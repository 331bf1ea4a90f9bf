//! A file that only grows, line by line, and that can be cut back to a place it was at before.

use std::{
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    base::{
        digest::{Digest, StreamHasher},
        disk::{self, BUFFER, Writer},
    },
    data::DataError,
};

/// A place in a journal: how long it was, and the digest of all that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub bytes: u64,
    pub digest: Digest,
}

/// Rows that a long step has written so far.
pub struct Journal {
    path: PathBuf,
    file: BufWriter<Writer>,
    hasher: StreamHasher,
    bytes: u64,
}

impl Journal {
    /// Begins an empty journal, in place of what the file held.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        let file = Writer::buffered(path, BUFFER).map_err(DataError::file(path))?;
        Ok(Self { path: path.to_owned(), file, hasher: StreamHasher::new(), bytes: 0 })
    }

    /// Goes on from a mark; what was written after it is cut off. None where the file no longer holds what it did then.
    ///
    /// # Errors
    /// Where the file is there and cannot be read or written.
    pub fn resume(path: &Path, mark: Mark) -> Result<Option<Self>, DataError> {
        let mut file = match disk::reopen(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(DataError::file(path)(error)),
        };
        let mut hasher = StreamHasher::new();
        let bytes = digest(&mut (&mut file).take(mark.bytes), &mut hasher).map_err(DataError::file(path))?;
        if bytes != mark.bytes || hasher.finish() != mark.digest {
            return Ok(None);
        }
        let mut cut = || {
            disk::set_length(&file, path, bytes)?;
            file.seek(SeekFrom::Start(bytes))
        };
        cut().map_err(DataError::file(path))?;
        let file = BufWriter::with_capacity(BUFFER, Writer::of(file, path));
        Ok(Some(Self { path: path.to_owned(), file, hasher, bytes }))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn push(&mut self, line: &str) -> Result<(), DataError> {
        for part in [line.as_bytes(), b"\n"] {
            self.file.write_all(part).map_err(DataError::file(&self.path))?;
            self.hasher.update(part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    /// Makes all lines so far durable, and says where they end.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn mark(&mut self) -> Result<Mark, DataError> {
        let sync = self.file.flush().and_then(|()| self.file.get_ref().sync());
        sync.map_err(DataError::file(&self.path))?;
        Ok(Mark { bytes: self.bytes, digest: self.hasher.finish() })
    }

    /// Copies all lines into a file of their own. The journal stays, for as long as the step is not done.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn copy(mut self, to: &Path) -> Result<(), DataError> {
        self.file.flush().map_err(DataError::file(&self.path))?;
        disk::copy(&self.path, to).map_err(DataError::file(to))?;
        Ok(())
    }
}

/// Reads to the end, and says how many bytes there were.
fn digest(reader: &mut impl Read, hasher: &mut StreamHasher) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|it| !it.is_empty()) else { return Ok(bytes) };
        hasher.update(part);
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_journal_goes_on_where_it_was_marked_and_only_if_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let [path, copy] = ["rows.jsonl", "copy.jsonl"].map(|name| folder.path().join(name));
        let mut journal = Journal::create(&path).unwrap();
        journal.push("1").unwrap();
        let mark = journal.mark().unwrap();
        journal.push("lost").unwrap();
        drop(journal);
        let mut journal = Journal::resume(&path, mark).unwrap().unwrap();
        journal.push("2").unwrap();
        let later = journal.mark().unwrap();
        journal.copy(&copy).unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), "1\n2\n");

        fs::write(&path, "1\n3\n").unwrap();
        assert!(Journal::resume(&path, later).unwrap().is_none());
        assert!(Journal::resume(&path, mark).unwrap().is_some());
        fs::remove_file(&path).unwrap();
        assert!(Journal::resume(&path, mark).unwrap().is_none());
    }
}
