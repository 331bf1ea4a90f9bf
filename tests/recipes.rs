//! Every recipe that is shipped or shown is a recipe: README, docs, examples, workflows; and the flagship runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

#[test]
fn every_recipe_that_is_shipped_is_checked() {
    for folder in ["examples", "workflows"] {
        for recipe in recipes(&root().join(folder)) {
            let output = regimen(&["check", recipe.to_str().unwrap()]);
            assert!(output.status.success(), "{}: {}", recipe.display(), text(&output.stderr));
            assert_eq!(text(&output.stderr), "", "{}", recipe.display());
        }
    }
}

#[test]
fn every_recipe_that_is_shown_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let mut shown = 0;
    for page in pages() {
        for (name, block) in blocks(&fs::read_to_string(root().join(&page)).unwrap()) {
            shown += 1;
            let recipe = folder.path().join(if name.is_empty() { "shown.rgm" } else { &name });
            fs::write(&recipe, &block).unwrap();
            let output = regimen(&["check", recipe.to_str().unwrap()]);
            assert!(output.status.success(), "{page}:\n{block}\n{}", text(&output.stderr));
        }
    }
    assert!(shown > 5);
}

#[test]
fn every_example_runs() {
    let store = tempfile::tempdir().unwrap();
    for recipe in recipes(&root().join("examples")) {
        let output = run(&recipe, store.path(), &[]);
        assert!(output.status.success(), "{}: {}", recipe.display(), text(&output.stderr));
    }
}

#[test]
fn the_flagship_runs_every_step_and_then_none() {
    let store = tempfile::tempdir().unwrap();
    let recipe = root().join("workflows/r1.rgm");
    let first = run(&recipe, store.path(), &["--set", "scale=quick"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let second = run(&recipe, store.path(), &["--set", "scale=quick", "--json"]);
    let events = text(&second.stdout);
    assert!(events.starts_with(r#"{"event":"plan","steps":30,"hits":30,"runs":0,"waits":0"#), "{events}");
    assert!(events.lines().last().unwrap().starts_with(r#"{"event":"finished","status":"done","outputs":{"r1":"#));
}

#[test]
fn the_usual_process_and_the_one_with_a_reward_model_run() {
    // What the two begin with is the same, and made once.
    let store = tempfile::tempdir().unwrap();
    for recipe in ["usual.rgm", "rlhf.rgm"] {
        let output = run(&root().join("workflows").join(recipe), store.path(), &["--set", "scale=quick"]);
        assert!(output.status.success(), "{recipe}: {}", text(&output.stderr));
    }
}

/// The README and every page of the documentation.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<String> = docs.map(|it| format!("docs/{}", it.unwrap().file_name().to_str().unwrap())).collect();
    pages.push("README.md".to_owned());
    pages.sort();
    pages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipes(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|it| it == "rgm"));
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The fenced blocks of a page that are marked as recipes, each with the name of the file that it stands for.
fn blocks(page: &str) -> Vec<(String, String)> {
    let blocks = page.split("\n```rgm").skip(1).filter_map(|rest| rest.split_once('\n'));
    blocks.filter_map(|(name, rest)| Some((name.trim().to_owned(), rest.split_once("```")?.0.to_owned()))).collect()
}

fn run(recipe: &Path, store: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["run", recipe.to_str().unwrap(), "--store", store.to_str().unwrap()];
    arguments.extend(more);
    regimen(&arguments)
}

fn regimen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_regimen")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
