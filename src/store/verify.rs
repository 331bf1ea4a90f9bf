//! Reads what is kept against its digests, and sets aside what is not as it was written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Damage, Done, Folder, Store, StoreError, claim, disk, durable};
use crate::base::digest::Digest;

impl Store {
    /// The digest of every object that is there, sorted.
    #[must_use]
    pub fn objects(&self) -> Vec<Digest> {
        let mut found = Vec::new();
        for shelf in names(&self.root().join("objects")) {
            found.extend(names(&shelf).iter().filter_map(|path| path.file_name()?.to_str()?.parse::<Digest>().ok()));
        }
        found.sort_unstable();
        found
    }

    /// Reads an object's content against its name. The step that made it, where there is one, tells which file it is.
    #[must_use]
    pub fn inspect(&self, digest: &Digest, maker: Option<&Done>) -> Option<Damage> {
        let path = self.object(digest);
        let damage = match maker {
            Some(done) => self.damage(done),
            None => Folder::read(&path).map_or_else(
                |_| Some(Damage { digest: *digest, file: None }),
                |folder| (folder.digest() != *digest).then_some(Damage { digest: *digest, file: None }),
            ),
        };
        // One that was removed or set aside meanwhile is gone, which is not damage.
        damage.filter(|_| path.exists())
    }

    /// The files among the records that hold no record: cut off, changed, or under the name of another.
    #[must_use]
    pub fn damaged_records(&self) -> Vec<PathBuf> {
        let damaged = |path: &PathBuf| {
            let name = path.file_name().and_then(|it| it.to_str()).and_then(|it| it.strip_suffix(".json"));
            let Some(key) = name.and_then(|it| it.parse::<Digest>().ok()) else { return true };
            self.record(&key).is_none() && !super::record::is_of_another_version(path)
        };
        names(&self.root().join("records")).into_iter().filter(damaged).collect()
    }

    /// Moves an object out of the way if it is damaged, so that its step counts as not done, and says where to; None where
    /// it is gone, or whole.
    ///
    /// Of several who find it damaged one moves it: the others would move what was made in its place.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_damaged_aside(&self, digest: &Digest) -> Result<Option<PathBuf>, StoreError> {
        let object = self.object(digest);
        claim::alone(self, digest, || {
            let whole = Folder::read(&object).is_ok_and(|folder| folder.digest() == *digest);
            if whole || !object.exists() { Ok(None) } else { self.set_path_aside(&object).map(Some) }
        })
    }

    /// Moves an object out of the way, so that its step counts as not done, and says where to.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_aside(&self, digest: &Digest) -> Result<PathBuf, StoreError> {
        self.set_path_aside(&self.object(digest))
    }

    /// Moves a file or a folder of the store out of the way, and says where to.
    ///
    /// # Errors
    /// Where it cannot be moved.
    pub fn set_path_aside(&self, path: &Path) -> Result<PathBuf, StoreError> {
        let folder = self.root().join("damaged");
        disk::create_folder(&folder)?;
        let name = path.file_name().map_or_else(Default::default, |it| it.to_string_lossy().into_owned());
        let free = (0_u32..).map(|count| folder.join(format!("{name}.{count}"))).find(|path| !path.exists());
        let aside = free.unwrap_or(folder);
        durable::rename(path, &aside)?;
        Ok(aside)
    }
}

/// What lies in a folder, sorted; nothing where it cannot be read.
pub(super) fn names(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}
