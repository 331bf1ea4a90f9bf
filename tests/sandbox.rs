//! The sandbox: right programs pass, wrong ones fail, and attacks come to nothing.

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use rayon::prelude::*;
use regimen::{
    data::rows::{Finish, Lineage, Sample},
    reward::{
        code::FUNCTION,
        sandbox::{self, Limits, Outcome},
        score::Code,
    },
};
use serde_json::{Value, json};

/// Whether there is a sandbox here; where there is none, that is said and the test is over.
fn confined() -> bool {
    match sandbox::available() {
        Ok(()) => true,
        Err(missing) => {
            eprintln!("SKIPPED: no program can be confined here: {missing}");
            false
        }
    }
}

fn run(source: &str) -> Outcome {
    sandbox::run_python(source, Limits { time: Duration::from_secs(20), ..Limits::default() }).unwrap()
}

fn sample(completion: &str, tests: &str) -> Sample {
    Sample {
        question: String::new(),
        answer: tests.to_owned(),
        prompt: String::new(),
        completion: completion.to_owned(),
        tokens: 0,
        finish: Finish::Stop,
        lineage: Lineage::default(),
    }
}

fn reward(samples: &[Sample]) -> Vec<Option<f64>> {
    let Code::Group(score) = FUNCTION.code else { panic!("code is scored in groups") };
    let samples: Vec<&Sample> = samples.iter().collect();
    score(&samples, &[json!({ "value": 20.0, "unit": "seconds" })]).unwrap()
}

#[test]
fn right_programs_pass_and_wrong_ones_fail() {
    if !confined() {
        return;
    }
    let tests =
        "assert add(2, 3) == 5\nassert add(-1, 1) == 0\nimport math, collections, re, json, datetime, itertools\n";
    let block = |code: &str| format!("<think>so</think>\n```python\n{code}\n```\n");
    let samples = [
        sample(&block("def add(a, b):\n    return a + b"), tests),
        sample(&block("def add(a, b):\n    return a - b"), tests),
        sample(&block("def add(a, b)\n    return a + b"), tests),
        sample("add them", tests),
        // Leaving early with success, one way and another.
        sample(&block("import sys\nsys.exit(0)"), tests),
        sample(&block("import os\nos._exit(0)"), tests),
        sample(&block("def add(a, b):\n    return a + b"), ""),
    ];
    assert_eq!(reward(&samples), [Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0), None]);
}

/// Programs that come to their end only where an attack succeeds.
fn attacks(folder: &Path, port: u16) -> Vec<(&'static str, String)> {
    let secret = folder.join("secret").display().to_string();
    let beside = folder.join("beside").display().to_string();
    let parent = std::process::id();
    let raw = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n\
               def must(value):\n    if value < 0: raise OSError(ctypes.get_errno())\n";
    vec![
        ("read outside", format!("open({secret:?}).read()")),
        ("read the parent", format!("open('/proc/{parent}/environ', 'rb').read()")),
        ("list outside", format!("import os\nos.listdir({:?})", folder.display().to_string())),
        ("write outside", format!("open({beside:?}, 'w').write('x')")),
        ("write over", format!("open({secret:?}, 'w')")),
        ("truncate", format!("import os\nos.truncate({secret:?}, 0)")),
        ("remove", format!("import os\nos.remove({secret:?})")),
        ("rename", format!("import os\nos.rename({secret:?}, {beside:?})")),
        ("change the mode", format!("import os\nos.chmod({secret:?}, 0o777)")),
        ("change the times", format!("import os\nos.utime({secret:?}, (1, 1))")),
        ("network", format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")),
        ("datagrams", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM)".to_owned()),
        ("fork bomb", "import os\nwhile os.fork() >= 0: pass".to_owned()),
        ("thread bomb", "import threading, time\nfor _ in range(5000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()".to_owned()),
        ("memory", "kept = bytearray(8 << 30)".to_owned()),
        ("memory, piece by piece", "kept = []\nfor _ in range(1 << 14): kept.append(bytearray(1 << 20))".to_owned()),
        ("kill the parent", "import os\nos.kill(os.getppid(), 9)".to_owned()),
        ("ptrace", format!("{raw}must(libc.ptrace(16, os.getppid(), 0, 0))")),
        ("symlink out", format!("import os\nos.symlink({secret:?}, '/tmp/way-out')\nopen('/tmp/way-out').read()")),
        ("hard link out", format!("import os\nos.link({secret:?}, {beside:?})")),
        ("signal", "import os\nos.kill(-1, 0)".to_owned()),
        ("signal a thread", format!("{raw}must(libc.syscall(234, {parent}, {parent}, 0))")),
        ("signal a process by handle", format!("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open({parent}), 0)")),
        ("leave a daemon", "import subprocess\nsubprocess.Popen(['/bin/sleep', '1000'], start_new_session=True)".to_owned()),
        ("spawn", "import os\nos.posix_spawn('/bin/sleep', ['sleep', '1000'], {})".to_owned()),
        ("another namespace", format!("{raw}must(libc.unshare(0x10000000))")),
        ("mount", format!("{raw}must(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))")),
        ("lift the limits", "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))".to_owned()),
        ("endless output", "import os\nwhile True:\n    for number in range(64):\n        try: os.write(number, b'x' * 65536)\n        except OSError: raise SystemExit if number > 60 else None\n".to_owned()),
    ]
}

#[test]
fn attacks_come_to_nothing() {
    if !confined() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "kept").unwrap();
    let before = fs::metadata(folder.path().join("secret")).unwrap().modified().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let attacks = attacks(folder.path(), listener.local_addr().unwrap().port());
    let succeeded: Vec<&str> =
        attacks.par_iter().filter(|(_, program)| run(program) == Outcome::Passed).map(|(name, _)| *name).collect();
    assert_eq!(succeeded, Vec::<&str>::new());
    assert_eq!(fs::read_to_string(folder.path().join("secret")).unwrap(), "kept");
    assert_eq!(fs::metadata(folder.path().join("secret")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!Path::new("/tmp/way-out").is_symlink());
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn an_endless_program_is_ended() {
    if !confined() {
        return;
    }
    let limits = Limits { time: Duration::from_secs(1), ..Limits::default() };
    let start = Instant::now();
    for program in ["while True: pass", "import time\ntime.sleep(1000)"] {
        assert_eq!(sandbox::run_python(program, limits), Ok(Outcome::TimedOut));
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// `REGIMEN_HUMANEVAL=HumanEval.jsonl cargo test humaneval -- --ignored --nocapture`
#[test]
#[ignore = "needs HumanEval in REGIMEN_HUMANEVAL"]
fn humaneval_tells_its_solutions_from_corrupted_ones() {
    let text = fs::read_to_string(env::var("REGIMEN_HUMANEVAL").unwrap()).unwrap();
    let mut samples = Vec::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| row[name].as_str().unwrap();
        let entry = field("entry_point");
        let tests = format!("{}\ncheck({entry})\n", field("test"));
        let right = format!("{}{}", field("prompt"), field("canonical_solution"));
        // Every value that the solution returns is a little off.
        let wrong = format!(
            "{right}\n_right = {entry}\ndef {entry}(*values):\n    value = _right(*values)\n    \
             if isinstance(value, bool): return not value\n    if isinstance(value, (int, float)): return value + 1\n    \
             if isinstance(value, str): return value + '?'\n    if isinstance(value, list): return value + [None]\n    \
             return None if value is not None else 0\n"
        );
        for program in [right, wrong] {
            samples.push(sample(&format!("```python\n{program}\n```"), &tests));
        }
    }
    let values = reward(&samples);
    let count = |skip: usize, value: f64| values.iter().skip(skip).step_by(2).filter(|it| **it == Some(value)).count();
    println!("{} of {} pass, {} corrupted fail", count(0, 1.0), samples.len() / 2, count(1, 0.0));
    assert_eq!((count(0, 1.0), count(1, 0.0)), (samples.len() / 2, samples.len() / 2));
}
