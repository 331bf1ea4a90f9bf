//! `regimen status`: how the newest run stands, also while it goes on.

use crate::{
    cli::{CliError, Exit, recipe::StoreArguments},
    report,
};

/// Show how the newest run stands, also while it goes on
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Print one JSON object: what each step was expected to cost, and what it did cost
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let found = if arguments.json {
        report::status::json(&store).map(|it| format!("{it}\n"))
    } else {
        report::status::newest(&store)
    };
    match found {
        Some(text) => print!("{text}"),
        None => println!("no run in {}", store.root().display()),
    }
    Ok(Exit::Done)
}
