//! `regimen completions`: what a shell needs to complete commands and flags.

use clap_complete::{Shell, generate};

use crate::cli::{CliError, Exit};

/// Print completions for a shell
#[derive(clap::Args)]
pub struct Arguments {
    shell: Shell,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    generate(arguments.shell, &mut super::command(), "regimen", &mut std::io::stdout());
    Ok(Exit::Done)
}
