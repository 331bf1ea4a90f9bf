//! The integration tests, in one binary so that they are linked once.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::disallowed_methods)]

mod architecture;
mod bad_input;
mod cli;
mod command;
mod data;
mod engine;
mod faults;
mod gc;
mod harness;
mod keys;
mod kill;
mod library;
mod lineage;
mod model;
mod model_commands;
mod model_files;
mod model_ops;
mod plans;
mod price;
mod recipes;
mod reruns;
mod resume;
mod rewards;
mod sampler;
mod screens;
mod store;
mod suite;
mod syntax_errors;
mod syntax_limits;
mod syntax_tree;
mod together;
mod verify;
