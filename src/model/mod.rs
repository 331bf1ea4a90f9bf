//! The model floor: DeepSeek-V3 and Llama on Candle, trained and sampled on the CPU.

mod average;
pub mod bench;
pub mod commands;
mod config;
mod decode;
mod error;
mod gradients;
mod layers;
mod load;
pub mod ops;
mod optimizer;
mod packed;
mod prepare;
mod router;
mod sampler;
mod save;
mod sink;
mod state;
mod transformer;
mod weights;

pub use average::average;
pub use config::{Config, DeepseekConfig, LlamaConfig, Rope, Scaling, SpecialTokens};
pub use error::ModelError;
pub use gradients::{Gradients, PartLoss, gradients};
pub use optimizer::{AdamW, AdamWSettings, Moments};
pub use packed::Packed;
pub use prepare::prepare;
pub use router::Router;
pub use sampler::{Completion, Prompt, Sampler, Sampling};
pub use state::{load_state, save_state};
pub use transformer::{Forward, LogProbs, Transformer};
pub use weights::{HubTensor, Plan, Variable, Weight};
