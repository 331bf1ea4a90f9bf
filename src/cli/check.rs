//! `regimen check`: every mistake of a recipe, before it costs anything.

use crate::{
    cli::{
        CliError, Exit,
        error::colour,
        recipe::{Checked, RecipeArguments},
    },
    report::{
        diagnostics::{self, SCREENFUL},
        format::counted,
    },
};

/// Check a recipe: names, types, units, labels; nothing runs
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Print the diagnostics as one JSON object
    #[arg(long)]
    json: bool,
    /// Show every diagnostic, not only a screenful
    #[arg(long)]
    all: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let Checked { sources, program, diagnostics, .. } = arguments.recipe.check()?;
    if arguments.json {
        println!("{}", diagnostics::to_json(&diagnostics, &sources));
    } else {
        let most = if arguments.all { usize::MAX } else { SCREENFUL };
        eprint!("{}", diagnostics::render(&diagnostics, &sources, colour(), most));
        if !diagnostics.has_errors() {
            println!("ok: {}", counted(program.calls.len(), "step"));
        }
    }
    super::keep((program, sources));
    Ok(if diagnostics.has_errors() { Exit::Recipe } else { Exit::Done })
}
