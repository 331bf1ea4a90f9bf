//! Runs the language suite: `tests/suite/*.rgm`, where each section says what is wrong with it.
//!
//! A section starts with `--- name ---`. After a line that a complaint is about stand `# Error: 3-9 message` (columns of
//! the line above, the end past the last), and `# Label:`, `# Note:`, `# Hint:` that belong to it. `# Set: a.b=v` is an
//! override. `# File: a.rgm` names a file beside the recipe, and the lines after it that start with `#| ` are its text. A
//! section whose name ends in `plan` ends with its steps. `UPDATE=1 cargo test` writes what is found.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use regimen::{
    base::{
        diagnostic::Diagnostic,
        span::{Place, Sources, Span},
    },
    lang::{self, Imports, Overrides, imports::Unreadable},
    plan::{Output, Plan, Step},
    syntax,
};

#[test]
fn the_language_suite_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "rgm"));
    files.sort();
    let mut names = Vec::new();
    let mut wrong = String::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let found = run_file(&text, &mut names);
        if found == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, found).unwrap();
        } else {
            let name = file.file_name().unwrap().to_string_lossy();
            writeln!(wrong, "{name} should read:\n{}", difference(&text, &found)).unwrap();
        }
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(count, names.len(), "two sections have one name");
    assert!(wrong.is_empty(), "{wrong}\nUPDATE=1 writes this to the files");
}

/// The file as it should be.
fn run_file(text: &str, names: &mut Vec<String>) -> String {
    let mut found = String::new();
    let mut section: Option<(String, Vec<&str>)> = None;
    for line in text.lines() {
        let name = line.strip_prefix("--- ").and_then(|it| it.strip_suffix(" ---"));
        match (name, &mut section) {
            (Some(name), _) => {
                if let Some((name, lines)) = section.take() {
                    found += &run_section(&name, &lines);
                }
                writeln!(found, "{line}").unwrap();
                names.push(name.to_owned());
                section = Some((name.to_owned(), Vec::new()));
            }
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => writeln!(found, "{line}").unwrap(),
        }
    }
    if let Some((name, lines)) = section {
        found += run_section(&name, &lines).trim_end();
        found += "\n";
    }
    found
}

const ANNOTATIONS: [&str; 9] =
    ["# Error:", "# Warning:", "# Label:", "# Note:", "# Hint:", "# Step:", "# Gate:", "# Output:", "# Param:"];

fn run_section(name: &str, lines: &[&str]) -> String {
    let lines: Vec<&str> =
        lines.iter().copied().filter(|line| !ANNOTATIONS.iter().any(|it| line.trim_start().starts_with(it))).collect();
    let sets = lines.iter().filter_map(|it| it.strip_prefix("# Set: ")).map(str::to_owned).collect();
    let text = format!("{}\n", lines.join("\n"));
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", text.as_str());
    let (file, mut diagnostics) = syntax::parse(id, &text);
    let beside = files(&lines);
    let (imports, more) = Imports::load(&mut sources, Path::new("recipe.rgm"), &file, &mut |path| {
        let missing = || Unreadable { message: "there is no such file".to_owned(), hint: None };
        beside.get(path.to_str().unwrap()).cloned().ok_or_else(missing)
    });
    diagnostics.extend(more);
    let overrides = Overrides { sets, ..Overrides::default() };
    let (program, more) = lang::check_with(&mut sources, &file, &imports, &overrides);
    diagnostics.extend(more);
    let diagnostics = diagnostics.told();
    let mut notes: Vec<(usize, String)> = Vec::new();
    for diagnostic in diagnostics.iter() {
        notes.push(annotation(diagnostic, &sources, &lines));
    }
    let mut found = String::new();
    let place = |number: usize, found: &mut String| {
        for (_, note) in notes.iter().filter(|(at, _)| *at == number) {
            *found += note;
        }
    };
    place(0, &mut found);
    let blank = lines.iter().rev().take_while(|it| it.is_empty()).count();
    for (number, line) in (1..).zip(lines.iter().take(lines.len() - blank)) {
        writeln!(found, "{line}").unwrap();
        place(number, &mut found);
    }
    place(usize::MAX, &mut found);
    if name.ends_with("plan") && !diagnostics.has_errors() {
        found += &plan(&Plan::new(&program, &|_| 1), &sources);
    }
    found + &"\n".repeat(blank)
}

/// The texts of the files beside a recipe.
fn files(lines: &[&str]) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in lines {
        if let Some(next) = line.strip_prefix("# File: ") {
            name = next.to_owned();
            found.insert(name.clone(), String::new());
        } else if let Some(text) = line.strip_prefix("#| ").or(line.strip_prefix("#|")) {
            *found.get_mut(&name).unwrap() += &format!("{text}\n");
        }
    }
    found
}

/// The lines for a complaint, and the number of the line they follow.
fn annotation(diagnostic: &Diagnostic, sources: &Sources, lines: &[&str]) -> (usize, String) {
    let place = |span: Span| sources.place(span).unwrap();
    let at = diagnostic.span.map(place);
    // A complaint about an override follows the line that sets it.
    let line = |place: &Place| match place.file.as_str() {
        "recipe.rgm" => place.line,
        // One about another file stands at the end.
        file if file != "--set" => usize::MAX,
        _ => {
            let text = sources.iter().find(|(id, _)| Some(*id) == diagnostic.span.map(|it| it.source)).unwrap().1;
            let set = format!("# Set: {}", text.text);
            lines.iter().position(|it| *it == set).map_or(usize::MAX, |it| it + 1)
        }
    };
    let columns = |place: &Place| match place.end_line - place.line {
        0 => format!("{}-{}", place.column, place.end_column),
        more => format!("{}-{}+{more}", place.column, place.end_column),
    };
    let word = if diagnostic.severity.name() == "error" { "Error" } else { "Warning" };
    let mut text = match &at {
        Some(at) if ["recipe.rgm", "--set"].contains(&at.file.as_str()) => {
            format!("# {word}: {} {}\n", columns(at), diagnostic.message)
        }
        Some(at) => format!("# {word}: {}:{} {} {}\n", at.file, at.line, columns(at), diagnostic.message),
        None => format!("# {word}: {}\n", diagnostic.message),
    };
    for (span, label) in &diagnostic.labels {
        let there = place(*span);
        let above = at.as_ref().map_or(0, |at| at.line).saturating_sub(there.line);
        let file = if there.file == "recipe.rgm" { String::new() } else { format!("{} ", there.file) };
        writeln!(text, "# Label: {file}{} {label} ({above} lines above)", columns(&there)).unwrap();
    }
    diagnostic.notes.iter().for_each(|it| writeln!(text, "# Note: {it}").unwrap());
    diagnostic.hint.iter().for_each(|it| writeln!(text, "# Hint: {it}").unwrap());
    (at.as_ref().map_or(0, line), text)
}

/// The plan as lines: every step with what the recipe says of it, gates and outputs.
fn plan(plan: &Plan, sources: &Sources) -> String {
    let address = |id| plan.step(id).unwrap().address.as_str();
    let mut text = String::new();
    for param in &plan.params {
        writeln!(text, "# Param: {} = {}", param.name, param.value).unwrap();
    }
    for step in &plan.steps {
        let library = |it: &str| sources.place(*step.argument_spans.get(it).unwrap()).unwrap().file.starts_with("std/");
        writeln!(text, "# Step: {} = {}", step.address, call(step, plan, &library)).unwrap();
    }
    for gate in &plan.gates {
        let fields: Vec<String> =
            gate.condition.fields().iter().map(|(step, field)| format!("{}.{field}", address(*step))).collect();
        writeln!(text, "# Gate: {} reads {}", gate.text, fields.join(", ")).unwrap();
    }
    for (name, output) in &plan.outputs {
        let steps = match output {
            Output::Step(step) => address(*step).to_owned(),
            Output::Keyed(members) => {
                members.iter().map(|(key, step)| format!("{key}: {}", address(*step))).collect::<Vec<_>>().join(", ")
            }
        };
        writeln!(text, "# Output: {name} = {steps}").unwrap();
    }
    text
}

fn call(step: &Step, plan: &Plan, left_out: &dyn Fn(&str) -> bool) -> String {
    let mut parts = Vec::new();
    for (port, steps) in &step.inputs {
        let steps: Vec<&str> = steps.iter().map(|it| plan.step(*it).unwrap().address.as_str()).collect();
        parts.push(format!("{port}: {}", steps.join(" ")));
    }
    parts.extend(step.files.iter().map(|(name, path)| format!("{name}: {}", path.display())));
    parts.extend(
        step.arguments.iter().filter(|(name, _)| !left_out(name)).map(|(name, value)| format!("{name}: {value}")),
    );
    format!("{}({}) -> {}", step.stage, parts.join(", "), step.returns)
}

/// The lines around each change.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let end = end.min(old.len() - same).min(new.len() - same);
    let mut text = format!("  line {}:\n", same + 1);
    old[same..old.len() - end].iter().for_each(|it| writeln!(text, "  - {it}").unwrap());
    new[same..new.len() - end].iter().for_each(|it| writeln!(text, "  + {it}").unwrap());
    text
}
