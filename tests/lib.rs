//! The integration tests, in one binary so that they are linked once.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

mod architecture;
mod bad_input;
mod cli;
mod data;
mod engine;
mod harness;
mod keys;
mod kill;
mod library;
mod mathematics;
mod model;
mod model_commands;
mod model_files;
mod model_ops;
mod plans;
mod recipes;
mod reruns;
mod rewards;
mod sampler;
mod sandbox;
mod score;
mod screens;
mod store;
mod suite;
mod syntax_errors;
mod syntax_limits;
mod syntax_tree;
