//! Reading tokens one by one, outside Candle's graph: packed weights, caches of keys and values, the choice of tokens.

mod attention;
mod cache;
mod choose;
mod decoder;
mod feed_forward;
mod grouped;
mod kernels;
mod latent;
mod matrix;
mod pack;
mod pass;
pub(super) mod plain;
mod shard;
mod table;

pub(super) use decoder::Decoder;
pub(super) use shard::{Queue, Shard};
