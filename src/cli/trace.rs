//! `regimen trace`: from an artifact or a row back to its sources.

use crate::{
    base::suggest::did_you_mean,
    cli::{CliError, Exit, recipe::StoreArguments},
    report::{lineage::Lineage, trace},
};

/// Go from an artifact, or from one row of it, back to its sources
#[derive(clap::Args)]
pub struct Arguments {
    /// A step's address, or the beginning of a key or of a digest; with `:N` its Nth row
    name: String,
    #[command(flatten)]
    store: StoreArguments,
    /// Print every step on the way as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let lineage = Lineage::new(&store);
    let whole = lineage.find(&arguments.name).first().copied();
    let (name, row) = match arguments.name.rsplit_once(':').filter(|_| whole.is_none()) {
        Some((name, row)) => (name, row.parse::<usize>().ok()),
        None => (arguments.name.as_str(), None),
    };
    let Some(record) = whole.or_else(|| lineage.find(name).first().copied()) else {
        return Err(CliError::Unknown {
            message: format!("{} holds nothing named `{name}`", store.root().display()),
            hint: did_you_mean(name, lineage.addresses()).or(Some("`regimen plan RECIPE` lists addresses".to_owned())),
        });
    };
    match row {
        Some(row) => {
            let text = trace::row(&lineage, record, row).ok_or_else(|| CliError::Unknown {
                message: format!("`{name}` has no row {row}"),
                hint: Some(match lineage.rows(&record.output) {
                    Some(rows) => format!("it has the rows 1 to {rows}"),
                    None => "only a data set has rows".to_owned(),
                }),
            })?;
            print!("{text}");
        }
        None if arguments.json => println!("{}", trace::json(&lineage, record)),
        None => print!("{}", trace::tree(&lineage, record)),
    }
    Ok(Exit::Done)
}
