//! Where a model computes, and by which operations.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use super::error::ModelError;

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
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Plain => "plain",
            Self::Cuda => "cuda",
        }
    }

    /// The numeric class of its results, as keys name it.
    #[must_use]
    pub fn backend(self) -> &'static str {
        match self {
            Self::Cpu => "candle-cpu-f32",
            Self::Plain => "candle-plain-f32",
            Self::Cuda => "candle-cuda-f32",
        }
    }

    /// Whether this program and this machine have it.
    ///
    /// # Errors
    /// The device that is missing, and what would have to be there.
    pub fn check(self) -> Result<(), ModelError> {
        self.open().map(drop)
    }

    /// The devices that this program and this machine have.
    #[must_use]
    pub fn present() -> Vec<Self> {
        Self::ALL.into_iter().filter(|it| it.check().is_ok()).collect()
    }

    /// Whether the plain compositions run on it.
    pub(super) fn is_plain(self) -> bool {
        self != Self::Cpu
    }

    /// How many parts of a batch are computed at once, given so many threads: a card has its memory for one.
    pub(super) fn at_once(self, threads: usize) -> usize {
        if self == Self::Cuda { 1 } else { threads }
    }

    /// Where Candle keeps the tensors.
    pub(super) fn open(self) -> Result<candle_core::Device, ModelError> {
        match self {
            Self::Cpu | Self::Plain => Ok(candle_core::Device::Cpu),
            Self::Cuda => card(),
        }
    }
}

/// The first graphics card, opened once: tensors of two openings would not mix.
///
/// It has one stream of its own for all threads. Candle's usual one is another for each thread, so that a thread could
/// read what another has not written yet.
fn card() -> Result<candle_core::Device, ModelError> {
    static CARD: OnceLock<Result<candle_core::Device, String>> = OnceLock::new();
    let open = || candle_core::Device::new_cuda_with_stream(0).map_err(|error| error.to_string());
    let missing = |error: &String| {
        let hint = if cfg!(feature = "cuda") {
            "is a card there, and its driver?"
        } else {
            "this program was built without it: build it with `--features cuda`"
        };
        ModelError::Device(format!("the device `cuda` cannot be opened ({hint}): {error}"))
    };
    CARD.get_or_init(open).clone().map_err(|error| missing(&error))
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
