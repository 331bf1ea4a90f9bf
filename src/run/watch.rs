//! Whether the files that a plan reads are as they were when they were digested: a step that read others would be kept
//! under a key that does not tell of them.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::inputs;
use crate::{
    base::digest::Digest,
    store::{StoreError, digest_file},
};

/// A file changed this shortly before it was read may change again without its times or its size telling.
const SETTLED: Duration = Duration::from_secs(2);

/// What the files of a plan were when they were digested.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Watch(BTreeMap<PathBuf, Seen>);

/// One path that a plan names, a file or a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// The stage on whose behalf it was read: some read what a file names as well.
    stage: String,
    digest: Digest,
    /// Every file under it, with what the file system said before it was read.
    files: Vec<(PathBuf, [i64; 6])>,
    /// Whether that cannot be the same for another content.
    settled: bool,
}

impl Watch {
    /// Keeps what a path came to for a stage.
    pub(super) fn keep(&mut self, stage: &str, path: &Path, digest: Digest, files: Vec<(PathBuf, Metadata)>) {
        let now = SystemTime::now();
        let old = |it: &Metadata| {
            let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(it.ctime().max(0).unsigned_abs());
            now.duration_since(changed).is_ok_and(|age| age > SETTLED)
        };
        let settled = files.iter().all(|(_, metadata)| old(metadata));
        let files = files.into_iter().map(|(file, metadata)| (file, stamp(&metadata))).collect();
        self.0.insert(path.to_owned(), Seen { stage: stage.to_owned(), digest, files, settled });
    }

    /// Whether a path holds something else now. Nothing is read where the file system tells that nothing was written.
    pub(super) fn has_changed(&self, path: &Path) -> bool {
        self.0.get(path).is_some_and(|seen| seen.has_changed(path))
    }

    /// Whether any of the paths does.
    pub(super) fn any_has_changed(&self) -> bool {
        self.0.iter().any(|(path, seen)| seen.has_changed(path))
    }
}

impl Seen {
    fn has_changed(&self, path: &Path) -> bool {
        let mut files = Vec::new();
        let mut look = |file: &Path, metadata: &Metadata| {
            files.push((file.to_owned(), stamp(metadata)));
            Ok(self.digest)
        };
        let there = digest(&self.stage, path, &mut look).is_some();
        if there && self.settled && files == self.files {
            return false;
        }
        digest(&self.stage, path, &mut |file, _| digest_file(file)) != Some(self.digest)
    }
}

/// What a path comes to; None where it cannot be read.
fn digest(
    stage: &str,
    path: &Path,
    read: &mut dyn FnMut(&Path, &Metadata) -> Result<Digest, StoreError>,
) -> Option<Digest> {
    inputs::digest_one(stage, path, &fs::metadata(path).ok()?, read).ok()
}

fn stamp(it: &Metadata) -> [i64; 6] {
    [it.ino() as i64, it.len() as i64, it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch over a path, as of now.
    fn watch(path: &Path) -> Watch {
        let (mut watch, mut files) = (Watch::default(), Vec::new());
        let mut read = |file: &Path, metadata: &Metadata| {
            files.push((file.to_owned(), metadata.clone()));
            digest_file(file)
        };
        let digest = digest("dataset", path, &mut read).unwrap();
        watch.keep("dataset", path, digest, files);
        watch
    }

    #[test]
    fn a_change_is_seen_whatever_the_times_tell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, "one\n").unwrap();
        let watch = watch(&path);
        assert!(!watch.has_changed(&path));
        // As long, and written in the same moment.
        fs::write(&path, "two\n").unwrap();
        assert!(watch.has_changed(&path));
        // Written anew with what it held.
        fs::write(&path, "one\n").unwrap();
        assert!(!watch.has_changed(&path));
        fs::remove_file(&path).unwrap();
        assert!(watch.has_changed(&path));
    }

    #[test]
    fn a_file_that_is_added_to_a_folder_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "one").unwrap();
        let mut watch = watch(folder.path());
        // As if it had stood there for long.
        watch.0.values_mut().for_each(|it| it.settled = true);
        assert!(!watch.has_changed(folder.path()));
        fs::write(folder.path().join("b"), "two").unwrap();
        assert!(watch.has_changed(folder.path()));
    }
}
