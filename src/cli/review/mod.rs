//! `regimen review`: a person decides on the rows that wait.

mod case;
mod editor;
mod numbers;
mod screen;
mod walk;

use std::{
    env, fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use self::{case::Case, numbers::Numbers};
use crate::{
    base::decision::Verdict,
    cli::{
        CliError, Exit,
        recipe::{RecipeArguments, StoreArguments},
    },
    report::format::counted,
};

/// Decide on the rows that wait for a person: list, show, accept, refuse, edit
#[derive(clap::Args)]
pub struct Arguments {
    /// The recipe whose steps are meant (a `.rgm` file), or the step
    #[arg(value_name = "RECIPE")]
    first: Option<String>,
    /// The step, by its address or the beginning of its key; without it, what waits is listed
    #[arg(value_name = "STEP")]
    second: Option<String>,
    /// Accept rows: `1-20,25`, `open` (those undecided) or `all`
    #[arg(long, value_name = "ROWS")]
    accept: Option<Numbers>,
    /// Refuse rows
    #[arg(long, value_name = "ROWS")]
    refuse: Option<Numbers>,
    /// Why they are refused
    #[arg(long, value_name = "TEXT", requires = "refuse")]
    reason: Option<String>,
    /// Take decisions back
    #[arg(long, value_name = "ROWS")]
    undecide: Option<Numbers>,
    /// Decide on rows, and edit them, in `$VISUAL` or `$EDITOR` [default: those undecided]
    #[arg(long, value_name = "ROWS", num_args = 0..=1, default_missing_value = "open")]
    edit: Option<Numbers>,
    /// Go through the undecided rows one by one; this is what happens on a terminal where nothing else is asked for
    #[arg(long)]
    walk: bool,
    /// Show rows at length
    #[arg(long, value_name = "ROWS")]
    show: Option<Numbers>,
    /// Take decisions and edits from a file, as `--export` writes it; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Write all rows with what is decided so far: JSON lines where the name ends in `.jsonl` or is `-`, else a text
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Take over what was decided under another guide on rows that are the same
    #[arg(long)]
    carry: bool,
    /// Leave out whatever is undecided, and let the next run go on
    #[arg(long)]
    done: bool,
    /// Take decisions again after `--done`, or on a step that is made
    #[arg(long, conflicts_with = "done")]
    reopen: bool,
    /// Who decides [default: `user.name` of git, else `$USER`]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// What the recipe is run with, as for `run`
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    store: StoreArguments,
}

pub fn run(arguments: &Arguments) -> Result<Exit, CliError> {
    let store = arguments.store.open()?;
    let (recipe, step) = match (&arguments.first, &arguments.second) {
        (Some(recipe), Some(step)) => (Some(recipe), Some(step)),
        (Some(name), None) if is_recipe(name) => (Some(name), None),
        (step, None) => (None, step.as_ref()),
        (None, Some(_)) => (None, None),
    };
    let of_recipe = recipe.map(|it| RecipeArguments::new(it.into(), arguments.sets.clone()).plan()).transpose()?;
    let cases = case::find(&store, of_recipe.as_ref())?;
    let Some(step) = step else {
        screen::list(&cases, arguments.json);
        return Ok(Exit::Done);
    };
    let mut case = case::named(cases, step, of_recipe.as_ref(), &store)?;
    if arguments.reopen {
        let name = name(arguments)?;
        case.reopen(&name)?;
    }
    if let Some(file) = &arguments.export {
        export(&case, file)?;
    }
    let decided = decide(arguments, &mut case)?;
    if let Some(numbers) = &arguments.show {
        screen::rows(&case, &numbers.of(&case)?, arguments.json)?;
    } else if !decided && arguments.export.is_none() && !arguments.reopen {
        let watched = io::stdin().is_terminal() && io::stdout().is_terminal() && !arguments.json;
        if watched && !case.is_made() && !case.tally().is_complete() {
            screen::head(&case);
            walk::run(&mut case, &name(arguments)?)?;
        } else {
            screen::table(&case, arguments.json);
        }
    }
    Ok(Exit::Done)
}

/// Does what changes decisions; says whether there was anything of that.
fn decide(arguments: &Arguments, case: &mut Case) -> Result<bool, CliError> {
    let ways = [
        (&arguments.accept, Verdict::Accept, None),
        (&arguments.refuse, Verdict::Refuse, arguments.reason.as_deref()),
        (&arguments.undecide, Verdict::Undecided, None),
    ];
    let some = ways.iter().any(|(numbers, ..)| numbers.is_some());
    let others = arguments.edit.is_some() || arguments.from.is_some() || arguments.carry || arguments.walk;
    if !some && !others && !arguments.done {
        return Ok(false);
    }
    let name = name(arguments)?;
    case.must_be_open()?;
    if arguments.carry {
        case.carry(&name)?;
    }
    if let Some(file) = &arguments.from {
        let (path, text) = read(file)?;
        case.take_sheet(&path, &text, &name)?;
    }
    let mut slips = Vec::new();
    for (numbers, verdict, reason) in ways {
        let Some(numbers) = numbers else { continue };
        slips.extend(numbers.of(case)?.into_iter().map(|row| case::slip(row, verdict, reason)));
    }
    if let Some(row) = twice(slips.iter().map(|slip| slip.row).collect()) {
        return Err(CliError::Unknown { message: format!("row {row} is named for two decisions"), hint: None });
    }
    if some {
        case.record(slips, &name)?;
    }
    if let Some(numbers) = &arguments.edit {
        editor::run(case, &numbers.of(case)?, &name)?;
    }
    if arguments.walk {
        walk::run(case, &name)?;
    }
    if arguments.done {
        case.close(&name)?;
    }
    case.tell();
    Ok(true)
}

/// A number that is in a list twice.
fn twice(mut numbers: Vec<usize>) -> Option<usize> {
    numbers.sort_unstable();
    numbers.windows(2).find_map(|pair| matches!(pair, [a, b] if a == b).then(|| pair.first().copied())?)
}

fn export(case: &Case, file: &Path) -> Result<(), CliError> {
    let slips = case.slips(&case.all());
    let to_stdout = file == Path::new("-");
    let json = to_stdout || file.extension().is_some_and(|it| it == "jsonl");
    let text = if json { case.sheet().json(&slips)? } else { case.sheet().text(&case.head(), &slips)? };
    if to_stdout {
        // A reader that has gone away wants no more.
        let _ = io::stdout().lock().write_all(text.as_bytes());
        return Ok(());
    }
    fs::write(file, text).map_err(|error| CliError::File { path: file.to_owned(), error })?;
    println!("wrote {} to {}", counted(slips.len(), "row"), file.display());
    Ok(())
}

fn read(file: &Path) -> Result<(PathBuf, String), CliError> {
    if file == Path::new("-") {
        let mut text = String::new();
        let path = PathBuf::from("standard input");
        return match io::stdin().lock().read_to_string(&mut text) {
            Ok(_) => Ok((path, text)),
            Err(error) => Err(CliError::File { path, error }),
        };
    }
    let text = fs::read_to_string(file).map_err(|error| CliError::File { path: file.to_owned(), error })?;
    Ok((file.to_owned(), text))
}

fn is_recipe(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|it| it == "rgm")
}

/// Who decides.
fn name(arguments: &Arguments) -> Result<String, CliError> {
    let of_git = || {
        let mut git = Command::new("git");
        let output = git.args(["config", "user.name"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let usable = |name: &String| !name.trim().is_empty() && !name.trim().contains('\n');
    let found = match &arguments.by {
        Some(name) => Some(name.clone()).filter(usable),
        None => of_git().filter(usable).or_else(|| env::var("USER").ok().filter(usable)),
    };
    found.map(|it| it.trim().to_owned()).ok_or_else(|| CliError::Unknown {
        message: "nobody is named as the one who decides".to_owned(),
        hint: Some("say who: `--by NAME`".to_owned()),
    })
}
