//! One row after the other, with a key for each decision.

use std::io::{self, BufRead, Write};

use super::{
    case::{Case, slip},
    editor, screen,
};
use crate::{base::decision::Verdict, cli::CliError};

const KEYS: &str = "[a]ccept, [r]efuse REASON, [e]dit, [s]kip, [q]uit";

/// Goes through the undecided rows. Each decision is durable before the next row is shown.
pub fn run(case: &mut Case, by: &str) -> Result<(), CliError> {
    let rows = case.open();
    for (at, row) in rows.iter().enumerate() {
        print!("\n{}{} of {} left; {KEYS}: ", screen::row(case, *row), rows.len() - at, rows.len());
        loop {
            let _ = io::stdout().flush();
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            let line = line.trim();
            let (key, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match (read, key) {
                // The end of what is typed ends the walk.
                (Ok(0) | Err(_), _) | (_, "q" | "quit") => {
                    println!();
                    return Ok(());
                }
                (_, "a" | "accept") => case.record(vec![slip(*row, Verdict::Accept, None)], by)?,
                (_, "r" | "refuse") => {
                    let reason = Some(rest.trim()).filter(|it| !it.is_empty());
                    case.record(vec![slip(*row, Verdict::Refuse, reason)], by)?;
                }
                (_, "e" | "edit") => match editor::run(case, &[*row], by) {
                    Ok(()) => {}
                    // What was typed is kept, and the person decides how to go on.
                    Err(error) => {
                        error.print();
                        print!("{KEYS}: ");
                        continue;
                    }
                },
                (_, "s" | "skip") => {}
                _ => {
                    print!("{KEYS}: ");
                    continue;
                }
            }
            break;
        }
    }
    Ok(())
}
