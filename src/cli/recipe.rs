//! From a recipe's file to its plan: what nearly every command begins with.

use std::{
    env, fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use crate::{
    base::{
        device::Device,
        diagnostic::{Diagnostic, Diagnostics},
        digest::{Digest, FieldHasher},
        span::Sources,
        suggest::did_you_mean,
    },
    cli::{CliError, error::colour, machine::Description, params, preflight, profile::Profile},
    lang::{self, Imports, Overrides, Pin, Program, imports::Unreadable},
    plan::Plan,
    report::diagnostics::{self, SCREENFUL},
    run::{self, Outlook, Question, RunError},
    schedule::{FileDigests, Schedule},
    stages,
    store::{Glance, Records, Store},
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
    /// Set what a YAML file names, as `--set` does; `--set` is stronger
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Where models compute: `cpu`, `cuda` or `plain`; each makes results of its own [default: the profile's, else cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<Device>,
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
    /// How many of the sources are files.
    files: usize,
    pub program: Program,
    pub diagnostics: Diagnostics,
}

/// A recipe's plan, with the texts that its spans point into.
pub struct Planned {
    pub sources: Sources,
    /// How many of the sources are files.
    files: usize,
    pub plan: Plan,
    /// What files from outside must hold.
    pins: Vec<Pin>,
    /// What the recipe is warned of.
    warnings: Diagnostics,
}

impl RecipeArguments {
    /// A recipe that a command names in a way of its own.
    #[must_use]
    pub fn new(file: PathBuf, sets: Vec<String>) -> Self {
        Self { file, sets, params: None, device: None }
    }

    /// The same recipe with one more parameter set.
    #[must_use]
    pub fn with(&self, set: Option<String>) -> Self {
        let sets = self.sets.iter().cloned().chain(set).collect();
        Self { file: self.file.clone(), sets, params: self.params.clone(), device: self.device }
    }

    /// What a run's log says it was asked for: the file, and what was set.
    pub fn told(&self) -> (Option<PathBuf>, Vec<String>) {
        (Some(self.file.clone()), self.sets.clone())
    }

    /// Reads and checks the recipe, mistakes and all.
    pub fn check(&self) -> Result<Checked, CliError> {
        self.check_one(None)
    }

    /// Reads the recipe, and checks it or one of its tests.
    fn check_one(&self, test: Option<&str>) -> Result<Checked, CliError> {
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
        let (imports, complaints) = Imports::load(&mut sources, &self.file, &recipe, &mut read_used);
        diagnostics.extend(complaints);
        let params = self.params.as_deref().map(|it| params::read(it, &mut sources)).transpose()?;
        let (params, complaints) = params.unwrap_or_default();
        diagnostics.extend(complaints);
        let files = sources.iter().count();
        let overrides = Overrides { sets: self.sets.clone(), params, directory: env::current_dir().ok() };
        let (program, complaints) = test
            .and_then(|name| lang::check_test(&mut sources, &recipe, &imports, &overrides, name))
            .unwrap_or_else(|| lang::check_with(&mut sources, &recipe, &imports, &overrides));
        diagnostics.extend(complaints);
        Ok(Checked { sources, files, program, diagnostics: diagnostics.told() })
    }

    /// The plan of the recipe. Errors end the command; warnings are left to [`Planned::warn`].
    pub fn plan(&self) -> Result<Planned, CliError> {
        self.plan_of(self.check()?)
    }

    /// The plan of one of the recipe's tests.
    pub fn plan_test(&self, name: &str) -> Result<Planned, CliError> {
        self.plan_of(self.check_one(Some(name))?)
    }

    fn plan_of(&self, checked: Checked) -> Result<Planned, CliError> {
        let Checked { sources, files, mut program, diagnostics } = checked;
        if diagnostics.has_errors() {
            return Err(CliError::Recipe(Box::new((diagnostics, sources))));
        }
        let versions = |name: &str| stages::find(name).map_or(0, |stage| stage.version);
        let pins = std::mem::take(&mut program.pins);
        let mut plan = Plan::of(program, &versions).on(self.device()?);
        let folder = self.file.parent().unwrap_or(Path::new(""));
        for path in plan.steps.iter_mut().flat_map(|step| step.files.values_mut()) {
            *path = folder.join(&*path);
        }
        let pins = pins.into_iter().map(|pin| Pin { path: folder.join(&pin.path), ..pin }).collect();
        Ok(Planned { sources, files, plan, pins, warnings: diagnostics })
    }

    fn device(&self) -> Result<Device, CliError> {
        self.device.map_or_else(|| Ok(Profile::read()?.device.unwrap_or_default()), Ok)
    }

    /// The digest of what is asked of a store, and of which program: two commands with one digest say the same, where
    /// the texts that they read are the same. None where the system does not tell.
    pub fn asked(&self, store: &Store) -> Option<Digest> {
        let device = self.device().ok().filter(|it| it.check().is_ok())?;
        let program = fs::metadata(env::current_exe().ok()?).ok()?;
        let [changed, part] = [program.ctime(), program.ctime_nsec()].map(i64::to_le_bytes);
        let mut hasher = FieldHasher::new();
        for (name, value) in [("disk", program.dev()), ("file", program.ino()), ("bytes", program.len())] {
            hasher.field(name, &value.to_le_bytes());
        }
        hasher.field("changed", &changed).field("part", &part);
        hasher.field("folder", env::current_dir().ok()?.as_os_str().as_bytes());
        hasher.field("store", store.root().as_os_str().as_bytes());
        hasher.field("recipe", self.file.as_os_str().as_bytes());
        hasher.field("device", device.name().as_bytes());
        self.sets.iter().for_each(|set| {
            hasher.field("set", set.as_bytes());
        });
        self.params.iter().for_each(|params| {
            hasher.field("params", params.as_os_str().as_bytes());
        });
        Some(hasher.finish())
    }
}

/// A recipe that does not parse, as the error that ends a command.
pub fn faulty(path: &Path, text: String, complaints: Diagnostics) -> CliError {
    let mut sources = Sources::default();
    sources.add(path, text);
    CliError::Recipe(Box::new((complaints, sources)))
}

/// The text of a recipe that another uses, or why there is none, with the file that may have been meant.
pub fn read_used(path: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(path).map_err(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Unreadable { message: error.to_string(), hint: None };
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let beside = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = beside.map(|it| it.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|it| it.ends_with(".rgm"));
        names.sort();
        if path.extension().is_none() && path.with_extension("rgm").is_file() {
            let hint = Some("write the whole name, with `.rgm`".to_owned());
            return Unreadable { message: "there is no such file".to_owned(), hint };
        }
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        let hint = did_you_mean(&name, names.iter().map(String::as_str));
        Unreadable { message: "there is no such file".to_owned(), hint }
    })
}

impl StoreArguments {
    pub fn open(&self) -> Result<Store, CliError> {
        Ok(Profile::read()?.store(self.store.as_deref()))
    }
}

impl Planned {
    /// What was asked, and all that was read to answer; None where there is more to say than what is made.
    pub fn question(&self, asked: Option<Digest>) -> Option<Question> {
        let files = self.sources.iter().take(self.files);
        let texts = files.map(|(_, it)| (it.path.clone(), Digest::of(it.text.as_bytes()))).collect();
        asked.filter(|_| self.warnings.is_empty()).map(|asked| Question { asked, texts })
    }

    /// Shows what the recipe is warned of, on standard error.
    pub fn warn(&self) {
        eprint!("{}", diagnostics::render(&self.warnings, &self.sources, colour(), SCREENFUL));
    }

    /// Compares the plan with what the store holds, and prices what would run.
    pub fn schedule(&self, store: &Store) -> Result<Schedule, CliError> {
        self.schedule_after(store, Glance::new(store))
    }

    /// As [`Planned::schedule`], where a glance at the store was taken before.
    pub fn schedule_after(&self, store: &Store, glance: Glance) -> Result<Schedule, CliError> {
        let history = Records::after(store, glance);
        let schedule = Schedule::new(&self.plan, &self.files()?, &history);
        self.priced(schedule, store, &history)
    }

    /// Prices what would run.
    pub fn priced(&self, mut schedule: Schedule, store: &Store, history: &Records) -> Result<Schedule, CliError> {
        run::foresee(&mut schedule, &self.plan, store, &stages::find);
        run::price(&self.plan, &mut schedule, store, history, Profile::read()?.threads(None));
        Ok(schedule)
    }

    /// Compares the plan with what the store holds, and prices what would run as another machine would run it.
    pub fn schedule_for(&self, store: &Store, machine: &Description) -> Result<Schedule, CliError> {
        let mut schedule = Schedule::new(&self.plan, &self.files()?, &Records::new(store));
        run::price_for(&self.plan, &mut schedule, machine.machine());
        Ok(schedule)
    }

    /// The digests of the files that the plan reads, each of which is looked at.
    pub fn files(&self) -> Result<FileDigests, CliError> {
        let files = run::digest_inputs(&self.plan).map_err(|error| self.blame(error))?;
        self.look(&files)?;
        Ok(files)
    }

    /// Looks at what the files hold, before anything runs.
    pub fn preflight<'a>(&self, store: &'a Store, glance: Glance) -> Result<Outlook<'a>, CliError> {
        if let Some(step) = self.plan.steps.first() {
            step.device.check().map_err(|error| CliError::Profile(error.to_string()))?;
        }
        let outlook = Outlook::new(&self.plan, store, glance).map_err(|error| self.blame(error))?;
        self.look(outlook.files())?;
        Ok(outlook)
    }

    /// Holds the files against their pins, and what they tell against what the recipe wants of them.
    fn look(&self, files: &FileDigests) -> Result<(), CliError> {
        let mut complaints = preflight::check(&self.plan);
        for pin in &self.pins {
            let Some(found) = files.get(&pin.path).map(Digest::hex).filter(|it| *it != pin.digest) else { continue };
            complaints.push(preflight::changed(pin.span, &pin.path, &pin.digest, &found));
        }
        if complaints.has_errors() {
            return Err(CliError::Recipe(Box::new((complaints.sorted(), self.sources.clone()))));
        }
        Ok(())
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
