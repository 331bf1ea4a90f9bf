//! `regimen fmt`: one canonical form for every recipe.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use crate::{
    base::{
        diagnostic::Diagnostics,
        span::{SourceId, Sources},
    },
    cli::{CliError, Exit, error::colour},
    report::diagnostics::{self, SCREENFUL},
    syntax,
};

/// Bring recipes into their one canonical form
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipes, or folders of them; `-` reads from standard input and writes to standard output
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; name the files that are not in canonical form and exit with 1 where there are any
    #[arg(long)]
    check: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    for file in &arguments.files {
        for path in recipes(file)? {
            if !format(&path, arguments.check)? {
                exit = Exit::Recipe;
            }
        }
    }
    Ok(exit)
}

/// Formats one file; false where it has mistakes, or is not in canonical form and only that was asked.
fn format(path: &Path, check: bool) -> Result<bool, CliError> {
    let is_input = path == Path::new("-");
    let read = if is_input {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    let failed = |error| CliError::File { path: path.to_owned(), error };
    let text = read.map_err(failed)?;
    let formatted = match syntax::format(SourceId(0), &text) {
        Ok(formatted) => formatted,
        Err(complaints) => {
            show(&complaints, path, text);
            return Ok(false);
        }
    };
    if check {
        if formatted != text {
            println!("{}", path.display());
        }
        return Ok(formatted == text);
    }
    if is_input {
        io::stdout().lock().write_all(formatted.as_bytes()).map_err(failed)?;
    } else if formatted != text {
        replace(path, &formatted).map_err(failed)?;
    }
    Ok(true)
}

/// Writes beside the file and renames, so that a recipe is never half written.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("rgm.formatted");
    fs::write(&beside, text)?;
    fs::set_permissions(&beside, fs::metadata(path)?.permissions())?;
    fs::rename(&beside, path)
}

fn show(complaints: &Diagnostics, path: &Path, text: String) {
    let mut sources = Sources::default();
    sources.add(path, text);
    eprint!("{}", diagnostics::render(complaints, &sources, colour(), SCREENFUL));
}

/// The file itself, or every recipe in a folder.
fn recipes(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| CliError::File { path: folder.clone(), error };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rgm") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
