//! Removes what nothing needs any more. What is needed is for the caller to say; how to remove it is known here.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{Hold, Record, Store, StoreError, claim, disk, durable, verify::names};
use crate::base::digest::Digest;

/// What must stay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    pub objects: BTreeSet<Digest>,
    /// The keys of steps that are not done and may go on from where they were.
    pub keys: BTreeSet<Digest>,
    /// Whether the states of all steps that are done go.
    pub finished_go: bool,
    /// Whether every unfinished step may go on, as the keys of some that are wanted are not known yet.
    pub all_unfinished: bool,
}

/// What can go, in the order in which it goes: what costs nothing to lose comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What a dead process left half made.
    Scratch,
    /// What was set aside because it is not as it was written.
    Damaged,
    /// States to go on from, of a step that is done.
    Finished,
    /// States to go on from, of a step that nothing asks for.
    Abandoned,
    /// An artifact that nothing asks for.
    Object,
}

impl Kind {
    /// Whether somebody who works with the store just now may rely on it: the states of a step that is done as well, as
    /// a longer run may be taking them over.
    fn may_be_needed(self) -> bool {
        !matches!(self, Self::Scratch | Self::Damaged)
    }
}

/// One thing that can go.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub kind: Kind,
    pub path: PathBuf,
    pub bytes: u64,
    /// What it took to make, by the quickest of its makers; zero where nobody would make it again.
    pub seconds: f64,
    /// The addresses under which it was made.
    pub makers: Vec<String>,
    /// The key of the step whose states these are.
    key: Option<Digest>,
}

/// What can go and what stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Garbage {
    pub items: Vec<Item>,
    /// How many objects stay, and their bytes.
    pub kept: usize,
    pub kept_bytes: u64,
}

impl Garbage {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// What it would take to make all of it again.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.items.iter().map(|item| item.seconds).sum()
    }

    /// Leaves out what may only go while nobody works with the store, and gives it.
    pub fn spare(&mut self) -> Vec<Item> {
        let (spared, going): (Vec<Item>, _) = self.items.drain(..).partition(|item| item.kind.may_be_needed());
        self.items = going;
        let objects = spared.iter().filter(|item| item.kind == Kind::Object);
        self.kept += objects.clone().count();
        self.kept_bytes += objects.map(|item| item.bytes).sum::<u64>();
        spared
    }
}

impl Store {
    /// Looks for what can go. This changes nothing.
    #[must_use]
    pub fn garbage(&self, roots: &Roots) -> Garbage {
        let records = self.records();
        let mut makers: BTreeMap<Digest, Vec<&Record>> = BTreeMap::new();
        records.iter().for_each(|record| makers.entry(record.output).or_default().push(record));
        let mut garbage = Garbage::default();
        let item =
            |kind, path: PathBuf| Item { kind, bytes: size(&path), path, seconds: 0.0, makers: Vec::new(), key: None };
        garbage.items.extend(claim::stale(self).into_iter().map(|path| item(Kind::Scratch, path)));
        garbage.items.extend(names(&self.root().join("damaged")).into_iter().map(|path| item(Kind::Damaged, path)));
        for path in names(&self.root().join("checkpoints")) {
            let Some(key) = path.file_name().and_then(|it| it.to_str()?.parse::<Digest>().ok()) else { continue };
            let kind = match self.done(&key) {
                // A longer run may begin where this one ended.
                Some(record) if !roots.finished_go && roots.objects.contains(&record.output) => continue,
                Some(_) => Kind::Finished,
                None if roots.all_unfinished || roots.keys.contains(&key) => continue,
                None => Kind::Abandoned,
            };
            let makers = self.record(&key).map(|record| record.address).into_iter().collect();
            garbage.items.push(Item { makers, key: Some(key), ..item(kind, path) });
        }
        for digest in self.objects() {
            let path = self.object(&digest);
            if roots.objects.contains(&digest) {
                garbage.kept += 1;
                garbage.kept_bytes += size(&path);
                continue;
            }
            let makers = makers.get(&digest).map(Vec::as_slice).unwrap_or_default();
            let seconds = makers.iter().map(|record| record.seconds).min_by(f64::total_cmp).unwrap_or_default();
            let mut addresses: Vec<String> = makers.iter().map(|record| record.address.clone()).collect();
            addresses.sort();
            addresses.dedup();
            garbage.items.push(Item { seconds, makers: addresses, ..item(Kind::Object, path) });
        }
        garbage.items.sort_by(|a, b| (a.kind, &a.makers, &a.path).cmp(&(b.kind, &b.makers, &b.path)));
        garbage
    }

    /// Removes things, one after the other, and leaves those that could go in the list. Records stay: they say what there
    /// was, and what it cost. Without the right to remove objects, those and the states of steps stay.
    ///
    /// # Errors
    /// Where something cannot be removed; what went before is gone, and the store is sound.
    pub fn remove(&self, garbage: &mut Garbage, alone: Option<&Hold>) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for item in garbage.items.drain(..).filter(|item| alone.is_some() || !item.kind.may_be_needed()) {
            let removed = match (item.kind, item.key) {
                (Kind::Scratch, _) => claim::sweep_one(self, &item.path)?,
                // Whoever writes states for a step holds its lock.
                (_, Some(key)) => claim::with_lock(self, &key, || self.remove_whole(&item.path).map(drop))?,
                _ => self.remove_whole(&item.path)?,
            };
            gone.extend(removed.then_some(item));
        }
        garbage.items = gone;
        Ok(())
    }

    /// Removes a folder or a file so that it is there whole or not at all.
    fn remove_whole(&self, path: &Path) -> Result<bool, StoreError> {
        let name = path.file_name().map_or_else(Default::default, |it| it.to_string_lossy().into_owned());
        // Under a name that is swept like any other remainder, should this be as far as it gets.
        let key = Digest::of(name.as_bytes());
        let scratch = self.root().join("scratch");
        let trash = scratch.join(format!("{key}-gone"));
        claim::with_lock(self, &key, || {
            disk::create_folder(&scratch)?;
            disk::remove(&trash)?;
            durable::rename(path, &trash)?;
            disk::remove(&trash)
        })
    }
}

/// The bytes of all files below a path.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => names(path).iter().map(|path| size(path)).sum(),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}
