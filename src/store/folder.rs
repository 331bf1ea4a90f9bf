//! The content of a folder: its files in order of their names, and one digest over all of them.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::base::digest::{Digest, FieldHasher, StreamHasher};

/// One file of a folder, by its path within it, written with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
    pub digest: Digest,
}

/// What a folder holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    pub files: Vec<Listed>,
}

impl Folder {
    /// Reads every file below a folder. Names that start with a dot are no content, and are left out.
    ///
    /// # Errors
    /// Where a file cannot be read, or is not a plain file.
    pub fn read(root: &Path) -> Result<Self, StoreError> {
        Self::read_with(root, &mut |path, _| digest_file(path))
    }

    /// As [`Folder::read`], with another way to digest one file, such as one that remembers.
    ///
    /// # Errors
    /// Where a file cannot be read, or is not a plain file.
    pub fn read_with(root: &Path, digest: &mut DigestFile) -> Result<Self, StoreError> {
        let mut files = Vec::new();
        for (name, path) in names(root)? {
            let metadata = fs::metadata(&path).map_err(|error| StoreError::file(&path, error))?;
            files.push(Listed { name, bytes: metadata.len(), digest: digest(&path, &metadata)? });
        }
        Ok(Self { files })
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The name of this content: the digest over the files' names, lengths and digests.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = FieldHasher::new();
        for file in &self.files {
            hasher.field("name", file.name.as_bytes());
            hasher.field("bytes", &file.bytes.to_le_bytes());
            hasher.field("digest", file.digest.hex().as_bytes());
        }
        hasher.finish()
    }
}

/// A way to digest one file, given what the file system says of it.
pub type DigestFile<'a> = dyn FnMut(&Path, &fs::Metadata) -> Result<Digest, StoreError> + 'a;

/// The digest of a folder's content.
///
/// # Errors
/// Where a file cannot be read, or is not a plain file.
pub fn digest_folder(root: &Path) -> Result<Digest, StoreError> {
    Folder::read(root).map(|it| it.digest())
}

/// The digest of a file's bytes.
///
/// # Errors
/// Where the file cannot be read.
pub fn digest_file(path: &Path) -> Result<Digest, StoreError> {
    let digest = || {
        let mut file = File::open(path)?;
        let mut hasher = StreamHasher::new();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let read = file.read(&mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|it| !it.is_empty()) else { return Ok(hasher.finish()) };
            hasher.update(bytes);
        }
    };
    digest().map_err(|error| StoreError::file(path, error))
}

/// Every file below a folder with its path within it, in the order of the latter's bytes.
fn names(root: &Path) -> Result<Vec<(String, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), root.to_owned())];
    while let Some((prefix, folder)) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| StoreError::file(&folder, error))? {
            let path = entry.map_err(|error| StoreError::file(&folder, error))?.path();
            let Some(name) = path.file_name().and_then(|it| it.to_str()) else {
                return Err(StoreError::Name { path });
            };
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            // Links are followed: the model folders of a hub's cache are made of them.
            let metadata = fs::metadata(&path).map_err(|error| StoreError::file(&path, error))?;
            if metadata.is_dir() {
                open.push((format!("{name}/"), path));
            } else if metadata.is_file() {
                found.push((name, path));
            } else {
                return Err(StoreError::Odd { path });
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_digest_is_that_of_names_and_bytes() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for (folder, order) in [(&one, ["a.txt", "b/c.txt"]), (&other, ["b/c.txt", "a.txt"])] {
            fs::create_dir(folder.path().join("b")).unwrap();
            order.iter().for_each(|name| fs::write(folder.path().join(name), name).unwrap());
        }
        assert_eq!(digest_folder(one.path()).unwrap(), digest_folder(other.path()).unwrap());

        fs::write(other.path().join(".hidden"), "x").unwrap();
        assert_eq!(digest_folder(one.path()).unwrap(), digest_folder(other.path()).unwrap());

        fs::rename(other.path().join("a.txt"), other.path().join("d.txt")).unwrap();
        assert_ne!(digest_folder(one.path()).unwrap(), digest_folder(other.path()).unwrap());
    }

    #[test]
    fn a_link_counts_as_what_it_points_to() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".blob"), "weights").unwrap();
        symlink(folder.path().join(".blob"), folder.path().join("model")).unwrap();
        let files = Folder::read(folder.path()).unwrap().files;
        assert_eq!(files, [Listed { name: "model".into(), bytes: 7, digest: Digest::of(b"weights") }]);
    }
}
