//! The library's signatures, the registry of stages, and the code of each stage agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::AtomicBool},
};

use regimen::{
    base::{
        argument::object,
        device::Device,
        predicate::{Comparison, Constant, Predicate},
        span::{SourceId, Sources},
        units::Unit,
    },
    lang::{self, Overrides, Program, Type, signature::Signature, stdlib},
    reward::{row, score::FUNCTIONS},
    stages::{Context, REGISTRY, Stage, StageError, checkpoint::Nowhere, review::Nobody, scorer::ASKING},
    syntax::{self, ast::Item},
};
use serde_json::{Value, json};

use crate::harness::Test;

/// A recipe that calls every stage with the least that it must be given, and one with the most.
const RECIPES: [&str; 2] = [include_str!("fixtures/e2e/least.rgm"), include_str!("fixtures/e2e/most.rgm")];

fn signatures() -> Vec<Signature<'static>> {
    let items = stdlib::modules().iter().flat_map(|module| &module.file.items);
    let stages = items.filter_map(|item| if let Item::Stage(stage) = item { Some(stage) } else { None });
    stages
        .map(Signature::read)
        .map(|(signature, complaints)| {
            assert!(complaints.is_empty());
            signature
        })
        .collect()
}

/// Whether a signature is that of code, and neither of a value nor of a composite.
fn is_step(signature: &Signature<'_>) -> bool {
    !signature.is_value() && signature.body.is_none()
}

/// A recipe's program, and which text its own is.
fn program(recipe: &str) -> (Program, SourceId) {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", recipe);
    let (file, complaints) = syntax::parse(id, recipe);
    assert!(complaints.is_empty());
    let (program, complaints) = lang::check(&mut sources, &file, &Overrides::default());
    assert!(complaints.is_empty(), "{complaints:?}");
    (program, id)
}

/// Runs a stage by itself, without any input.
fn run(stage: &Stage, arguments: Value) -> Result<(), StageError> {
    let folder = tempfile::tempdir().unwrap();
    (stage.run)(&Context {
        arguments,
        inputs: BTreeMap::new(),
        files: BTreeMap::new(),
        out: folder.path().to_owned(),
        pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
        cancelled: Arc::new(AtomicBool::new(false)),
        batch: 64,
        device: Device::Cpu,
        checkpoints: Box::new(Nowhere(folder.path().to_owned())),
        reviews: Box::new(Nobody),
        progress: Box::new(|_| {}),
    })
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_stage_has_a_signature_and_every_signature_a_stage() {
    let signatures = signatures();
    let declared: BTreeSet<&str> = signatures.iter().filter(|it| is_step(it)).map(|it| it.path.as_str()).collect();
    let registered: BTreeSet<&str> = REGISTRY.iter().map(|stage| stage.name).collect();
    assert_eq!(declared, registered);
    assert_eq!(registered.len(), REGISTRY.len(), "two stages have one name");
    assert!(REGISTRY.is_sorted_by_key(|stage| stage.name));
}

#[test]
fn every_stage_and_every_parameter_is_documented() {
    for signature in signatures() {
        assert!(!signature.docs.is_empty(), "{}", signature.path);
        for parameter in &signature.parameters {
            assert!(parameter.docs.ends_with('.'), "{}({})", signature.path, parameter.name);
        }
    }
}

/// A stage that is handed an argument it does not know tells which ones it knows.
#[test]
fn the_arguments_of_a_signature_are_those_of_its_stage() {
    let mut wrong = Vec::new();
    for signature in signatures().iter().filter(|it| is_step(it)) {
        let stage = REGISTRY.iter().find(|stage| stage.name == signature.path).unwrap();
        let declared: BTreeSet<String> =
            signature.parameters.iter().filter(|it| !it.positional).map(|it| it.name.to_owned()).collect();
        let Err(StageError::Arguments(message)) = run(stage, json!({"?": null})) else {
            panic!("`{}` takes any argument", stage.name)
        };
        let mut known = quoted(&message);
        assert!(known.remove("?"), "{message}");
        if declared != known {
            wrong.push(format!("{}: declared {declared:?}, known {known:?}", stage.name));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Arguments are read before inputs: what is complained of is an input, and never an argument.
#[test]
fn every_stage_reads_the_arguments_that_a_plan_hands_to_it() {
    for recipe in RECIPES {
        let (program, _) = program(recipe);
        for call in &program.calls {
            let stage = regimen::stages::find(&call.stage).unwrap();
            let Err(error) = run(stage, object(&call.arguments)) else {
                assert!(["filler", "problems"].contains(&stage.name), "a stage did without its input");
                continue;
            };
            let files = call.files.keys().map(String::as_str);
            let missing: BTreeSet<&str> = call.inputs.keys().map(|it| &**it).chain(files).collect();
            let named = missing.iter().any(|name| {
                [format!("the input `{name}` is missing"), format!("the file `{name}` is missing")]
                    .contains(&error.to_string())
            });
            // A list of inputs may be empty for all that a context knows.
            let list = call.inputs.values().any(|steps| steps.len() > 1);
            assert!(named || list, "{}: {error}", call.address);
        }
    }
}

#[test]
fn every_stage_runs_with_the_least_and_with_the_most_it_can_be_given() {
    let test = Test::new()
        .file("least.rgm", RECIPES[0])
        .file("most.rgm", RECIPES[1])
        .file("rows.jsonl", "{\"question\": \"What is 1 + 1?\", \"answer\": \"2\", \"solution\": \"1 + 1 = 2\"}\n")
        .file("chats.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"1\"}, {\"role\": \"assistant\", \"content\": \"2\"}]}\n")
        .file("merge.yaml", "merge_method: passthrough\nmodels: [{model: model}]\n")
        .file("pairs.jsonl", "{\"prompt\": \"What is 1 + 1?\", \"chosen\": \"2\", \"rejected\": \"3\"}\n")
        .file(
            "init.rgm",
            "text = documents(problems(rows = 9 rows))\nmodel = init(tokenizer(text, vocab = 270), hidden = 16, layers = 2)\ntaste = reward_model(model, dataset(\"pairs.jsonl\", kind = \"pair\"))\noutput model, taste\n",
        );
    let made = test.done("run init.rgm --store made --json").json();
    for name in ["model", "taste"] {
        let object = test.path(made.last().unwrap()["outputs"][name]["path"].as_str().unwrap());
        std::fs::rename(object, test.path(name)).unwrap();
    }
    for recipe in ["least.rgm", "most.rgm"] {
        let events = test.done(&format!("run {recipe} --json --store {recipe}.store")).json();
        let started = events.iter().filter(|event| event["event"] == "step_started");
        let stages: BTreeSet<&str> = started.map(|event| event["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, REGISTRY.iter().map(|stage| stage.name).collect(), "{recipe}");
    }
}

/// Where a default was used, the argument stands in the library and not in the recipe.
#[test]
fn the_most_that_can_be_given_is_every_parameter_of_every_stage() {
    let (program, recipe) = program(RECIPES[1]);
    let mut given = BTreeSet::new();
    for call in &program.calls {
        let written = call.argument_spans.iter().filter(|(_, span)| span.source == recipe);
        given.extend(written.map(|(name, _)| format!("{}({name})", call.stage)));
    }
    let mut missing = Vec::new();
    for signature in signatures().iter().filter(|it| is_step(it)) {
        let parameters = signature.parameters.iter().filter(|it| !it.positional);
        let names = parameters.map(|it| format!("{}({})", signature.path, it.name));
        missing.extend(names.filter(|name| !given.contains(name)));
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_scoring_function_is_declared_and_every_declared_one_is_there() {
    let declared: BTreeSet<String> =
        signatures().into_iter().filter(|it| it.returns == Type::Reward).map(|it| it.path).collect();
    let own = FUNCTIONS.iter().map(|function| function.name);
    let asking = ASKING.iter().map(|function| function.name);
    assert_eq!(declared, own.chain(asking).map(str::to_owned).collect());
}

/// A condition on a field that is unknown names those that are known. Texts are there for the code alone so far.
#[test]
fn every_field_of_a_condition_is_declared_and_every_declared_one_is_there() {
    let mut declared = BTreeSet::new();
    for signature in signatures() {
        let condition = match &signature.returns {
            Type::Predicate => Predicate::Is(signature.path.clone()),
            Type::Amount(units) => {
                assert_eq!(units, &[Unit::Tokens]);
                let value = Constant::Number { value: 9.0, unit: Some(Unit::Tokens) };
                Predicate::Compare { field: signature.path.clone(), op: Comparison::Less, value }
            }
            _ => continue,
        };
        row::check(&condition).unwrap();
        declared.insert(signature.path);
    }
    let mut known = quoted(&row::check(&Predicate::Is("?".into())).unwrap_err().to_string());
    known.remove("?");
    let is_text = |name: &String| {
        let value = Constant::Text(String::new());
        row::check(&Predicate::Compare { field: name.clone(), op: Comparison::Equal, value }).is_ok()
    };
    known.retain(|name| !is_text(name));
    assert_eq!(declared, known);
}
