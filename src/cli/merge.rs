//! `regimen merge`: models merged as a file of mergekit's says.

use std::{
    io::{self, IsTerminal, Write},
    num::NonZeroUsize,
    path::PathBuf,
};

use clap::ValueEnum;

use crate::{
    cli::{CliError, Exit, model::pool},
    merge::{self, Biases, Experts, Extra, Options, Partial},
};

/// Merge models as a YAML file says, in the form that mergekit reads
#[derive(clap::Args)]
pub struct Arguments {
    /// A configuration of `mergekit-yaml`, or of `mergekit-moe`
    config: PathBuf,
    /// The folder to make
    out: PathBuf,
    /// The seed of what is random: the masks of `dare` and `della`, the noise and gates of mixtures
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The most bytes of one file of weights, such as `5GB`
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size)]
    shard_size: u64,
    /// How the experts of mixtures belong together
    #[arg(long, value_enum)]
    experts: Option<ExpertsFlag>,
    /// What becomes of the layers that predict further tokens
    #[arg(long, value_enum, default_value = "merge")]
    mtp: ExtraFlag,
    /// What becomes of the biases of routers
    #[arg(long, value_enum, default_value = "merge")]
    router_bias: BiasesFlag,
    /// Threads to compute with [default: one for each core]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExpertsFlag {
    /// All models descend from one base: experts of one number belong together
    SameBase,
    /// Experts are matched by the likeness of their weights
    Permute,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExtraFlag {
    Merge,
    /// Those of the base, or of the first model
    Keep,
    /// The result has none
    Drop,
}

#[derive(Clone, Copy, ValueEnum)]
enum BiasesFlag {
    Merge,
    /// Those of the base, or of the first model
    Keep,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let options = Options {
        seed: arguments.seed,
        shard: arguments.shard_size,
        experts: match arguments.experts {
            None => Experts::Unknown,
            Some(ExpertsFlag::SameBase) => Experts::SameBase,
            Some(ExpertsFlag::Permute) => Experts::Permute,
        },
        extra: match arguments.mtp {
            ExtraFlag::Merge => Extra::Merge,
            ExtraFlag::Keep => Extra::Keep,
            ExtraFlag::Drop => Extra::Drop,
        },
        biases: match arguments.router_bias {
            BiasesFlag::Merge => Biases::Merge,
            BiasesFlag::Keep => Biases::Keep,
        },
    };
    let pool = pool(arguments.threads)?;
    let job = pool.install(|| merge::from_file(&arguments.config, options))?;
    for warning in job.warnings() {
        eprintln!("warning: {warning}");
    }
    let partial = Partial::create(&arguments.out)?;
    let counted = io::stderr().is_terminal();
    let written = pool.install(|| {
        job.write(partial.folder(), &|done, total| {
            if counted {
                eprint!("\r{done} of {total} tensors");
                let _ = io::stderr().flush();
            }
            true
        })?;
        job.write_card(partial.folder())
    });
    if counted {
        eprintln!();
    }
    match written {
        Ok(()) => partial.finish()?,
        Err(error) => {
            partial.abandon();
            return Err(error.into());
        }
    }
    println!("{} tensors in `{}`", job.count(), arguments.out.display());
    Ok(Exit::Done)
}

/// Reads `5GB`, `500 MB`, `2GiB` or a number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "K" | "KB" => 1_000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let bytes = number.parse::<u64>().ok().and_then(|it| it.checked_mul(factor)).filter(|it| *it > 0);
    bytes.ok_or_else(|| "expected a size such as `5GB` or `500MB`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(["5GB", "3 MiB", "17"].map(size), [Ok(5_000_000_000), Ok(3 << 20), Ok(17)]);
        assert!(size("5 apples").is_err() && size("0").is_err() && size("").is_err());
    }
}
