//! A run of many steps with nothing to do is answered from the echo of the one before, while all is as it was.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regimen::store::Store;
use serde_json::Value;

use crate::harness::{Said, TINY, Test};

const ROW: &str = "{\"question\": \"1+1=?\", \"answer\": \"2\"}\n";
const RUN: &str = "run recipe.rgm --params params.yaml --json";

/// Many steps with a file of rows, a recipe that is used, and a file of parameters.
fn many() -> Test {
    let part = "input data: Dataset<problem>\nrest = take(data, rows = 2 rows)\noutput rest\n";
    let mut recipe = String::from("param count: rows = 2 rows\nuse ./part.rgm as part\n");
    recipe += "first = part(data = dataset(\"rows.jsonl\"))\n";
    recipe += &mixtures("first");
    recipe += "few = take(s259, rows = count)\noutput few\n";
    let test = Test::new().file("recipe.rgm", &recipe).file("part.rgm", part);
    test.file("rows.jsonl", &ROW.repeat(3)).file("params.yaml", "count: 1 row\n")
}

/// More steps than are read one by one, all of them outputs.
fn mixtures(of: &str) -> String {
    let step = |at| format!("s{at} = mix([{of}, {of}], rows = [1 row, 1 row], seed = {at})\noutput s{at}\n");
    (0..260).map(step).collect()
}

/// Puts a word of its own into the echo, which shows whether it is heard.
fn mark(test: &Test) {
    let store = Store::open(test.path(".regimen"));
    let text = store.echo().expect("an echo").replacen("\"s100\"", "\"from the echo\"", 1);
    store.keep_echo(text.as_bytes()).unwrap();
}

fn is_heard(said: &Said) -> bool {
    said.stdout.contains("from the echo")
}

/// Adds to the end of a file.
fn add(test: &Test, name: &str, text: &str) {
    test.write(name, &(fs::read_to_string(test.path(name)).unwrap() + text));
}

/// Writes another file in the place of one.
fn replace(path: &Path, change: impl Fn(&[u8]) -> &[u8]) {
    let bytes = fs::read(path).unwrap();
    fs::remove_file(path).unwrap();
    fs::write(path, change(&bytes)).unwrap();
}

/// A file in a folder of the store.
fn stored(test: &Test, folder: &str) -> PathBuf {
    let mut path = test.path(".regimen").join(folder);
    while path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()).collect();
        entries.sort();
        path = entries.pop().unwrap();
    }
    path
}

#[test]
fn an_echo_is_heard_by_who_asks_the_same() {
    let test = many();
    test.done("run recipe.rgm --json");
    mark(&test);
    for arguments in ["run recipe.rgm --json", "run recipe.rgm --json --threads 1", "plan recipe.rgm"] {
        assert!(is_heard(&test.done(arguments)), "{arguments}");
    }
    // None of these finds all made, or none keeps an echo of its own.
    for arguments in ["plan ./recipe.rgm", "plan recipe.rgm --set s1.seed=7", "plan recipe.rgm --device plain"] {
        assert!(!is_heard(&test.done(arguments)), "{arguments}");
    }
    fs::copy(env!("CARGO_BIN_EXE_regimen"), test.path("other")).unwrap();
    let mut other = Command::new(test.path("other"));
    let said = other.args(["plan", "recipe.rgm"]).current_dir(test.path("")).output().unwrap();
    assert!(said.status.success() && !String::from_utf8(said.stdout).unwrap().contains("from the echo"));
}

#[test]
fn whatever_changes_an_echo_is_heard_no_more() {
    type Change = fn(&Test);
    let changes: [(&str, bool, Change); 8] = [
        ("a comment in the recipe", false, |test| add(test, "recipe.rgm", "# so\n")),
        ("a comment in what it uses", false, |test| add(test, "part.rgm", "# so\n")),
        ("a comment among the parameters", false, |test| add(test, "params.yaml", "# so\n")),
        ("one row more", false, |test| add(test, "rows.jsonl", ROW)),
        ("rows written anew as they were", true, |test| replace(&test.path("rows.jsonl"), |bytes| bytes)),
        ("an object that is gone", false, |test| fs::remove_file(stored(test, "objects")).unwrap()),
        ("an object cut short", false, |test| replace(&stored(test, "objects"), |bytes| &bytes[1..])),
        ("a record written anew", false, |test| replace(&stored(test, "records"), |bytes| bytes)),
    ];
    let test = many();
    for (what, heard, change) in changes {
        test.done(RUN);
        mark(&test);
        assert!(is_heard(&test.done(RUN)), "before {what}");
        change(&test);
        assert_eq!(is_heard(&test.done(RUN)), heard, "{what}");
        // What was heard falsely above would be made by now.
        fs::remove_file(test.path(".regimen/run.echo")).unwrap();
        assert_eq!(test.done(RUN).made(), Vec::<String>::new(), "{what}");
    }
}

#[test]
fn what_is_warned_of_is_warned_of_each_time() {
    let test = many();
    add(&test, "recipe.rgm", "param nothing: int = 1\n");
    for _ in 0..2 {
        assert!(test.done("run recipe.rgm").stderr.contains("nothing uses the param `nothing`"));
        assert_eq!(Store::open(test.path(".regimen")).echo(), None);
    }
}

/// Gates, outputs that have keys, and a table of scores among it.
#[test]
fn an_echo_says_what_a_run_says() {
    let mut recipe = TINY.replace("output zero, few, score", "");
    recipe += &mixtures("few");
    recipe += "scores = for it in [base, zero] { eval(it, test, max_length = 16 tokens, seed) }\n";
    recipe += "require score.pass1 >= 0.0\noutput zero, few, score, scores\n";
    let test = Test::new().file("recipe.rgm", &recipe);
    test.done("run recipe.rgm");
    let store = Store::open(test.path(".regimen"));
    let echo = store.echo().expect("an echo");
    for arguments in ["run recipe.rgm", "plan recipe.rgm", "plan recipe.rgm --exit-code"] {
        store.keep_echo(echo.as_bytes()).unwrap();
        let heard = test.done(arguments);
        store.keep_echo(b"").unwrap();
        assert_eq!(heard.to_string(), test.done(arguments).to_string(), "{arguments}");
    }
    store.keep_echo(echo.as_bytes()).unwrap();
    let events = || {
        let mut events = test.done("run recipe.rgm --json").json();
        events.last_mut().unwrap()["seconds"] = Value::Null;
        events
    };
    let heard = events();
    store.keep_echo(b"").unwrap();
    assert_eq!(heard, events());
    // The run kept what it did not find.
    assert_eq!(store.echo(), Some(echo));
}
