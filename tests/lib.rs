//! The integration tests, in one binary so that they are linked once.

mod architecture;
mod data;
mod engine;
mod keys;
mod model;
mod model_files;
mod model_ops;
mod plans;
mod rewards;
mod sampler;
mod screens;
mod store;
mod suite;
mod syntax_errors;
mod syntax_limits;
mod syntax_tree;
