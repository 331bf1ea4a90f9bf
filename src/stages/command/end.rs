//! How a program ended, in words.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
};

/// How much of a log an error shows.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 16 << 10;

/// Why a program was not started.
pub(super) fn not_started(name: &str, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!(
            "there is no program `{name}`; it would run in a folder of its own, so name one of the search path, or hand \
             the file over as a port: `program = path(\"{name}\")`"
        ),
        ErrorKind::PermissionDenied => format!("`{name}` may not be run: it is no program, or not marked as one"),
        _ => format!("`{name}` cannot be started: {error}"),
    }
}

/// How a program ended that did not succeed.
pub(super) fn told(status: ExitStatus) -> String {
    const KILL: i32 = 9;
    let memory = |signal| if signal == KILL { " (perhaps out of memory)" } else { "" };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("the program was killed by signal {signal}{}", memory(signal)),
        // So a shell tells that what it ran was killed.
        (None, Some(code @ 129..=192)) => {
            let signal = code - 128;
            format!("the program ended with code {code}, as if killed by signal {signal}{}", memory(signal))
        }
        (None, Some(127)) => "the program ended with code 127: a program that it names was not found".to_owned(),
        (None, code) => format!("the program ended with code {}", code.unwrap_or_default()),
    }
}

/// The last lines of a log after its first, as a terminal would show them.
pub(super) fn tail(log: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is the command, or it is cut off.
    let lines = text.lines().skip(1).map(shown).filter(|line| !line.is_empty());
    let mut lines: Vec<String> = lines.collect();
    Ok(lines.split_off(lines.len().saturating_sub(TAIL_LINES)))
}

/// A line without what moves a cursor: of a bar that redraws itself the last state.
fn shown(line: &str) -> String {
    let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
    let printable = line.chars().filter(|it| !it.is_control() || *it == '\t');
    printable.take(200).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        let statuses = [0x0100, 0x7f00, 0x8900, 0x8b00, 9, 11].map(ExitStatus::from_raw);
        assert_eq!(
            statuses.map(told),
            [
                "the program ended with code 1",
                "the program ended with code 127: a program that it names was not found",
                "the program ended with code 137, as if killed by signal 9 (perhaps out of memory)",
                "the program ended with code 139, as if killed by signal 11",
                "the program was killed by signal 9 (perhaps out of memory)",
                "the program was killed by signal 11",
            ]
        );
    }

    #[test]
    fn the_tail_is_what_a_terminal_would_show_last() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let lines: Vec<String> = (0..20).map(|it| format!("line {it}")).collect();
        let text = format!("$ train\n{}\n\n 1 %\r 50 %\r 100 %  \n\u{1b}[1mdone\n", lines.join("\n"));
        fs::write(&log, text).unwrap();
        let tail = tail(&log).unwrap();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail[..2], ["line 10", "line 11"]);
        assert_eq!(tail[10..], [" 100 %", "[1mdone"]);
    }
}
