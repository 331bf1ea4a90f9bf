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
            run_python("pass", Limits::default())
        });
        let expected = "this kernel has no Landlock, and nothing is run unconfined".to_owned();
        assert_eq!(refused.join().unwrap(), Err(expected));
    }
}
