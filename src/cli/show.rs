//! `regimen show`: what is kept under an address or a digest.

use crate::{
    cli::{CliError, Exit, recipe::StoreArguments},
    report::{self, lineage::Lineage},
    stages,
};

/// Show what is kept under an address, a key or a digest: arguments, inputs, files, metrics
#[derive(clap::Args)]
pub struct Arguments {
    /// A step's address, or the beginning of a key or of a digest
    name: String,
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let lineage = Lineage::new(&store);
    let records = lineage.find(&arguments.name);
    if records.is_empty() {
        return Err(CliError::Unknown {
            message: format!("{} holds nothing named `{}`", store.root().display(), arguments.name),
            hint: Some("`regimen plan RECIPE` lists addresses".to_owned()),
        });
    }
    for record in records {
        print!("{}", report::show::record(&store, &lineage, record));
        let arguments = serde_json::from_value(record.fields["arguments"].clone()).unwrap_or_default();
        if let Some(lines) = stages::formula::of(&record.stage, &arguments) {
            println!("what it minimises\n  {}", lines.join("\n  "));
        }
    }
    Ok(Exit::Done)
}
