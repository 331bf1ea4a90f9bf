//! States of a step that is not done, in a folder of the step's own: `checkpoints/<key>/<position>/`, two of them kept.
//!
//! A state is written in scratch, sealed and renamed, as objects are; its hidden file `.digest` says what it held, so
//! that a damaged one is passed over for the one before. `step.json` says whose states they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Claim, Folder, Store, StoreError, disk, durable,
    object::seal,
    sealed::{unchanged, with_check},
};
use crate::base::digest::Digest;

/// How many states are kept: where the latest is damaged, there is one before it.
const KEPT: usize = 2;
const DIGEST: &str = ".digest";
const STEP: &str = "step.json";

/// The states of one step.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    /// Where a state is written before it has its name.
    scratch: PathBuf,
}

/// A state that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many units of its work the step had done.
    pub position: u64,
    pub folder: PathBuf,
}

/// Whose states a folder holds. It is believed only where it is as it was written: states of another step, taken for
/// those of a shorter run, would give other bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// What the step's key is made of.
    pub fields: Value,
    /// The step's address in the recipe that began it.
    pub address: String,
}

impl Store {
    /// The states of the step that a claim is for.
    #[must_use]
    pub fn checkpoints_of(&self, claim: &Claim) -> Checkpoints {
        Checkpoints { folder: self.checkpoints(claim.key()), scratch: claim.scratch().to_owned() }
    }

    /// How far the latest state of a step is, by the names of the files alone.
    #[must_use]
    pub fn position(&self, key: &Digest) -> Option<u64> {
        positions(&self.checkpoints(key)).pop()
    }

    /// Every step that has states, with how far the latest is.
    #[must_use]
    pub fn begun(&self) -> Vec<(Digest, Begun, u64)> {
        let Ok(entries) = fs::read_dir(self.root().join("checkpoints")) else { return Vec::new() };
        let keys = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<Digest>().ok());
        let mut begun: Vec<(Digest, Begun, u64)> = keys
            .filter_map(|key| {
                let text = fs::read(self.checkpoints(&key).join(STEP)).ok()?;
                Some((key, serde_json::from_slice(unchanged(&text)?).ok()?, self.position(&key)?))
            })
            .collect();
        begun.sort_by_key(|(key, ..)| *key);
        begun
    }
}

impl Checkpoints {
    /// The step's own folder, made where it is not there yet.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn folder(&self, begun: &Begun) -> Result<&Path, StoreError> {
        let file = self.folder.join(STEP);
        if !file.exists() {
            disk::create_folder(&self.folder)?;
            let text = serde_json::to_string_pretty(begun).map_err(|error| StoreError::file(&file, error.into()))?;
            durable::write(&file, with_check(&text).as_bytes(), &self.scratch.join(STEP))?;
        }
        Ok(&self.folder)
    }

    /// The states that are whole, the latest first. Each is read against its digest.
    #[must_use]
    pub fn kept(&self) -> Vec<Checkpoint> {
        let states = positions(&self.folder).into_iter().rev();
        let states = states.map(|position| Checkpoint { position, folder: self.place(position) });
        states.filter(|it| is_whole(&it.folder)).collect()
    }

    /// Keeps what `fill` writes into a folder, and lets go of states that are older than the one before it.
    ///
    /// # Errors
    /// Where it cannot be written; then the states before stay as they are.
    pub fn keep<E: From<StoreError>>(&self, position: u64, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
        let scratch = self.scratch.join("state");
        disk::remove_folder(&scratch)?;
        disk::create_folder(&scratch)?;
        fill(&scratch)?;
        let place = self.place(position);
        let digest = Folder::read(&scratch)?.digest();
        let file = scratch.join(DIGEST);
        disk::write(&mut disk::create(&file)?, &file, digest.hex().as_bytes())?;
        seal(&scratch)?;
        // Only a damaged state can lie there, or the same one.
        disk::remove_folder(&place)?;
        durable::rename(&scratch, &place)?;
        self.keep_latest(KEPT)?;
        Ok(())
    }

    /// Lets go of all states but the latest ones.
    ///
    /// # Errors
    /// Where they cannot be removed.
    pub fn keep_latest(&self, count: usize) -> Result<(), StoreError> {
        let positions = positions(&self.folder);
        let old = positions.len().saturating_sub(count);
        positions.into_iter().take(old).try_for_each(|position| disk::remove_folder(&self.place(position)))
    }

    /// Lets go of everything: the step is done, and nothing goes on from it.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        disk::remove_folder(&self.folder)
    }

    /// Takes over the states of another step, whose beginning is this one's as well.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn adopt(&self, store: &Store, other: &Digest, begun: &Begun) -> Result<(), StoreError> {
        let other = Self { folder: store.checkpoints(other), scratch: self.scratch.clone() };
        let folder = self.folder(begun)?;
        let files = fs::read_dir(&other.folder).map_err(|error| StoreError::file(&other.folder, error))?;
        // The lines come first: a state without them would count for nothing.
        for path in files.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && !path.ends_with(STEP)) {
            let Some(name) = path.file_name() else { continue };
            disk::copy(&path, &folder.join(name))?;
        }
        for state in other.kept().into_iter().rev() {
            self.keep(state.position, |folder| link_files(&state.folder, folder))?;
        }
        Ok(())
    }

    fn place(&self, position: u64) -> PathBuf {
        // With leading noughts the names sort as the numbers do.
        self.folder.join(format!("{position:012}"))
    }
}

/// The positions of all states, whole or not, in rising order.
fn positions(folder: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut positions: Vec<u64> = names.collect();
    positions.sort_unstable();
    positions
}

fn is_whole(folder: &Path) -> bool {
    let digest = fs::read_to_string(folder.join(DIGEST));
    digest.is_ok_and(|digest| Folder::read(folder).is_ok_and(|found| found.digest().hex() == digest))
}

/// Gives the files of a state a second name; nobody ever changes them.
fn link_files(from: &Path, to: &Path) -> Result<(), StoreError> {
    let folder = Folder::read(from)?;
    folder.files.iter().try_for_each(|file| disk::link(&from.join(&file.name), &to.join(&file.name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Claimed;

    fn claim(store: &Store, key: &Digest) -> Claim {
        match store.claim(key, |_| false).unwrap() {
            Claimed::Mine(claim) => claim,
            Claimed::Done(_) => unreachable!("nothing is made"),
        }
    }

    fn keep(states: &Checkpoints, position: u64) {
        let fill = |folder: &Path| {
            fs::write(folder.join("state"), position.to_string()).map_err(|it| StoreError::file(folder, it))
        };
        states.keep(position, fill).unwrap();
    }

    fn kept(states: &Checkpoints) -> Vec<(u64, String)> {
        let read = |it: Checkpoint| (it.position, fs::read_to_string(it.folder.join("state")).unwrap());
        states.kept().into_iter().map(read).collect()
    }

    #[test]
    fn the_latest_two_are_kept_and_a_damaged_one_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path());
        store.prepare().unwrap();
        let [key, longer] = ["key", "longer"].map(|it| Digest::of(it.as_bytes()));
        let begun = Begun { fields: Value::Null, address: "base".into() };
        let claimed = claim(&store, &key);
        let states = store.checkpoints_of(&claimed);
        fs::write(states.folder(&begun).unwrap().join("lines.jsonl"), "1\n").unwrap();
        for position in [9, 10, 11] {
            keep(&states, position);
        }
        assert_eq!(kept(&states), [(11, "11".to_owned()), (10, "10".to_owned())]);
        assert_eq!(store.begun(), [(key, begun.clone(), 11)]);

        let claimed = claim(&store, &longer);
        let adopted = store.checkpoints_of(&claimed);
        adopted.adopt(&store, &key, &begun).unwrap();
        assert_eq!(kept(&adopted), kept(&states));
        assert_eq!(fs::read_to_string(store.checkpoints(&longer).join("lines.jsonl")).unwrap(), "1\n");

        let file = states.place(11).join("state");
        fs::remove_file(&file).unwrap();
        fs::write(&file, "xx").unwrap();
        assert_eq!(kept(&states), [(10, "10".to_owned())]);
        keep(&states, 11);
        assert_eq!(kept(&states), [(11, "11".to_owned()), (10, "10".to_owned())]);
        states.clear().unwrap();
        assert_eq!(store.position(&key), None);
    }
}
