//! Landlock: takes from the calling thread, and from all that it becomes, every file but those that are named.

use std::{
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The oldest version that confines truncation as well as writing, and moves between folders.
const OLDEST: i64 = 3;

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// Every right over files that the oldest version knows.
const ALL: u64 = (1 << 15) - 1;
/// Control of devices, from version 5 on.
const IOCTL_DEVICE: u64 = 1 << 15;
/// Binding and connecting TCP ports, from version 4 on.
const TCP: u64 = 0b11;
/// Abstract sockets and signals beyond the confined, from version 6 on.
const SCOPES: u64 = 0b11;

#[repr(C)]
struct RulesetAttributes {
    files: u64,
    network: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: i32,
}

/// A set of rules, ready to be applied. Building it may allocate; applying it does not, as is needed after a fork.
pub struct Ruleset {
    descriptor: i32,
}

/// Whether the kernel confines files well enough.
pub fn supported() -> Result<(), String> {
    match version() {
        found if found >= OLDEST => Ok(()),
        found if found > 0 => Err(format!("expected Landlock of version {OLDEST} or later, found version {found}")),
        _ => Err("this kernel has no Landlock, and nothing is run unconfined".to_owned()),
    }
}

fn version() -> i64 {
    #[expect(unsafe_code, reason = "a system call without a wrapper in std; it reads no memory with these arguments")]
    unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, 1_u32)
    }
}

impl Ruleset {
    /// Rules that let these files and folders be read and run, and these devices be read and written.
    pub fn new(readable: &[PathBuf], devices: &[&Path]) -> Result<Self, String> {
        let version = version();
        let files = if version >= 5 { ALL | IOCTL_DEVICE } else { ALL };
        let attributes = RulesetAttributes {
            files,
            network: if version >= 4 { TCP } else { 0 },
            scoped: if version >= 6 { SCOPES } else { 0 },
        };
        // Older kernels know a shorter structure.
        let size = if version >= 6 {
            24_usize
        } else if version >= 4 {
            16
        } else {
            8
        };
        #[expect(unsafe_code, reason = "a system call without a wrapper in std; the structure outlives the call")]
        let descriptor =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size, 0_u32) };
        if descriptor < 0 {
            return Err(format!("landlock: {}", std::io::Error::last_os_error()));
        }
        let ruleset = Self { descriptor: descriptor as i32 };
        for path in readable {
            let rights = if path.is_dir() { EXECUTE | READ_FILE | READ_DIR } else { EXECUTE | READ_FILE };
            ruleset.allow(path, rights)?;
        }
        for device in devices {
            ruleset.allow(device, READ_FILE | WRITE_FILE)?;
        }
        Ok(ruleset)
    }

    fn allow(&self, path: &Path, allowed: u64) -> Result<(), String> {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else { return Ok(()) };
        #[expect(unsafe_code, reason = "O_PATH is not offered by std; the name is a C string that outlives the call")]
        let parent = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        if parent < 0 {
            // What does not exist needs no permission.
            return Ok(());
        }
        let rule = PathBeneath { allowed, parent };
        #[expect(unsafe_code, reason = "a system call without a wrapper in std; the structure outlives the call")]
        let result = unsafe {
            let result = libc::syscall(libc::SYS_landlock_add_rule, self.descriptor, 1_u32, &raw const rule, 0_u32);
            libc::close(parent);
            result
        };
        if result == 0 {
            Ok(())
        } else {
            Err(format!("{}: landlock: {}", path.display(), std::io::Error::last_os_error()))
        }
    }

    /// Confines the calling thread for good. Safe to call between fork and exec.
    pub fn apply(&self) -> std::io::Result<()> {
        #[expect(unsafe_code, reason = "a system call without a wrapper in std; it takes only numbers")]
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, self.descriptor, 0_u32) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }
}

impl Drop for Ruleset {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the descriptor is this value's own and is closed once")]
        unsafe {
            libc::close(self.descriptor);
        }
    }
}
