//! Bubblewrap: runs a program in namespaces of its own, in which there are no other files, processes or networks.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use libc::sock_filter;

/// The descriptor by which bubblewrap is handed the filter of system calls.
pub const FILTER: i32 = 3;

/// What takes everything away: every namespace of its own, no power of the super-user, no variable, no terminal.
const ALONE: &[&str] =
    &["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--chdir", "/"];

/// Bubblewrap, where it is installed and the kernel lets it do its work. Found out once, by trying.
pub fn supported() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref()
}

fn find() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&folders).map(|it| it.join("bwrap")).find(|it| it.is_file())?;
    let mut trial = Command::new(&program);
    trial.args(ALONE).args(["--ro-bind", "/", "/", "--", "/bin/sh", "-c", ":"]);
    let quiet = trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|it| it.success()).then_some(program)
}

/// The arguments before those of the program itself: these files and folders may be read, these devices be written too,
/// and there are no others. The filter of system calls comes over [`FILTER`].
#[must_use]
pub fn arguments(readable: &[PathBuf], devices: &[&Path], variables: &[(&str, &str)], program: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ALONE.iter().map(OsString::from).collect();
    for (name, value) in variables {
        arguments.extend(["--setenv", name, value].map(OsString::from));
    }
    // Folders before what lies in them, as a folder that comes later would hide what is there already.
    let mut readable: Vec<&PathBuf> = readable.iter().filter(|it| !devices.contains(&it.as_path())).collect();
    readable.sort();
    readable.dedup();
    for path in readable {
        // What does not exist needs no permission.
        arguments.extend(["--ro-bind-try".into(), path.into(), path.into()]);
    }
    for device in devices {
        arguments.extend(["--dev-bind".into(), device.into(), device.into()]);
    }
    arguments.extend(["--remount-ro", "/", "--seccomp"].map(OsString::from));
    arguments.extend([FILTER.to_string().into(), "--".into(), program.into()]);
    arguments
}

/// The filter of system calls as bubblewrap reads it, ready to be read.
pub fn filter(program: &[sock_filter]) -> io::Result<PipeReader> {
    let bytes: Vec<u8> = program
        .iter()
        .flat_map(|it| {
            let [a, b] = it.code.to_ne_bytes();
            let [c, d, e, f] = it.k.to_ne_bytes();
            [a, b, it.jt, it.jf, c, d, e, f]
        })
        .collect();
    // A pipe holds far more than the filter's few thousand bytes, so that nobody waits for a reader.
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(&bytes)?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_there_but_what_is_named() {
        let readable = ["/usr/lib", "/lib", "/dev/urandom", "/usr/lib/python3"].map(PathBuf::from);
        let devices = ["/dev/null", "/dev/urandom"].map(Path::new);
        let line = arguments(&readable, &devices, &[("LANG", "C.UTF-8")], Path::new("/usr/bin/python3"));
        let line: Vec<&str> = line.iter().map(|it| it.to_str().unwrap()).collect();
        let expected = "--unshare-all --die-with-parent --new-session --cap-drop ALL --clearenv --chdir / \
                        --setenv LANG C.UTF-8 --ro-bind-try /lib /lib --ro-bind-try /usr/lib /usr/lib \
                        --ro-bind-try /usr/lib/python3 /usr/lib/python3 --dev-bind /dev/null /dev/null \
                        --dev-bind /dev/urandom /dev/urandom --remount-ro / --seccomp 3 -- /usr/bin/python3";
        assert_eq!(line.join(" "), expected);
    }

    #[test]
    fn the_filter_is_eight_bytes_an_instruction() {
        let program = [sock_filter { code: 6, jt: 1, jf: 2, k: 0x7fff_0000 }];
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut filter(&program).unwrap(), &mut bytes).unwrap();
        let expected = [6_u16.to_ne_bytes().as_slice(), &[1, 2], &0x7fff_0000_u32.to_ne_bytes()].concat();
        assert_eq!(bytes, expected);
    }
}
