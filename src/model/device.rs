//! The devices that this program and this machine have, and how Candle reaches them.

use std::sync::OnceLock;

use super::error::ModelError;
use crate::base::device::Device;

impl Device {
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
