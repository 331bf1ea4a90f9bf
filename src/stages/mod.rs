//! The built-in stages: one file each, and the registry that lists them.

pub mod context;

pub use context::{Context, Progress, StageError};

/// A built-in stage: its name in the language, its version, and its code.
pub struct Stage {
    pub name: &'static str,
    /// Part of every key. It changes whenever the same arguments and inputs would give other bytes.
    pub version: u32,
    pub run: fn(&Context) -> Result<(), StageError>,
}

/// Every built-in stage, by name.
pub const REGISTRY: &[Stage] = &[];

/// The stage of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Stage> {
    REGISTRY.iter().find(|stage| stage.name == name)
}
