//! The profile `regimen.yaml`: where things run, and never what they compute.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    base::device::Device,
    cli::{CliError, interval::Interval},
    run::Options,
    store::Store,
};

/// What a profile may say. Flags on the command line are stronger.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// How many threads all steps share.
    pub threads: Option<NonZeroUsize>,
    /// How often a long step keeps a state to go on from.
    pub checkpoint_every: Option<Interval>,
    /// How many problems a sampling step hands to the sampler at once.
    pub batch: Option<NonZeroUsize>,
    /// Where models compute. Of all that a profile says it alone is in the keys: every device rounds in its own way.
    pub device: Option<Device>,
    /// The folder of the store, relative to the profile.
    pub store: Option<PathBuf>,
}

/// The name of a profile's file.
pub const FILE: &str = "regimen.yaml";

impl Profile {
    /// The profile of the folder in which the command runs; where there is none, one that says nothing.
    pub fn read() -> Result<Self, CliError> {
        match fs::read_to_string(FILE) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(CliError::File { path: FILE.into(), error }),
        }
    }

    fn parse(text: &str) -> Result<Self, CliError> {
        let profile: Option<Self> =
            serde_yaml::from_str(text).map_err(|error| CliError::Profile(format!("{FILE}: {error}")))?;
        Ok(profile.unwrap_or_default())
    }

    /// How many threads steps share: the flag's, else the profile's, else one for each core.
    #[must_use]
    pub fn threads(&self, flag: Option<NonZeroUsize>) -> NonZeroUsize {
        flag.or(self.threads).unwrap_or_else(|| Options::default().threads)
    }

    /// The store to use: the flag's, else the profile's, else the usual one.
    #[must_use]
    pub fn store(&self, flag: Option<&Path>) -> Store {
        Store::open(flag.or(self.store.as_deref()).unwrap_or(Path::new(Store::DEFAULT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_where_and_nothing_else() {
        let profile = Profile::parse("threads: 3\nstore: /big/store\n").unwrap();
        assert_eq!(profile.threads.map(NonZeroUsize::get), Some(3));
        assert_eq!(Profile::parse("# nothing\n").unwrap(), Profile::default());
        let error = Profile::parse("threads: 3\nlr: 1e-3\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "regimen.yaml: unknown field `lr`, expected one of `threads`, `checkpoint_every`, `batch`, `device`, `store` at line 2 column 1"
        );
    }
}
