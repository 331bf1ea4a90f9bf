//! Where models compute, as a person names it and as keys name it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error};

/// Where a model's weights lie, and what computes with them.
///
/// The results of one device are not those of another to the last bit, so the device has its place in the key of what
/// is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, by the operations of this program.
    #[default]
    Cpu,
    /// The processor, by the plain compositions in Candle: what other devices compute, where everybody can try it.
    Plain,
    /// The first graphics card, by the plain compositions and Candle's kernels.
    Cuda,
}

impl Device {
    /// Every device that this program knows of.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Plain, Self::Cuda];

    /// Its name on the command line and in a profile.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Plain => "plain",
            Self::Cuda => "cuda",
        }
    }

    /// The numeric class of its results, as keys name it.
    #[must_use]
    pub const fn backend(self) -> &'static str {
        match self {
            Self::Cpu => "candle-cpu-f32",
            Self::Plain => "candle-plain-f32",
            Self::Cuda => "candle-cuda-f32",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|it| it.name() == text)
            .ok_or_else(|| format!("expected `cpu`, `cuda` or `plain`, found `{text}`"))
    }
}

impl<'de> Deserialize<'de> for Device {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
