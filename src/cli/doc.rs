//! `regimen doc`: what the library and a recipe say of themselves.

use std::path::Path;

use crate::{
    base::{
        diagnostic::Diagnostics,
        span::{SourceId, Sources},
        suggest::did_you_mean,
    },
    cli::{CliError, Exit, recipe},
    lang::{
        signature::Signature,
        stdlib::{self, Module},
    },
    syntax::{
        self,
        ast::{File, Item},
    },
};

/// Show what a stage takes and gives, from the `##` comments
#[derive(clap::Args)]
pub struct Arguments {
    /// A stage (`sft`), a module (`std.train`) or a recipe (a `.rgm` file); the whole library where it is left out
    name: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let mut sources = Sources::default();
    let modules = stdlib::modules();
    stdlib::load(&mut sources);
    let text = match arguments.name.as_deref() {
        None => modules.iter().map(overview).collect::<Vec<_>>().join("\n"),
        Some(name) if name.ends_with(".rgm") => of_recipe(Path::new(name))?,
        Some(name) => {
            let short = name.strip_prefix("std.").unwrap_or(name);
            let module = modules.iter().find(|it| it.name == short && (name != short || !is_stage(modules, short)));
            let all =
                modules.iter().flat_map(|module| signatures(&module.file).into_iter().map(move |it| (module, it)));
            let found: Vec<(&Module, Signature<'_>)> = all.filter(|(_, it)| it.path == short).collect();
            match (module, found.first()) {
                (Some(module), _) => overview(module),
                (None, Some((module, signature))) => stage(signature, &sources, &format!("std.{}", module.name)),
                (None, None) => return Err(unknown(name, modules)),
            }
        }
    };
    print!("{text}");
    Ok(Exit::Done)
}

fn unknown(name: &str, modules: &[Module]) -> CliError {
    let stages = modules.iter().flat_map(|it| signatures(&it.file)).map(|it| it.path);
    let names: Vec<String> = stages.chain(modules.iter().map(|it| format!("std.{}", it.name))).collect();
    let hint = did_you_mean(name, names.iter().map(String::as_str));
    CliError::Unknown { message: format!("the library has no `{name}`"), hint }
}

fn is_stage(modules: &[Module], name: &str) -> bool {
    modules.iter().flat_map(|it| signatures(&it.file)).any(|it| it.path == name)
}

fn signatures(file: &File) -> Vec<Signature<'_>> {
    let stages = file.items.iter().filter_map(|it| if let Item::Stage(stage) = it { Some(stage) } else { None });
    stages.map(|it| Signature::read(it).0).collect()
}

/// A module: its own docs, and the first sentence of each stage's.
fn overview(module: &Module) -> String {
    let mut text = format!("std.{}: {}\n", module.name, one_line(&module.file.docs));
    let signatures = signatures(&module.file);
    let width = signatures.iter().map(|it| it.path.len()).max().unwrap_or_default();
    for it in &signatures {
        text += &format!("  {:width$}  {}\n", it.path, first_sentence(it.docs));
    }
    text
}

/// A stage: its docs, and each parameter with its type, default, range and docs.
fn stage(it: &Signature<'_>, sources: &Sources, home: &str) -> String {
    let mut text = format!("stage {} -> {}", it.path, it.returns);
    if !home.is_empty() {
        text += &format!("  ({home})");
    }
    text += &format!("\n\n{}\n", it.docs);
    if !it.parameters.is_empty() {
        text.push('\n');
    }
    for parameter in &it.parameters {
        let mut line = format!("{}: {}", parameter.name, parameter.ty);
        if let Some(default) = parameter.default {
            line += &format!(" = {}", sources.slice(default.span));
        }
        if let Some((low, high)) = parameter.range {
            line += &format!(" in {}..{}", sources.slice(low.span), sources.slice(high.span));
        }
        if parameter.trains {
            line += " as train";
        }
        if parameter.examines {
            line += " as eval";
        }
        text += &format!("  {line}\n");
        for docs in parameter.docs.lines() {
            text += &format!("      {docs}\n");
        }
    }
    text
}

/// A recipe: its docs, its params and inputs, and its own stages.
fn of_recipe(path: &Path) -> Result<String, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| CliError::File { path: path.to_owned(), error })?;
    let (file, complaints): (File, Diagnostics) = syntax::parse(SourceId(0), &text);
    if complaints.has_errors() {
        return Err(recipe::faulty(path, text, complaints));
    }
    let mut sources = Sources::default();
    let source = sources.add(path, text);
    let name = path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
    let outputs: Vec<&str> = file
        .items
        .iter()
        .filter_map(|it| if let Item::Output(output) = it { Some(output) } else { None })
        .flat_map(|it| it.names.iter().map(|name| name.text.as_str()))
        .collect();
    let mut shown = Vec::new();
    if !outputs.is_empty() {
        let whole = stage(&Signature::of_recipe(name, source, &file), &sources, "");
        shown.push(whole.replacen("-> unknown", &format!("-> {}", outputs.join(", ")), 1));
    } else if !file.docs.is_empty() {
        // A file of stages gives nothing itself.
        shown.push(format!("{}\n", file.docs));
    }
    shown.extend(signatures(&file).iter().map(|it| stage(it, &sources, "")));
    Ok(shown.join("\n"))
}

fn one_line(docs: &str) -> String {
    docs.lines().collect::<Vec<_>>().join(" ")
}

fn first_sentence(docs: &str) -> String {
    let line = one_line(docs);
    line.find(". ").map_or(line.as_str(), |end| &line[..=end]).to_owned()
}
