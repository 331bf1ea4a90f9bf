//! What is known of a step's model before a run: where its tokenizer comes from, how much it reads.

use std::collections::BTreeSet;

use crate::{
    data::{
        DataError,
        template::{self, Template},
        tokenizer::Tokenizer,
    },
    model::Config,
    plan::{Plan, Step, StepId},
};

/// The step upstream that the tokenizer of a step's model comes from.
pub fn origin<'a>(plan: &'a Plan, step: &'a Step) -> Option<&'a Step> {
    walk(plan, step, &|it| ["tokenizer", "load_tokenizer", "load"].contains(&it.stage.as_str()))
}

/// The first step upstream, along models and tokenizers, of which this holds.
pub fn walk<'a>(plan: &'a Plan, from: &'a Step, holds: &dyn Fn(&Step) -> bool) -> Option<&'a Step> {
    let mut at = from;
    let mut seen: BTreeSet<StepId> = BTreeSet::new();
    while seen.insert(at.id) {
        let next = ["model", "models", "tokenizer"].iter().find_map(|port| at.inputs.get(port)?.first());
        at = plan.step(*next?)?;
        if holds(at) {
            return Some(at);
        }
    }
    None
}

/// The prompt of a question by the template of the step that a tokenizer comes from.
pub fn rendered(source: &Step) -> Option<String> {
    if source.stage != "tokenizer" {
        return tokenizer(source)?.ok()?.prompt("question").ok();
    }
    let text = source.arguments.get("template").and_then(|it| it.as_str()).unwrap_or(template::DEFAULT);
    template::prompt(&Template::new(text).ok()?, "question", "<bos>", "<eos>").ok()
}

/// The tokenizer of a step that reads one from outside, or what is wrong with it; one that is trained is not known yet.
pub fn tokenizer(source: &Step) -> Option<Result<Tokenizer, DataError>> {
    let file = ["dir", "file"].iter().find_map(|it| source.files.get(*it))?;
    let template = source.arguments.get("template").and_then(|it| it.as_str());
    let read = match source.stage.as_str() {
        "load" => Tokenizer::load(file),
        "load_tokenizer" if file.is_dir() => {
            let config = file.join("tokenizer_config.json");
            let config = if config.is_file() { Some(config.as_path()) } else { None };
            Tokenizer::load_files(&file.join("tokenizer.json"), config, template)
        }
        "load_tokenizer" => Tokenizer::load_files(file, None, template),
        _ => return None,
    };
    Some(read)
}

/// How many tokens the model of a step reads at most.
pub fn context(plan: &Plan, step: &Step) -> Option<usize> {
    let source = walk(plan, step, &|it| ["init", "load"].contains(&it.stage.as_str()))?;
    match source.files.get("dir") {
        Some(folder) => Some(Config::read(folder).ok()?.max_positions()),
        None => Some(super::most(source.arguments.get("max_length")?) as usize),
    }
}
