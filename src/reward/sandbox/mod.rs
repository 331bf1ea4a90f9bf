//! Runs untrusted Python: no files, no network, no other process, little memory, and a wall clock.
//!
//! The kernel's Landlock takes away every file but Python's own, and a seccomp filter every call that could reach out of
//! the process: sockets, signals, tracing, new processes, mounts, owners and modes of files. Limits on memory, processor
//! time and file sizes are always set. Where the kernel lacks any of this nothing runs.

#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod process;

use std::time::Duration;

/// How much a program may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    /// Memory in bytes, all of the address space.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(10), memory: 1 << 30 }
    }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Passed,
    /// It raised an error, left early, or was stopped by a limit of memory.
    Failed,
    /// It ran out of time.
    TimedOut,
}

/// Whether programs can be confined on this machine, and if not, what is missing.
pub fn available() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    {
        landlock::supported()?;
        process::interpreter().map(|_| ())
    }
    #[cfg(not(target_os = "linux"))]
    Err("programs are run only where Linux can confine them with Landlock".to_owned())
}

/// Runs a Python program and tells whether it came to its end. It never runs unconfined: what is missing is an error.
pub fn run_python(source: &str, limits: Limits) -> Result<Outcome, String> {
    available()?;
    #[cfg(target_os = "linux")]
    return process::run(source, limits);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (source, limits);
        Err("programs are run only on Linux".to_owned())
    }
}
