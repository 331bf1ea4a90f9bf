//! The command line: one file per command, and what they share.
#![deny(clippy::print_stderr, clippy::print_stdout)]

#[macro_use]
mod output;

mod budget;
mod check;
mod completions;
mod diff;
mod doc;
mod error;
mod exit;
mod fmt;
mod gc;
mod graph;
mod interval;
mod log;
mod lsp;
mod machine;
mod merge;
mod model;
mod params;
mod pin;
mod plan;
mod preflight;
mod profile;
mod recipe;
mod report;
mod review;
mod run;
mod score;
mod show;
mod status;
mod test;
mod trace;
mod verify;
mod why;

use clap::{CommandFactory, Parser, Subcommand};

pub use error::CliError;
pub use exit::Exit;

/// A declarative workflow engine for training reasoning models.
#[derive(Parser)]
#[command(name = "regimen", version, after_help = Exit::TABLE, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Arguments),
    Plan(plan::Arguments),
    Run(run::Arguments),
    Review(review::Arguments),
    Diff(diff::Arguments),
    Why(why::Arguments),
    Status(status::Arguments),
    Report(report::Arguments),
    Log(log::Arguments),
    Show(show::Arguments),
    Trace(trace::Arguments),
    Graph(graph::Arguments),
    Gc(gc::Arguments),
    Verify(verify::Arguments),
    Merge(merge::Arguments),
    Score(score::Arguments),
    Test(test::Arguments),
    Fmt(fmt::Arguments),
    Doc(doc::Arguments),
    Pin(pin::Arguments),
    Lsp(lsp::Arguments),
    Completions(completions::Arguments),
    #[command(subcommand)]
    Model(model::Command),
}

/// Keeps a large value to the end of the process, where the system takes all memory back at once.
fn keep<T>(value: T) {
    std::mem::forget(value);
}

/// The whole command line, for completions.
fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the command line, does what it says, and tells how it ended.
#[must_use]
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors, although they come this way.
            let exit = if error.use_stderr() { Exit::Recipe } else { Exit::Done };
            let _ = error.print();
            return exit;
        }
    };
    let result = match arguments.command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Run(arguments) => run::run(&arguments),
        Command::Review(arguments) => review::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Log(arguments) => log::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Gc(arguments) => gc::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Doc(arguments) => doc::run(&arguments),
        Command::Lsp(arguments) => lsp::run(&arguments),
        Command::Pin(arguments) => pin::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Model(command) => model::run(&command),
    };
    result.unwrap_or_else(|error| {
        error.print();
        error.exit()
    })
}
