//! Exit codes, the same for every command.

use std::process::ExitCode;

/// How a command ended, as other programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The recipe, an argument or a file that they name is wrong; nothing ran.
    Recipe = 1,
    /// `plan --exit-code`: something would run.
    Work = 2,
    /// A step failed.
    Step = 3,
    /// A `require` does not hold.
    Gate = 4,
    /// The store is damaged or cannot be used.
    Store = 5,
    /// A person is to decide on rows first; all that does not build on them is made.
    Waiting = 6,
    /// The plan does not fit the memory, the disk or the budget; nothing ran.
    Misfit = 7,
    Interrupted = 130,
}

impl Exit {
    /// Every code with its meaning, for the help text.
    pub const TABLE: &'static str = "\
Exit codes:
    0  done
    1  an error in the recipe, in an argument, or in a file that they name
    2  the plan has work to do (`plan --exit-code`)
    3  a step failed
    4  a `require` does not hold
    5  the store is damaged or cannot be used
    6  waiting for a person (`regimen review`)
    7  the plan does not fit the memory, the disk or the `--budget`
  130  interrupted";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
