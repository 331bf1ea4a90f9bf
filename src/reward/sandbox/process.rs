//! Starts Python under the confinement, hands it a program, and waits for it or ends it.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use crate::reward::sandbox::{Confinement, Limits, Outcome, bubblewrap, filter, landlock::Ruleset};

/// What Python does: it takes a word and a program from its input, closes all that is open, runs the program, and says
/// the word only if the program came to its end. So leaving early with success is no success.
const RUNNER: &str = r#"
def run():
    import os, sys
    data = sys.stdin.buffer.read()
    word, _, source = data.partition(b"\n")
    del data
    say = os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    write = os.write
    names = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(source, "answer.py", "exec"), names)
    write(say, word)
run()
"#;

/// The least time between two looks at a running program.
const PAUSE: Duration = Duration::from_millis(2);

/// Python and the places that it reads.
pub struct Interpreter {
    executable: PathBuf,
    readable: Vec<PathBuf>,
}

/// The interpreter of this machine, found once. It is asked, unconfined, where it lives: what `python3` names may be a
/// script that starts another.
pub fn interpreter() -> Result<&'static Interpreter, String> {
    static FOUND: OnceLock<Result<Interpreter, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_ref().map_err(Clone::clone)
}

fn find() -> Result<Interpreter, String> {
    let ask = "import os, sys\nprint(os.path.realpath(sys.executable))\nprint(os.path.realpath(sys.base_prefix))\n\
               print(os.path.dirname(os.path.realpath(os.__file__)))";
    let output = Command::new("python3").args(["-I", "-c", ask]).output();
    let output = output.map_err(|error| format!("`python3` cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().map(PathBuf::from);
    let (Some(executable), Some(prefix), Some(library)) = (lines.next(), lines.next(), lines.next()) else {
        return Err("`python3` does not say where it is installed".to_owned());
    };
    let mut readable: Vec<PathBuf> =
        ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/dev/urandom"].map(PathBuf::from).to_vec();
    // Of an installation in a home only the installation itself.
    readable.extend([executable.clone(), library]);
    if prefix != Path::new("/usr") && prefix != Path::new("/") {
        readable.extend([prefix.join("lib"), prefix.join("bin")]);
    }
    Ok(Interpreter { executable, readable })
}

/// Runs a program under the limits.
#[expect(clippy::disallowed_methods, reason = "the limit is one of wall-clock time")]
pub fn run(confinement: &Confinement, source: &str, limits: Limits) -> Result<Outcome, String> {
    let interpreter = interpreter()?;
    let mut word = format!("{:016x}{:016x}", random(), random());
    let deadline = Instant::now() + limits.time;
    let mut child = match confinement {
        Confinement::Bubblewrap(program) => wrap(program, interpreter, limits)?,
        Confinement::Landlock => start(interpreter, limits)?,
    };
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let input = format!("{word}\n{source}");
    let (said, outcome) = thread::scope(|scope| {
        scope.spawn(move || stdin.map(|mut it| it.write_all(input.as_bytes())));
        // More than the word is not waited for, and not kept.
        let reader = scope.spawn(move || {
            let mut said = String::new();
            let _ = stdout.map(|it| it.take(64).read_to_string(&mut said));
            said
        });
        let outcome = wait(&mut child, deadline);
        (reader.join().unwrap_or_default(), outcome)
    });
    word.truncate(64);
    Ok(match outcome.map_err(|error| format!("python: {error}"))? {
        Outcome::Passed if said == word => Outcome::Passed,
        Outcome::TimedOut => Outcome::TimedOut,
        _ => Outcome::Failed,
    })
}

/// A number that a program cannot guess; it reaches no result.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[expect(clippy::disallowed_methods, reason = "the limit is one of wall-clock time")]
fn wait(child: &mut Child, deadline: Instant) -> io::Result<Outcome> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Outcome::Passed } else { Outcome::Failed });
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::TimedOut);
        }
        thread::sleep(PAUSE);
    }
}

/// Starts Python within bubblewrap, which puts the filter on it last of all.
fn wrap(program: &Path, interpreter: &Interpreter, limits: Limits) -> Result<Child, String> {
    let fault = |error: io::Error| format!("{}: {error}", program.display());
    let devices = ["/dev/null", "/dev/urandom"].map(Path::new);
    let filter = bubblewrap::filter(&filter::program()).map_err(fault)?;
    let descriptor = filter.as_raw_fd();
    let parent = std::process::id();
    let variables = [("LANG", "C.UTF-8")];
    let mut command = Command::new(program);
    command
        .args(bubblewrap::arguments(&interpreter.readable, &devices, &variables, &interpreter.executable))
        .args(["-I", "-B", "-c", RUNNER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let confine = move || {
        limit_all(limits)?;
        end_with(parent)?;
        hand_over(descriptor, bubblewrap::FILTER)
    };
    #[expect(unsafe_code, reason = "the closure only makes system calls and reads what was prepared before the fork")]
    unsafe {
        command.pre_exec(confine);
    }
    let child = command.spawn().map_err(fault);
    drop(filter);
    child
}

/// Leaves a descriptor open, under a number of its own, in the program that is about to start, and closes all others but
/// the first three.
fn hand_over(descriptor: i32, number: i32) -> io::Result<()> {
    #[expect(
        unsafe_code,
        reason = "these calls take numbers only; the descriptor is open until the program has started"
    )]
    let done = unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 4_u32) == 0
            && libc::dup2(descriptor, number) == number
            && libc::fcntl(number, libc::F_SETFD, 0) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn start(interpreter: &Interpreter, limits: Limits) -> Result<Child, String> {
    let ruleset = Ruleset::new(&interpreter.readable, &[Path::new("/dev/null")])?;
    let program = filter::program();
    let parent = std::process::id();
    let mut command = Command::new(&interpreter.executable);
    command
        .args(["-I", "-B", "-c", RUNNER])
        .env_clear()
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let confine = move || {
        limit_all(limits)?;
        end_with(parent)?;
        drop_powers()?;
        ruleset.apply()?;
        filter::apply(&program)
    };
    #[expect(unsafe_code, reason = "the closure only makes system calls and reads what was prepared before the fork")]
    unsafe {
        command.pre_exec(confine);
    }
    command.spawn().map_err(|error| format!("{}: {error}", interpreter.executable.display()))
}

fn limit_all(limits: Limits) -> io::Result<()> {
    limit(libc::RLIMIT_AS, limits.memory)?;
    limit(libc::RLIMIT_CPU, limits.time.as_secs() + 1)?;
    limit(libc::RLIMIT_FSIZE, 0)?;
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_NOFILE, 64)?;
    limit(libc::RLIMIT_MEMLOCK, 0)
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    #[expect(unsafe_code, reason = "setrlimit has no wrapper in std; the structure outlives the call")]
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ends with the parent.
fn end_with(parent: u32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "these calls have no wrapper in std; they take numbers only")]
    let done = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 && libc::getppid() as u32 == parent };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps none of the powers of the super-user, and inherits no open file.
fn drop_powers() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        process: i32,
    }
    let header = Header { version: 0x2008_0522, process: 0 };
    let none = [0_u32; 6];
    #[expect(
        unsafe_code,
        reason = "these calls have no wrapper in std; they take numbers and structures that outlive them"
    )]
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(libc::SYS_capset, &raw const header, &raw const none) == 0
            && libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 4_u32) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}
