//! The integration tests, in one binary so that they are linked once.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

mod architecture;
mod bad_input;
mod cli;
mod data;
mod engine;
mod failures;
mod fuzz;
mod harness;
mod keys;
mod kill;
mod language_cli;
mod language_server;
mod library;
mod model;
mod model_commands;
mod model_files;
mod model_ops;
mod plans;
mod recipes;
mod reruns;
mod rewards;
mod sampler;
mod screens;
mod store;
mod suite;
mod syntax_errors;
mod syntax_format;
mod syntax_limits;
mod syntax_tree;
