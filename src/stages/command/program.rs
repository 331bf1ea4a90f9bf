//! A program that runs for a step: in its own folder, with its own log, and never longer than the step.
#![expect(clippy::disallowed_methods, reason = "a time limit needs a clock; no result depends on it")]

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use super::end;
use crate::{
    base::{disk, units::Amount},
    stages::{Context, StageError},
};

/// The leader of the program's process group. It waits for a line on its input, and then ends the whole group, itself
/// included. Where the input closes instead, which it does however this process ends, the group is first asked to go.
const WATCHER: &str = "trap '' TERM INT HUP QUIT; read -r line || { kill -TERM 0; sleep 1; }; kill -KILL 0";

/// How long to wait between two looks at the program: little at first, as many programs are short.
const PAUSES: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(20)];

/// How often a program is started that the system had no room for.
const ATTEMPTS: u32 = 5;

/// What is to run.
pub(super) struct Program {
    pub words: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Where what it says is kept.
    pub log: PathBuf,
    pub limit: Option<Amount>,
}

/// How a program came to its end.
enum End {
    Exit(ExitStatus),
    TimeLimit,
    Cancelled,
}

impl Program {
    /// Runs the program to its end. Nothing that it started is left afterwards, unless it left the process group.
    pub(super) fn run(&self, context: &Context) -> Result<(), StageError> {
        let log = self.open_log()?;
        let group = Group::new().map_err(|error| StageError::Data(format!("`/bin/sh` cannot be started: {error}")))?;
        let mut child = self.start(&group, &log)?;
        match self.wait(&mut child, context)? {
            End::Exit(status) => {
                group.end();
                if status.success() { Ok(()) } else { Err(self.failed(&end::told(status))) }
            }
            End::TimeLimit => {
                group.ask_to_end(&mut child);
                let limit = self.limit.map(|it| it.to_string()).unwrap_or_default();
                Err(self.failed(&format!("the program was ended at its time limit, `timeout = {limit}`")))
            }
            End::Cancelled => {
                group.ask_to_end(&mut child);
                Err(StageError::Cancelled)
            }
        }
    }

    /// A log that begins with the command.
    fn open_log(&self) -> Result<File, StageError> {
        let failed = |error| StageError::File { path: self.log.clone(), error };
        if let Some(folder) = self.log.parent() {
            disk::create_folder(folder).map_err(failed)?;
        }
        let mut log = disk::create(&self.log).map_err(failed)?;
        disk::write(&mut log, &self.log, format!("$ {}\n", self.words.join(" ")).as_bytes()).map_err(failed)?;
        Ok(log)
    }

    fn start(&self, group: &Group, log: &File) -> Result<Child, StageError> {
        let Some((name, arguments)) = self.words.split_first() else {
            return Err(StageError::Arguments("expected a program to run".to_owned()));
        };
        let mut attempt = 1;
        loop {
            let pair = log.try_clone().and_then(|out| Ok((out, log.try_clone()?)));
            let (out, err) = pair.map_err(|error| StageError::File { path: self.log.clone(), error })?;
            let mut command = Command::new(name);
            command.args(arguments).envs(self.env.iter().map(|(name, value)| (name, value)));
            command.current_dir(&self.folder).process_group(group.id());
            match command.stdin(Stdio::null()).stdout(out).stderr(err).spawn() {
                Ok(child) => return Ok(child),
                // The system had no process to spare, or the file was just being written.
                Err(error)
                    if attempt < ATTEMPTS
                        && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ExecutableFileBusy) =>
                {
                    thread::sleep(Duration::from_millis(50) * 2_u32.pow(attempt));
                    attempt += 1;
                }
                Err(error) => return Err(StageError::Data(end::not_started(name, &error))),
            }
        }
    }

    fn wait(&self, child: &mut Child, context: &Context) -> Result<End, StageError> {
        let start = Instant::now();
        let limit = self.limit.map(|it| Duration::try_from_secs_f64(it.value).unwrap_or(Duration::MAX));
        let [mut pause, longest] = PAUSES;
        loop {
            let status = child.try_wait();
            if let Some(status) = status.map_err(|error| StageError::Data(format!("the program was lost: {error}")))? {
                return Ok(End::Exit(status));
            }
            if context.cancelled.load(Ordering::Relaxed) {
                return Ok(End::Cancelled);
            }
            if limit.is_some_and(|limit| start.elapsed() >= limit) {
                return Ok(End::TimeLimit);
            }
            thread::sleep(pause);
            pause = longest.min(pause * 2);
        }
    }

    /// The error of a program that did not do its work, with the end of what it said.
    fn failed(&self, what: &str) -> StageError {
        let tail = end::tail(&self.log).unwrap_or_default();
        let head = if tail.is_empty() { "; it said nothing" } else { "; it said at last" };
        let lines = tail.iter().map(|line| format!("\n| {line}"));
        StageError::Data(format!("{what}{head}{}", lines.collect::<String>()))
    }
}

/// A process group with a watcher that ends it when this process does, by whatever death.
struct Group {
    watcher: Child,
}

impl Group {
    fn new() -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHER]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(|watcher| Self { watcher })
    }

    fn id(&self) -> i32 {
        // Process numbers are small; a number that is none makes the start fail, and not end another's group.
        i32::try_from(self.watcher.id()).unwrap_or(i32::MAX)
    }

    /// Ends at once whatever is left.
    fn end(mut self) {
        if let Some(mut input) = self.watcher.stdin.take() {
            // A watcher that cannot be told sees its input close, which comes to the same a little later.
            let _ = input.write_all(b"\n");
        }
    }

    /// Asks the processes to end, and ends those that have not after a moment.
    fn ask_to_end(mut self, child: &mut Child) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
        let _ = child.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // Not before this is the group's number free for others.
        let _ = self.watcher.wait();
    }
}
