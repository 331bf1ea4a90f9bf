//! The model floor: DeepSeek-V3, Llama, Qwen2 and Qwen3-MoE on Candle, trained and sampled on the CPU; and by plain
//! compositions wherever else Candle computes.

mod again;
mod ahead;
mod balance;
pub mod bench;
pub mod commands;
mod config;
mod decode;
mod device;
mod error;
mod gradients;
mod layers;
mod load;
pub mod ops;
mod optimizer;
mod packed;
mod prepare;
mod recompute;
mod router;
mod sampler;
mod save;
mod scores;
mod sink;
mod training_state;
mod transformer;
mod weights;

pub use ahead::LogProbsAhead;
pub use balance::{Balance, Pull};
pub use config::{Config, DeepseekConfig, LlamaConfig, Qwen2Config, Qwen3MoeConfig, Rope, Scaling, SpecialTokens};
pub use error::ModelError;
pub use gradients::{Gradients, PartLoss, gradients};
pub use optimizer::{AdamW, AdamWSettings, Moments};
pub use packed::Packed;
pub use prepare::prepare;
pub use router::{Router, Scoring};
pub use sampler::{Completion, Ended, Prompt, Sampler, Sampling};
pub use scores::Scores;
pub use training_state::{load_state, save_state};
pub use transformer::{Forward, LogProbs, Trace, Transformer};
pub use weights::{HubTensor, Plan, Variable, Weight};
