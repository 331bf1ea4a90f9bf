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
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    match report::status::newest(&store) {
        Some(text) => print!("{text}"),
        None => println!("no run in {}", store.root().display()),
    }
    Ok(Exit::Done)
}
