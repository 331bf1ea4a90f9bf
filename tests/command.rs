//! Programs as steps, as a person sees them: what runs, what is checked, what is said, and what is left behind.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::harness::{Said, Test};

/// Rows, a program that counts them, and one that makes more of them.
const COUNT: &str = r#"
facts = problems(rows = 9 rows)
score = command("sh {script} {facts} {out}", facts, script = path("count.sh")) -> Report
twice = command("cat {facts}/rows.jsonl {facts}/rows.jsonl > {out}/rows.jsonl", facts, shell = true) -> Dataset<problem>
few   = take(twice, rows = 12 rows)
require score.lines == 9
output score, few
"#;

const COUNT_SCRIPT: &str = "echo counting\nprintf '{\"lines\": %d}' $(wc -l < $1/rows.jsonl) > $2/report.json\n";

/// A recipe of one program.
fn program(line: &str, more: &str) -> String {
    format!("x = command({line:?}{more}) -> Report\noutput x\n")
}

/// What a run of one failing program says.
fn fails(line: &str, more: &str) -> Said {
    Test::new().file("a.rgm", &program(line, more)).run("run a.rgm")
}

/// The numbers of processes whose command line holds a word.
fn processes(word: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let has = |it: &u32| {
        let line = fs::read(format!("/proc/{it}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(word)
    };
    numbers.filter(has).collect()
}

/// Waits until something holds; what it is for is not how long that takes.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("{what} never came about");
}

#[test]
fn a_program_is_a_step_like_any_other() {
    let test = Test::new().file("a.rgm", COUNT).file("count.sh", COUNT_SCRIPT);
    let first = test.done("run a.rgm --json");
    assert_eq!(first.made(), ["facts", "few", "score", "twice"]);
    let log = fs::read_dir(test.path(".regimen/logs")).unwrap().count();
    assert_eq!(log, 2);
    insta::assert_snapshot!(test.run("plan a.rgm"), @"");
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
    // What the recipe hands over is part of the key: the script's content, and not its name or place.
    test.write("there/count.sh", COUNT_SCRIPT);
    assert_eq!(test.done("run a.rgm --json --set score.script=there/count.sh").made(), Vec::<String>::new());
    test.write("count.sh", &COUNT_SCRIPT.replace("counting", "reckoning"));
    assert_eq!(test.done("run a.rgm --json").made(), ["score"]);
    insta::assert_snapshot!(test.done("why a.rgm score --set facts.rows='8 rows'"), @"");
}
