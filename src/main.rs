//! The `regimen` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before there are other threads.
    regimen::model::prepare();
    regimen::cli::main().into()
}
