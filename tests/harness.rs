//! A folder with files in it, in which the real program is run, and what it said.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A recipe with each kind of step, which runs in a fraction of a second.
pub const TINY: &str = include_str!("fixtures/e2e/tiny.rgm");

/// A folder of its own for a test.
pub struct Test {
    folder: TempDir,
}

/// How a command ended, and what it said. As text it is without what differs from run to run.
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    folder: PathBuf,
}

impl Test {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes a file, with the folders that it lies in.
    pub fn file(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    /// As [`Test::file`], in the middle of a test.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every file and folder at the top, sorted.
    pub fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program, about to be run in the folder with arguments that are parted by blanks.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regimen"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &str) -> Said {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        Said {
            status: status.code().expect("no signal ended it"),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            folder: self.folder.path().to_owned(),
        }
    }

    /// Runs a command that succeeds.
    pub fn done(&self, arguments: &str) -> Said {
        let said = self.run(arguments);
        assert_eq!(said.status, 0, "{said}");
        said
    }
}

impl Said {
    /// The lines of standard output, each a JSON value.
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The addresses of the steps that a run with `--json` made, in the order of the alphabet.
    pub fn made(&self) -> Vec<String> {
        let events = self.json();
        let finished = events.iter().filter(|event| event["event"] == "step_finished");
        let mut made: Vec<String> = finished.map(|it| it["address"].as_str().unwrap().to_owned()).collect();
        made.sort();
        made
    }

    /// What a run with `--json` gives as its outputs: a digest for each name.
    pub fn outputs(&self) -> Vec<(String, String)> {
        let events = self.json();
        let last = events.last().unwrap();
        assert_eq!(last["event"], "finished");
        let outputs = last["outputs"].as_object().unwrap().iter();
        outputs.map(|(name, it)| (name.clone(), it["digest"].as_str().unwrap().to_owned())).collect()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "exit {}", self.status)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", redact(text, &self.folder))?;
            }
        }
        Ok(())
    }
}

/// A text without the test's folder, digests, durations and sizes. Blanks before a figure become one.
fn redact(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    text.lines().map(redact_line).collect::<Vec<_>>().join("\n")
}

fn redact_line(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let bare = word.trim_end_matches([',', ';', ':']);
        let tail = &word[bare.len()..];
        let kind = match bare {
            "ms" | "s" | "min" | "h" => Some("DURATION"),
            "B" | "KiB" | "MiB" => Some("SIZE"),
            // In a column, that is after blanks; else a recipe speaks of so many tokens.
            "tokens" if words.iter().nth_back(1).is_some_and(String::is_empty) => Some("TOKENS"),
            _ if bare.ends_with("FLOP") => Some("FLOP"),
            _ => None,
        };
        let figure = words.last().is_some_and(|it| it.trim_end_matches(['k', 'M', 'G']).parse::<f64>().is_ok());
        if let Some(kind) = kind.filter(|_| figure) {
            words.pop();
            while words.len() > 1 && words.last().is_some_and(String::is_empty) {
                words.pop();
            }
            words.push(format!("{kind}{tail}"));
        } else if [12, 64].contains(&bare.len()) && bare.chars().all(|it| it.is_ascii_hexdigit()) {
            words.push(format!("DIGEST{tail}"));
        } else {
            words.push(word.to_owned());
        }
    }
    words.join(" ")
}

/// A text without the names of runs and of keys within paths, and without dates.
pub fn steady(text: &str) -> String {
    let digits = |lengths: &[usize], word: &str, between: char| {
        let is_number = |it: &str| it.chars().all(|c| c.is_ascii_digit());
        word.split(between).map(str::len).eq(lengths.iter().copied()) && word.split(between).all(is_number)
    };
    let word = |word: &str| {
        let is_run = word.len() > 14 && word.split('-').all(|it| it.parse::<u64>().is_ok());
        let key = word.rsplit_once('/').and_then(|(_, name)| name.strip_suffix(".log")).filter(|it| it.len() == 64);
        match key {
            _ if is_run => "RUN".to_owned(),
            _ if word.contains("/objects/") => "OBJECT".to_owned(),
            _ if word.contains("/scratch/") => "SCRATCH".to_owned(),
            _ if digits(&[4, 2, 2], word, '-') => "DAY".to_owned(),
            _ if digits(&[2, 2, 2], word, ':') => "TIME".to_owned(),
            Some(key) => word.replace(key, "KEY"),
            None => word.to_owned(),
        }
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
