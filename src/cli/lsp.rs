//! `regimen lsp`: the language server, over standard input and output.

use std::{fs, io, path::PathBuf};

use lsp_server::Connection;

use crate::{
    cli::{CliError, Exit, recipe},
    editor,
    lang::stdlib::MODULES,
};

/// Serve an editor: mistakes as one types, hover, completion, definitions, renaming, formatting
#[derive(clap::Args)]
pub struct Arguments {
    /// Accepted because editors pass it; there is no other way to talk
    #[arg(long)]
    stdio: bool,
}

pub fn run(_: &Arguments) -> Result<Exit, CliError> {
    let library = library().map_err(|error| CliError::File { path: folder(), error })?;
    let (connection, threads) = Connection::stdio();
    let served = editor::serve(&connection, &library, &mut |path| recipe::read_used(path));
    drop(connection);
    served.map_err(|error| CliError::Unknown { message: error.to_string(), hint: None })?;
    threads.join().map_err(|error| CliError::File { path: "standard input".into(), error })?;
    Ok(Exit::Done)
}

/// Where an editor finds the texts of the library that this program holds.
fn folder() -> PathBuf {
    std::env::temp_dir().join(concat!("regimen-std-", env!("CARGO_PKG_VERSION")))
}

/// Writes the library out for an editor to show, where it does not lie there already.
fn library() -> io::Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    for (name, text) in MODULES {
        let path = folder.join(format!("{name}.rgm"));
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(&path, text)?;
        }
    }
    Ok(folder)
}
