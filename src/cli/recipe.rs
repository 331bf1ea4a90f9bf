//! From a recipe's file to its plan: what nearly every command begins with.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::Sources,
    },
    cli::{CliError, profile::Profile},
    lang::{self, Overrides, Program},
    plan::Plan,
    run::{self, RunError},
    schedule::{FileDigests, Schedule},
    stages,
    store::{Records, Store},
    syntax,
};

/// The recipe to read, and what to set in it.
#[derive(clap::Args)]
pub struct RecipeArguments {
    /// The recipe, a `.rgm` file
    #[arg(value_name = "RECIPE")]
    file: PathBuf,
    /// Set a parameter (`scale=quick`) or an argument of a step (`zero.lr=1e-5`)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    sets: Vec<String>,
}

/// The store that holds what is made.
#[derive(clap::Args)]
pub struct StoreArguments {
    /// The folder of the store [default: the profile's, else .regimen]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

/// A recipe that was read and checked.
pub struct Checked {
    pub sources: Sources,
    pub program: Program,
    pub diagnostics: Diagnostics,
}

/// A recipe's plan, with the texts that its spans point into.
pub struct Planned {
    pub sources: Sources,
    pub plan: Plan,
}

impl RecipeArguments {
    /// A recipe that a command names in a way of its own.
    #[must_use]
    pub fn new(file: PathBuf, sets: Vec<String>) -> Self {
        Self { file, sets }
    }

    /// What a run's log says it was asked for: the file, and what was set.
    pub fn told(&self) -> (Option<PathBuf>, Vec<String>) {
        (Some(self.file.clone()), self.sets.clone())
    }

    /// Reads and checks the recipe, mistakes and all.
    pub fn check(&self) -> Result<Checked, CliError> {
        let mut sources = Sources::default();
        let text = fs::read(&self.file).map_err(|error| CliError::File { path: self.file.clone(), error })?;
        let mut diagnostics = Diagnostics::default();
        let text = String::from_utf8(text).unwrap_or_else(|error| {
            let at = error.utf8_error().valid_up_to();
            diagnostics.push(Diagnostic::without_place(format!(
                "{}: expected text in UTF-8, found another byte at {at}",
                self.file.display()
            )));
            String::new()
        });
        let id = sources.add(&self.file, text.as_str());
        let (recipe, complaints) = syntax::parse(id, &text);
        diagnostics.extend(complaints);
        let overrides = Overrides { sets: self.sets.clone(), directory: env::current_dir().ok() };
        let (program, complaints) = lang::check(&mut sources, &recipe, &overrides);
        diagnostics.extend(complaints);
        Ok(Checked { sources, program, diagnostics: diagnostics.sorted() })
    }

    /// The plan of the recipe. Warnings are shown and passed over; errors end the command.
    pub fn plan(&self) -> Result<Planned, CliError> {
        let Checked { sources, program, diagnostics } = self.check()?;
        if diagnostics.has_errors() {
            return Err(CliError::Recipe(Box::new((diagnostics, sources))));
        }
        let versions = |name: &str| stages::find(name).map_or(0, |stage| stage.version);
        let mut plan = Plan::of(program, &versions);
        let folder = self.file.parent().unwrap_or(Path::new(""));
        for path in plan.steps.iter_mut().flat_map(|step| step.files.values_mut()) {
            *path = folder.join(&*path);
        }
        Ok(Planned { sources, plan })
    }
}

impl StoreArguments {
    pub fn open(&self) -> Result<Store, CliError> {
        Ok(Profile::read()?.store(self.store.as_deref()))
    }
}

impl Planned {
    /// Compares the plan with what the store holds, and prices what would run.
    pub fn schedule(&self, store: &Store) -> Result<Schedule, CliError> {
        let schedule = Schedule::new(&self.plan, &self.files()?, &Records::new(store));
        self.priced(schedule, store)
    }

    /// Prices what would run.
    pub fn priced(&self, mut schedule: Schedule, store: &Store) -> Result<Schedule, CliError> {
        run::foresee(&mut schedule, &self.plan, store, &stages::find);
        run::price(&self.plan, &mut schedule, store, &Records::new(store), Profile::read()?.threads(None));
        Ok(schedule)
    }

    /// The digests of the files that the plan reads.
    pub fn files(&self) -> Result<FileDigests, CliError> {
        run::digest_inputs(&self.plan).map_err(|error| self.blame(error))
    }

    /// An error of a run, with its complaints shown at their places in the recipe.
    #[must_use]
    pub fn blame(&self, error: RunError) -> CliError {
        match error {
            RunError::Inputs(complaints) => CliError::Recipe(Box::new((complaints, self.sources.clone()))),
            other => CliError::Run(other),
        }
    }
}
