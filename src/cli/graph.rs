//! `regimen graph`: the steps of a recipe and what flows between them.

use clap::ValueEnum;

use crate::{
    cli::{CliError, Exit, recipe::RecipeArguments},
    report,
};

/// Print the graph of a recipe's steps
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The language of the graph
    #[arg(long, value_enum, default_value_t = Format::Dot)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Graphviz
    Dot,
    /// Mermaid, which Markdown pages draw
    Mermaid,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let plan = arguments.recipe.plan()?.plan;
    match arguments.format {
        Format::Dot => print!("{}", report::graph::dot(&plan)),
        Format::Mermaid => print!("{}", report::graph::mermaid(&plan)),
    }
    Ok(Exit::Done)
}
