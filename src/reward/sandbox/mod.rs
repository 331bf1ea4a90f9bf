//! Runs untrusted Python: no files, no network, no other process, little memory, and a wall clock.
//!
//! Bubblewrap, where it is installed and works, runs Python in namespaces without any file but Python's own; else the
//! kernel's Landlock takes every other file away. In both a seccomp filter refuses every call that could reach out of the
//! process: sockets, signals, tracing, new processes, mounts, owners and modes of files; and limits on memory, processor
//! time and file sizes are set. Where neither is to be had nothing runs.

#[cfg(target_os = "linux")]
mod bubblewrap;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod process;

use std::{path::PathBuf, time::Duration};

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

/// What takes files and other processes away from a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// The program `bwrap`.
    Bubblewrap(PathBuf),
    Landlock,
}

impl Confinement {
    /// The best that there is: bubblewrap before Landlock, and neither is an error that says what is missing.
    pub fn choose(bubblewrap: Option<PathBuf>, landlock: Result<(), String>) -> Result<Self, String> {
        match (bubblewrap, landlock) {
            (Some(program), _) => Ok(Self::Bubblewrap(program)),
            (None, Ok(())) => Ok(Self::Landlock),
            (None, Err(missing)) => Err(missing),
        }
    }

    /// The best on this machine.
    pub fn here() -> Result<Self, String> {
        #[cfg(target_os = "linux")]
        return Self::choose(bubblewrap::supported().map(Into::into), landlock::supported());
        #[cfg(not(target_os = "linux"))]
        Err("programs are run only where Linux can confine them, with bubblewrap or Landlock".to_owned())
    }
}

/// Whether programs can be confined on this machine, and if not, what is missing.
pub fn available() -> Result<(), String> {
    Confinement::here()?;
    #[cfg(target_os = "linux")]
    process::interpreter()?;
    Ok(())
}

/// Runs a Python program and tells whether it came to its end. It never runs unconfined: what is missing is an error.
pub fn run_python(source: &str, limits: Limits) -> Result<Outcome, String> {
    run_python_in(&Confinement::here()?, source, limits)
}

/// The same in a confinement of one's choice.
pub fn run_python_in(confinement: &Confinement, source: &str, limits: Limits) -> Result<Outcome, String> {
    #[cfg(target_os = "linux")]
    {
        if *confinement == Confinement::Landlock {
            landlock::supported()?;
        }
        process::run(confinement, source, limits)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (confinement, source, limits);
        Err("programs are run only on Linux".to_owned())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A thread on which the kernel answers as one without Landlock: nothing runs on it.
    #[test]
    fn without_landlock_nothing_runs() {
        let refused = std::thread::spawn(|| {
            let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
            let missing = [
                step(0x20, 0, 0, 0),
                step(0x15, libc::SYS_landlock_create_ruleset as u32, 0, 1),
                step(0x06, 0x0005_0000 | libc::ENOSYS as u32, 0, 0),
                step(0x06, 0x7fff_0000, 0, 0),
            ];
            filter::apply(&missing).unwrap();
            run_python_in(&Confinement::Landlock, "pass", Limits::default())
        });
        let expected = "this kernel has no Landlock, and nothing is run unconfined".to_owned();
        assert_eq!(refused.join().unwrap(), Err(expected));
    }

    #[test]
    fn bubblewrap_comes_before_landlock_and_neither_is_an_error() {
        let program = || Some(PathBuf::from("/usr/bin/bwrap"));
        let missing = || Err("no Landlock".to_owned());
        assert_eq!(Confinement::choose(program(), Ok(())), Ok(Confinement::Bubblewrap("/usr/bin/bwrap".into())));
        assert_eq!(Confinement::choose(program(), missing()), Ok(Confinement::Bubblewrap("/usr/bin/bwrap".into())));
        assert_eq!(Confinement::choose(None, Ok(())), Ok(Confinement::Landlock));
        assert_eq!(Confinement::choose(None, missing()), Err("no Landlock".to_owned()));
    }
}
