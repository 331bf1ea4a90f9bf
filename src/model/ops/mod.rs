//! The operations of the model, each with its own backward pass.
//!
//! Candle's general operations are composed of many small ones; these do the work of several in one pass, on one
//! thread, and never depend on how many rows lie beside a row. Beside each stands `reference`, the plain composition in
//! Candle: it is what the tests compare with, and what runs on other devices than the CPU.

mod add_bias;
mod attention;
mod attention_head;
mod attention_reference;
mod experts;
mod forget;
mod linear;
mod log_prob;
pub mod math;
pub mod matmul;
mod mlp;
mod rms_norm;
mod route;
mod select_rows;
mod storage;
pub mod swiglu;

pub use add_bias::add_bias;
pub(in crate::model) use add_bias::add_to_rows;
pub(in crate::model) use attention::Attended;
pub use attention::{Angles, AttentionLayout, Piece, attention};
pub use experts::experts;
pub(in crate::model) use forget::{forget, forget_norm};
pub use linear::{linear, linear_add};
pub use log_prob::{log_prob, log_prob_and_entropy, log_prob_and_hits};
pub use mlp::mlp;
pub use rms_norm::rms_norm;
pub use route::{Choice, route, route_balanced};
pub use select_rows::select_rows;
pub(in crate::model) use storage::{Plainly, read};

/// The compositions in plain Candle.
pub mod reference {
    pub use super::add_bias::reference as add_bias;
    pub use super::attention_reference::reference as attention;
    pub use super::experts::reference as experts;
    pub use super::linear::reference as linear;
    pub use super::log_prob::{reference as log_prob, reference_with_entropy as log_prob_and_entropy};
    pub use super::mlp::reference as mlp;
    pub use super::rms_norm::reference as rms_norm;
    pub use super::route::reference as route;
    pub use super::select_rows::reference as select_rows;
}
