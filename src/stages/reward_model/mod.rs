//! Reward models: what one is to the stages that ask it.

pub mod artifact;
