//! Rows in the editor of the person who decides.

use std::{env, fs, path::Path, process::Command};

use super::case::Case;
use crate::cli::CliError;

/// Hands rows to the editor, and takes what comes back. The sheet lies in the review's folder until it is taken, so that
/// neither a kill nor a mistake in it loses what was typed.
pub fn run(case: &mut Case, rows: &[usize], by: &str) -> Result<(), CliError> {
    let name: String = by.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let folder = case.review.folder().join("sheets");
    let sheet = folder.join(format!("{name}.txt"));
    if sheet.exists() {
        println!("going on with the sheet that was not handed in: {}", sheet.display());
    } else if rows.is_empty() {
        println!("no row is left to decide");
        return Ok(());
    } else {
        let text = case.sheet().text(&case.head(), &case.slips(rows))?;
        let write = || {
            fs::create_dir_all(&folder)?;
            // Under another name first, so that a kill leaves no half sheet.
            let new = folder.join(format!("{name}.new"));
            fs::write(&new, text)?;
            fs::rename(&new, &sheet)
        };
        write().map_err(|error| CliError::File { path: sheet.clone(), error })?;
    }
    open(&sheet)?;
    let text = fs::read_to_string(&sheet).map_err(|error| CliError::File { path: sheet.clone(), error })?;
    case.take_sheet(&sheet, &text, by).map_err(|error| keeping(error, &sheet))?;
    fs::remove_file(&sheet).map_err(|error| CliError::File { path: sheet.clone(), error })
}

fn open(sheet: &Path) -> Result<(), CliError> {
    let named = ["VISUAL", "EDITOR"].into_iter().filter_map(|it| env::var(it).ok()).find(|it| !it.trim().is_empty());
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    // The variable may hold arguments, and quotes: that is for the shell to read.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(sheet).status();
    let problem = match status {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("the editor `{editor}` ended with {status}"),
        Err(error) => format!("the editor `{editor}` could not be started: {error}"),
    };
    let hint = "`--edit` once more goes on with it; the editor is named by `$VISUAL` or `$EDITOR`".to_owned();
    Err(CliError::Unknown { message: format!("{problem}; the sheet is kept: {}", sheet.display()), hint: Some(hint) })
}

/// The same error, with what became of the sheet.
fn keeping(error: CliError, sheet: &Path) -> CliError {
    let CliError::Unknown { message, .. } = error else { return error };
    let hint = format!("nothing was recorded and the sheet is kept; `--edit` once more opens {}", sheet.display());
    CliError::Unknown { message, hint: Some(hint) }
}
