//! What commands print. A reader that has had enough, such as `head`, goes away, and that is no error.

use std::{fmt::Arguments, io};

use crate::{base::disk, cli::Exit};

/// As in the standard library, for readers that may be gone.
macro_rules! print {
    ($($text:tt)*) => { $crate::cli::output::say(format_args!($($text)*)) };
}

/// As in the standard library, for readers that may be gone.
macro_rules! println {
    () => { $crate::cli::output::say(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::output::say(format_args!("{}\n", format_args!($($text)*))) };
}

/// As in the standard library, for readers that may be gone.
macro_rules! eprint {
    ($($text:tt)*) => { $crate::cli::output::remark(format_args!($($text)*)) };
}

/// As in the standard library, for readers that may be gone.
macro_rules! eprintln {
    () => { $crate::cli::output::remark(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::output::remark(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output. What cannot be written for any other reason, such as a full disk, ends the program.
pub fn say(text: Arguments) {
    match io::Write::write_fmt(&mut io::stdout().lock(), text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write to standard output: {}", disk::describe(&error));
            std::process::exit(Exit::Recipe as i32);
        }
        _ => {}
    }
}

/// Writes to standard error. There is nobody to tell of what cannot be written there.
pub fn remark(text: Arguments) {
    let _ = io::Write::write_fmt(&mut io::stderr().lock(), text);
}
