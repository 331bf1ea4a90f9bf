//! `regimen show`: what is kept under an address or a digest, and its rows.

use crate::{
    cli::{CliError, Exit, recipe::StoreArguments},
    report::{self, lineage::Lineage},
    stages,
};

/// Show what is kept under an address, a key or a digest: arguments, inputs, files, figures; with `--rows` its rows
#[derive(clap::Args)]
pub struct Arguments {
    /// A step's address, or the beginning of a key or of a digest
    name: String,
    /// Show so many rows of the data set, or answers of the report, five where no number is given
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "5")]
    rows: Option<usize>,
    /// The row to begin with
    #[arg(long, value_name = "ROW", default_value_t = 1, requires = "rows")]
    from: usize,
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
        let Some(count) = arguments.rows else {
            print!("{}", report::show::record(&store, &lineage, record));
            if let Some(lines) = stages::formula::of(&record.stage, &record.fields["arguments"]) {
                println!("what it minimises\n  {}", lines.join("\n  "));
            }
            continue;
        };
        let rows = report::rows::rows(&store.object(&record.output), arguments.from, count);
        print!(
            "{}",
            rows.ok_or_else(|| CliError::Unknown {
                message: format!("`{}` has no rows", record.address),
                hint: Some("data sets and reports have; `regimen show` without `--rows` lists files".to_owned()),
            })?
        );
    }
    Ok(Exit::Done)
}
