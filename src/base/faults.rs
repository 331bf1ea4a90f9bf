//! Failpoints: places at which a test makes the disk fail, or the process die.
//!
//! Every change that a run makes to a disk, in the store and in what stages write, is an operation of [`super::disk`], and
//! each operation counts itself here. Where nothing is set up, that costs one load of a flag. Two ways set something up:
//!
//! - The environment variable `REGIMEN_FAILPOINT`, read once, for the whole process.
//! - [`arm`], for one store within this process, so that tests side by side do not meet.
//!
//! Both take failpoints, parted by commas, of the form `OPERATION:PHASE:NUMBER=EFFECT`:
//!
//! | part | is one of |
//! |---|---|
//! | `OPERATION` | `folder` (make one), `create` (or open to write), `write`, `sync`, `rename`, `remove`, `permit` (change the mode), `index` (ask the index's library for something); `any` |
//! | `PHASE` | `before`, `after`; for `write` also `half`, when half of the bytes are written |
//! | `NUMBER` | which operation of that kind, from one; with `+` behind it that one and all later ones |
//! | `EFFECT` | `kill` (the process ends at once, without unwinding), or the error `ENOSPC`, `EIO`, `EROFS`, `EACCES` |
//!
//! So `rename:after:7=kill` is a power cut right after the seventh rename, and `write:half:3+=ENOSPC` a disk that is full
//! from the third write on. `trace` in place of a failpoint writes a line to standard error for each operation:
//! `failpoint any 12 rename 3 PATH`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// The name of the environment variable.
pub const VARIABLE: &str = "REGIMEN_FAILPOINT";

/// What is done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Folder,
    Create,
    Write,
    Sync,
    Rename,
    Remove,
    Permit,
    Index,
}

/// Every operation with its name.
pub const OPERATIONS: [(&str, Operation); 8] = [
    ("folder", Operation::Folder),
    ("create", Operation::Create),
    ("write", Operation::Write),
    ("sync", Operation::Sync),
    ("rename", Operation::Rename),
    ("remove", Operation::Remove),
    ("permit", Operation::Permit),
    ("index", Operation::Index),
];

const ERRORS: [(&str, i32); 4] = [("ENOSPC", 28), ("EIO", 5), ("EROFS", 30), ("EACCES", 13)];

/// When, seen from the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Before,
    Half,
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Kill,
    Error(i32),
}

/// One place at which something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failpoint {
    /// None for an operation of any kind.
    operation: Option<Operation>,
    phase: Phase,
    number: u64,
    /// Whether later operations are struck as well.
    onwards: bool,
    effect: Effect,
}

/// Failpoints, and how far their counting is.
#[derive(Debug, Default)]
struct Layer {
    /// The folder that they are for; None for every one.
    root: Option<PathBuf>,
    points: Vec<Failpoint>,
    trace: bool,
    /// What is wrong with the text that set this up; then every operation fails with it.
    mistake: Option<String>,
    counts: [AtomicU64; OPERATIONS.len()],
    total: AtomicU64,
    struck: AtomicU64,
}

static LAYERS: LazyLock<Mutex<Vec<Arc<Layer>>>> = LazyLock::new(|| {
    let text = std::env::var_os(VARIABLE);
    Mutex::new(text.map(|text| Arc::new(Layer::new(&text.to_string_lossy(), None))).into_iter().collect())
});

/// Whether there is a layer at all.
static ANY: LazyLock<AtomicBool> =
    LazyLock::new(|| AtomicBool::new(!LAYERS.lock().unwrap_or_else(PoisonError::into_inner).is_empty()));

/// Failpoints for one folder, for as long as this lives.
#[derive(Debug)]
pub struct Armed(Arc<Layer>);

/// Sets failpoints for all below a folder, in this process. The empty text sets none, and only counts.
///
/// # Errors
/// Where the text names no failpoints.
pub fn arm(root: &Path, text: &str) -> Result<Armed, String> {
    let layer = Layer::new(text, Some(root.to_owned()));
    if let Some(mistake) = layer.mistake {
        return Err(mistake);
    }
    let layer = Arc::new(layer);
    LAYERS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&layer));
    ANY.store(true, Ordering::Relaxed);
    Ok(Armed(layer))
}

impl Armed {
    /// How many operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.total.load(Ordering::Relaxed)
    }

    /// How many operations of one kind there were.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.0.counts.get(operation as usize).map_or(0, |it| it.load(Ordering::Relaxed))
    }

    /// How many of them were struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Relaxed)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let mut layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner);
        layers.retain(|layer| !Arc::ptr_eq(layer, &self.0));
        ANY.store(!layers.is_empty(), Ordering::Relaxed);
    }
}

/// What happens around one operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strike {
    before: Option<Effect>,
    half: Option<Effect>,
    after: Option<Effect>,
}

impl Strike {
    /// Counts an operation, and says what strikes it.
    pub(super) fn of(operation: Operation, path: &Path) -> io::Result<Self> {
        if !ANY.load(Ordering::Relaxed) {
            return Ok(Self::default());
        }
        let layers = LAYERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let here = |layer: &&Arc<Layer>| layer.root.as_ref().is_none_or(|root| path.starts_with(root));
        layers.iter().find(here).map_or(Ok(Self::default()), |layer| layer.count(operation, path))
    }

    pub(super) fn before(self) -> io::Result<()> {
        strike(self.before)
    }

    /// Whether only half of the bytes are to be written, after which [`Strike::halfway`] strikes.
    pub(super) fn halves(self) -> bool {
        self.half.is_some()
    }

    pub(super) fn halfway(self) -> io::Result<()> {
        strike(self.half)
    }

    pub(super) fn after(self) -> io::Result<()> {
        strike(self.after)
    }
}

fn strike(effect: Option<Effect>) -> io::Result<()> {
    match effect {
        None => Ok(()),
        // No destructor runs and no buffer is written, as where the kernel kills.
        Some(Effect::Kill) => std::process::abort(),
        Some(Effect::Error(number)) => Err(io::Error::from_raw_os_error(number)),
    }
}

impl Layer {
    fn new(text: &str, root: Option<PathBuf>) -> Self {
        let mut layer = Self { root, ..Self::default() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "trace" {
                layer.trace = true;
                continue;
            }
            match part.parse() {
                Ok(point) => layer.points.push(point),
                Err(mistake) => layer.mistake = Some(mistake),
            }
        }
        layer
    }

    fn count(&self, operation: Operation, path: &Path) -> io::Result<Strike> {
        if let Some(mistake) = &self.mistake {
            return Err(io::Error::other(mistake.clone()));
        }
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let number = self.counts.get(operation as usize).map_or(0, |it| it.fetch_add(1, Ordering::Relaxed) + 1);
        if self.trace {
            eprintln!("failpoint any {total} {operation} {number} {}", path.display());
        }
        let effect = |phase| {
            let struck = |point: &&Failpoint| {
                let number = if point.operation.is_none() { total } else { number };
                point.phase == phase
                    && point.operation.is_none_or(|it| it == operation)
                    && (number == point.number || point.onwards && number > point.number)
            };
            self.points.iter().find(struck).map(|point| point.effect)
        };
        let half = effect(Phase::Half).filter(|_| operation == Operation::Write);
        let strike = Strike { before: effect(Phase::Before), half, after: effect(Phase::After) };
        if strike.before.or(strike.half).or(strike.after).is_some() {
            self.struck.fetch_add(1, Ordering::Relaxed);
        }
        Ok(strike)
    }
}

impl FromStr for Failpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = || {
            let (place, effect) = text.split_once('=')?;
            let (operation, place) = place.split_once(':')?;
            let (phase, number) = place.split_once(':')?;
            let operation = match operation {
                "any" => None,
                name => Some(OPERATIONS.iter().find(|(known, _)| *known == name)?.1),
            };
            let phase = match phase {
                "before" => Phase::Before,
                "half" => Phase::Half,
                "after" => Phase::After,
                _ => return None,
            };
            let effect = match effect {
                "kill" => Effect::Kill,
                name => Effect::Error(ERRORS.iter().find(|(known, _)| *known == name)?.1),
            };
            let onwards = number.ends_with('+');
            let number = number.trim_end_matches('+').parse().ok().filter(|it| *it > 0)?;
            Some(Self { operation, phase, number, onwards, effect })
        };
        parts().ok_or_else(|| {
            format!(
                "{VARIABLE}: expected `OPERATION:before|half|after:NUMBER=kill|ENOSPC|EIO|EROFS|EACCES`, found `{text}`"
            )
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(OPERATIONS.iter().find(|(_, it)| it == self).map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failpoints_are_read_and_mistakes_are_told() {
        let point: Failpoint = "write:half:3+=ENOSPC".parse().unwrap();
        let (operation, phase, effect) = (Some(Operation::Write), Phase::Half, Effect::Error(28));
        assert_eq!(point, Failpoint { operation, phase, number: 3, onwards: true, effect });
        for text in ["write:half:3", "writ:half:3=kill", "write:now:3=kill", "write:half:0=kill", "any:after:1=ENOPE"] {
            let mistake = text.parse::<Failpoint>().unwrap_err();
            assert!(mistake.ends_with(&format!("found `{text}`")), "{mistake}");
        }
    }

    #[test]
    fn only_the_named_operation_of_the_named_store_is_struck() {
        let armed = arm(Path::new("/one"), "write:before:2=EIO").unwrap();
        let fails = |operation, path: &str| Strike::of(operation, Path::new(path)).unwrap().before().is_err();
        assert!(!fails(Operation::Write, "/other/file"));
        assert!(!fails(Operation::Write, "/one/file"));
        assert!(!fails(Operation::Sync, "/one/file"));
        assert!(fails(Operation::Write, "/one/file"));
        assert!(!fails(Operation::Write, "/one/file"));
        assert_eq!((armed.operations(), armed.count(Operation::Write), armed.struck()), (4, 3, 1));
    }
}
