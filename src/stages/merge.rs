//! The stages `merge.*`: one for each method of merging, and `merge.from`, which reads a file of mergekit's.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    base::disk,
    merge::{
        self, Base, Configuration, Experts, Halfway, Job, Kind, Member, Merge, MergeError, Method, Options, Parameters,
        Pauses, Place, Scope, Setting, Slice, Source,
    },
    stages::{Context, Progress, Stage, StageError, card},
};

macro_rules! stages {
    ($($constant:ident $method:literal $version:literal)*) => {
        $(pub const $constant: Stage = Stage {
            name: concat!("merge.", $method),
            version: $version,
            run: |context| run(context, $method),
            check: None,
            extends: None,
        };)*
    };
}

stages! {
    ARCEE_FUSION "arcee_fusion" 1
    BREADCRUMBS "breadcrumbs" 1
    BREADCRUMBS_TIES "breadcrumbs_ties" 1
    DARE_LINEAR "dare_linear" 1
    DARE_TIES "dare_ties" 1
    DELLA "della" 1
    DELLA_LINEAR "della_linear" 1
    EMA "ema" 1
    KARCHER "karcher" 1
    LINEAR "linear" 2
    MODEL_STOCK "model_stock" 1
    MULTISLERP "multislerp" 1
    NEARSWAP "nearswap" 1
    NUSLERP "nuslerp" 1
    PASSTHROUGH "passthrough" 1
    RAM "ram" 1
    RAMPLUS_TL "ramplus_tl" 1
    SCE "sce" 1
    SLERP "slerp" 1
    TASK_ARITHMETIC "task_arithmetic" 1
    TIES "ties" 1
}

pub const FROM: Stage = Stage { name: "merge.from", version: 1, run: run_file, check: Some(check_file), extends: None };

/// Arguments of `merge.from`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileArguments {
    align: Option<String>,
    seed: u64,
}

/// The models that a file of mergekit's names, which are part of what a step reads.
pub fn models_of(file: &Path) -> Result<Vec<PathBuf>, StageError> {
    Ok(merge::models_of(file)?)
}

fn run_file(context: &Context) -> Result<(), StageError> {
    let arguments: FileArguments = context.arguments()?;
    let job = job(context.file("config")?, &arguments)?;
    write(context, |progress, pauses| job.write_on(&context.out, progress, pauses))?;
    Ok(job.write_card(&context.out)?)
}

fn check_file(arguments: &Value, files: &BTreeMap<String, PathBuf>) -> Result<(), StageError> {
    let arguments = FileArguments::deserialize(arguments).map_err(|error| StageError::Arguments(error.to_string()))?;
    files.values().try_for_each(|file| job(file, &arguments).map(|_| ()))
}

fn job(file: &Path, arguments: &FileArguments) -> Result<Job, StageError> {
    let options = Options { seed: arguments.seed, experts: experts(arguments.align.as_deref())?, ..Options::default() };
    Ok(merge::from_file(file, options)?)
}

fn run(context: &Context, method: &str) -> Result<(), StageError> {
    let Some(method) = merge::find(method) else {
        return Err(StageError::Arguments(format!("unknown method `{method}`")));
    };
    let arguments = Arguments::read(&context.arguments, method)?;
    let models = match context.inputs("models") {
        [] => std::slice::from_ref(context.inputs.get("model").and_then(|it| it.first()).ok_or_else(|| {
            let port = if takes_a_list(method) { "models" } else { "model" };
            StageError::Arguments(format!("the input `{port}` is missing"))
        })?),
        models => models,
    };
    let base = match method.base {
        Base::Required => Some(context.input("base")?),
        Base::Optional => context.optional_input("base"),
        Base::Ignored => None,
    };
    let configuration = configuration(method, &arguments, models.len(), base.is_some())?;
    let options = Options {
        seed: arguments.whole("seed"),
        experts: experts(arguments.0.get("align").and_then(Value::as_str))?,
        ..Options::default()
    };
    let folder = |name: &str| {
        let model = models.iter().enumerate().find(|(at, _)| model_name(*at) == name).map(|(_, folder)| folder.clone());
        model.or(base.map(Path::to_owned)).unwrap_or_default()
    };
    let merge = Merge::prepare(configuration, folder, options)?;
    write(context, |progress, pauses| merge.write_on(&context.out, progress, pauses))?;
    card::finish(context, base.unwrap_or(&models[0]))
}

/// Runs on the threads of the step, and tells and keeps how far it is.
fn write(
    context: &Context,
    work: impl FnOnce(merge::Progress, &dyn Pauses) -> Result<(), MergeError> + Send,
) -> Result<(), StageError> {
    let pauses = States { context, folder: context.checkpoints.workspace()? };
    let tell = |done: u64, total: u64| {
        context.progress(Progress { done, total, unit: "tensors", metrics: Vec::new() });
        context.check_cancelled().is_ok()
    };
    context.pool.install(|| work(&tell, &pauses)).map_err(StageError::from)
}

/// How far a merge has come, as a state of the step.
struct States<'a> {
    context: &'a Context,
    folder: PathBuf,
}

/// The file of a state that says how far the merge had come.
const HALFWAY: &str = "merge.json";

impl Pauses for States<'_> {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn kept(&self) -> Vec<Halfway> {
        let read = |state: PathBuf| serde_json::from_slice(&std::fs::read(state.join(HALFWAY)).ok()?).ok();
        self.context.checkpoints.kept().into_iter().filter_map(read).collect()
    }

    fn due(&self) -> bool {
        self.context.checkpoints.due()
    }

    fn keep(&self, halfway: &Halfway) -> Result<(), MergeError> {
        let fill = |state: &Path| {
            let (path, text) = (state.join(HALFWAY), serde_json::json!(halfway).to_string());
            disk::save(&path, text).map_err(|error| StageError::File { path, error })
        };
        let kept = self.context.checkpoints.keep(halfway.done, &mut { fill });
        kept.map_err(|error| MergeError::Request { message: error.to_string(), hint: None })
    }

    fn resumed(&self, done: u64) {
        self.context.checkpoints.resumed(done);
    }
}

/// The arguments of a method's stage by name.
struct Arguments(Map<String, Value>);

impl Arguments {
    fn read(arguments: &Value, method: &Method) -> Result<Self, StageError> {
        let given = arguments.as_object().cloned().unwrap_or_default();
        let known = known(method);
        if let Some(stranger) = given.keys().find(|name| !known.contains(&name.as_str())) {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let message = format!("unknown field `{stranger}`, expected one of {}", known.join(", "));
            return Err(StageError::Arguments(message));
        }
        Ok(Self(given))
    }

    fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        self.0.get(name)?.as_array().map(|values| values.iter().filter_map(Value::as_f64).collect())
    }

    fn whole(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or_default()
    }
}

/// The arguments that a method's stage takes.
fn known(method: &Method) -> Vec<&'static str> {
    let mut known: Vec<&str> = Vec::new();
    for parameter in method.parameters {
        match parameter.name {
            "weight" => known.push("weights"),
            // It changes nothing.
            "int8_mask" => {}
            name => known.push(name),
        }
    }
    if method.name.starts_with("dare") || method.name.starts_with("della") {
        known.push("seed");
    }
    if method.name == "passthrough" {
        known.extend(["start", "stop"]);
    }
    known.push("align");
    known
}

fn takes_a_list(method: &Method) -> bool {
    method.models != (1, 1) || method.name == "passthrough"
}

fn experts(align: Option<&str>) -> Result<Experts, StageError> {
    match align {
        None => Ok(Experts::Verified),
        Some("base") => Ok(Experts::SameBase),
        Some("permute") => Ok(Experts::Permute),
        Some(other) => {
            Err(StageError::Arguments(format!("expected `align` to be `base` or `permute`, found `{other}`")))
        }
    }
}

fn model_name(at: usize) -> String {
    format!("model {}", at + 1)
}

/// What a file would say that asks for the same.
fn configuration(
    method: &'static Method,
    arguments: &Arguments,
    models: usize,
    base: bool,
) -> Result<Configuration, StageError> {
    let weights = arguments.numbers("weights").unwrap_or_else(|| vec![1.0; models]);
    if weights.len() != models {
        let found = weights.len();
        return Err(StageError::Arguments(format!("expected a weight for each of {models} models, found {found}")));
    }
    let mut members = Vec::new();
    for (at, weight) in weights.into_iter().enumerate() {
        let mut parameters = Parameters::default();
        if method.parameters.iter().any(|it| it.name == "weight") {
            parameters.0.insert("weight".to_owned(), Setting::Number(weight));
        }
        members.push(Member { model: model_name(at), layers: None, parameters, at: Place::default() });
    }
    let mut shared = Parameters::default();
    for parameter in method.parameters.iter().filter(|it| it.name != "weight") {
        let value = match (arguments.0.get(parameter.name), parameter.kind) {
            (Some(Value::Bool(flag)), Kind::Flag) => Some(f64::from(u8::from(*flag))),
            (Some(value), _) => value.as_f64(),
            (None, _) => None,
        };
        if let Some(value) = value {
            shared.0.insert(parameter.name.to_owned(), Setting::Number(value));
        }
        debug_assert!(matches!(parameter.scope, Scope::All | Scope::Model), "every parameter may be said for all");
    }
    Ok(Configuration {
        source: Source::default(),
        method,
        slices: slices(method, arguments, members)?,
        base: base.then(|| "base".to_owned()),
        parameters: shared,
        dtype: None,
        out_dtype: None,
        tokenizer: None,
        chat_template: None,
        warnings: Vec::new(),
    })
}

/// One slice of all layers, or for `passthrough` one for each model.
fn slices(method: &Method, arguments: &Arguments, members: Vec<Member>) -> Result<Vec<Slice>, StageError> {
    let slice = |members| Slice { members, parameters: Parameters::default(), at: Place::default() };
    if method.name != "passthrough" {
        return Ok(vec![slice(members)]);
    }
    let (start, stop) = (arguments.numbers("start"), arguments.numbers("stop"));
    let (Some(start), Some(stop)) = (&start, &stop) else {
        return match (members.len(), start.is_some() || stop.is_some()) {
            (1, false) => Ok(vec![slice(members)]),
            _ => Err(StageError::Arguments("expected the layers of each model as `start` and `stop`".to_owned())),
        };
    };
    let count = members.len();
    if start.len() != count || stop.len() != count {
        return Err(StageError::Arguments(format!(
            "expected `start` and `stop` for each of {count} models, found {} and {}",
            start.len(),
            stop.len()
        )));
    }
    let mut slices = Vec::new();
    for ((mut member, start), stop) in members.into_iter().zip(start).zip(stop) {
        if start >= stop {
            return Err(StageError::Arguments(format!(
                "expected layers that start before they stop, found {start} to {stop}"
            )));
        }
        member.layers = Some((*start as usize, *stop as usize));
        slices.push(slice(vec![member]));
    }
    Ok(slices)
}
