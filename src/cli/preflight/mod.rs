//! What the files of a plan tell before anything is trained: a reward that no answer can earn, answers that no verifier
//! can confirm, prompts that leave no room.

mod known;
mod stop;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::Span,
    },
    data::{
        import::{self, Columns},
        jsonl,
        rows::Problem,
    },
    plan::{Plan, Step, StepId},
    reward::answer::is_correct,
    stages,
};

/// Stages that hold answers against those that are known to be right.
const VERIFYING: [&str; 4] = ["eval", "filter", "grpo", "reject"];

/// Stages that give on rows as they are.
const PASSING: [&str; 5] = ["decontaminate", "dedupe", "mix", "split", "take"];

/// Looks at everything that can be known without a run. Files that cannot be read are no concern of this.
#[must_use]
pub fn check(plan: &Plan) -> Diagnostics {
    let mut found = Diagnostics::default();
    let verified = verified(plan);
    for (step, verified) in plan.steps.iter().zip(verified) {
        if let Some((name, complaint)) = stages::formula::complaint(&step.stage, &step.arguments) {
            found.push(Diagnostic::error(step.argument_spans.get(name).copied().unwrap_or(step.span), complaint));
        }
        if uses_format(step) {
            found.extend(reachable(plan, step));
        }
        if step.stage == "dataset" && verified {
            found.extend(answers(step));
        }
        if step.arguments.contains_key("max_length") && step.inputs.contains_key("data") {
            found.extend(room(plan, step));
            stop::check(plan, step).into_iter().for_each(|it| found.push(it));
        }
    }
    found.sorted()
}

/// The format of an answer starts with `<think>`; where the prompt has that already, no answer can have it.
fn reachable(plan: &Plan, step: &Step) -> Diagnostics {
    let mut found = Diagnostics::default();
    let Some((source, prompt)) = known::origin(plan, step).and_then(|it| Some((it, known::rendered(it)?))) else {
        return found;
    };
    let opened = prompt.rfind("<think>").is_some_and(|at| !prompt[at..].contains("</think>"));
    if opened {
        let place = step.argument_spans.get("reward").copied().unwrap_or(step.span);
        let template = ["template", "dir", "file"].iter().find_map(|it| source.argument_spans.get(it).copied());
        let complaint = Diagnostic::error(
            place,
            "the prompt already opens `<think>`, so no answer can have the form that `format` asks for",
        )
        .label(template.unwrap_or(source.span), "the chat template comes from here")
        .hint("leave `<think>` out of the template's last lines, or `format` out of the reward");
        found.push(complaint);
    }
    found
}

/// Every answer must be one that the verifier would confirm if a model gave it.
fn answers(step: &Step) -> Diagnostics {
    let mut found = Diagnostics::default();
    let Some(rows) = problems(step) else { return found };
    let hopeless = |row: &&(usize, Problem)| !is_correct(&format!("<answer>{}</answer>", row.1.answer), &row.1.answer);
    let wrong: Vec<&(usize, Problem)> = rows.iter().filter(hopeless).collect();
    if wrong.is_empty() {
        return found;
    }
    let place = step.argument_spans.get("file").copied().unwrap_or(step.span);
    let message = format!("{} of {} answers cannot be confirmed by the verifier", wrong.len(), rows.len());
    let mut complaint = Diagnostic::error(place, message);
    for (line, row) in wrong.iter().take(3) {
        let start: String = row.answer.chars().take(40).collect();
        let rest = if start.len() < row.answer.len() { ".." } else { "" };
        complaint = complaint.note(format!("line {line}: {start:?}{rest}"));
    }
    found.push(complaint.hint("give the bare answer, such as `72` or `\\frac{1}{2}`, in the column `answer`"));
    found
}

/// A prompt must fit into what the model reads, and leave room for an answer.
fn room(plan: &Plan, step: &Step) -> Diagnostics {
    let mut found = Diagnostics::default();
    let tokenizer = known::origin(plan, step).and_then(|it| known::tokenizer(it)?.ok());
    let (Some(tokenizer), Some(context)) = (tokenizer, known::context(plan, step)) else { return found };
    let longest = step.arguments.get("max_length").map_or(0.0, |it| most(it)) as usize;
    let (mut rows, mut hopeless, mut crowded, mut widest) = (0_usize, 0_usize, 0_usize, 0_usize);
    for source in data_sources(plan, step) {
        for (_, row) in problems(source).unwrap_or_default() {
            let Ok(prompt) = tokenizer.prompt_ids(&row.question) else { continue };
            rows += 1;
            hopeless += usize::from(prompt.len() >= context);
            crowded += usize::from(prompt.len() + longest > context);
            widest = widest.max(prompt.len());
        }
    }
    let place = step.argument_spans.get("data").copied().unwrap_or(step.span);
    if hopeless > 0 {
        let message = format!("{hopeless} of {rows} prompts are longer than the {context} tokens that the model reads");
        let complaint = Diagnostic::error(place, message).note(format!("the longest has {widest} tokens"));
        found.push(complaint.hint("shorten or drop these problems, or give the model a larger `max_length`"));
    } else if rows > 0 && crowded == rows {
        let message =
            format!("no prompt leaves room for an answer of {longest} tokens in the {context} that the model reads");
        let complaint = Diagnostic::error(place, message).note(format!("the longest prompt has {widest} tokens"));
        found.push(complaint.hint("lower `max_length` here, or give the model a larger one"));
    }
    found
}

fn uses_format(step: &Step) -> bool {
    fn names(value: &Json) -> bool {
        match value {
            Json::Object(members) => {
                members.get("name").is_some_and(|it| it == "format") || members.values().any(names)
            }
            Json::Array(elements) => elements.iter().any(names),
            _ => false,
        }
    }
    step.arguments.get("reward").is_some_and(|it| names(it))
}

/// Of each step whether something that it makes, however indirectly, is held against answers.
fn verified(plan: &Plan) -> Vec<bool> {
    let mut verified = vec![false; plan.steps.len()];
    // What a step needs stands before it.
    for step in plan.steps.iter().rev() {
        if VERIFYING.contains(&step.stage.as_str()) || verified.get(step.id.0) == Some(&true) {
            for input in step.inputs.values().flatten() {
                verified.get_mut(input.0).into_iter().for_each(|it| *it = true);
            }
        }
    }
    verified
}

/// The largest amount in an argument, phases and all.
fn most(argument: &Json) -> f64 {
    match argument {
        Json::Object(members) => match members.get("value").and_then(Json::as_f64) {
            Some(value) => value,
            None => members.values().map(most).fold(0.0, f64::max),
        },
        _ => 0.0,
    }
}

/// The files that the rows of a step's data come from.
fn data_sources<'a>(plan: &'a Plan, step: &'a Step) -> Vec<&'a Step> {
    let mut open: Vec<StepId> = step.inputs.get("data").cloned().unwrap_or_default();
    let mut found = Vec::new();
    while let Some(step) = open.pop().and_then(|it| plan.step(it)) {
        if step.stage == "dataset" {
            found.push(step);
        } else if PASSING.contains(&step.stage.as_str()) {
            open.extend(step.inputs.values().flatten());
        }
    }
    found
}

/// The problems of a data set's file, each with its line; None where it holds others or cannot be read.
fn problems(step: &Step) -> Option<Vec<(usize, Problem)>> {
    if **step.arguments.get("kind")? != *"problem" {
        return None;
    }
    let file = step.files.get("file")?;
    let path: PathBuf = if file.is_dir() { file.join("rows.jsonl") } else { file.clone() };
    let column = |name: &str| step.arguments.get(name).and_then(|it| it.as_str()).map(str::to_owned);
    let columns = Columns {
        question: column("question"),
        answer: column("answer"),
        solution: column("solution"),
        text: column("text"),
        ..Columns::default()
    };
    read(&path, &columns)
}

fn read(path: &Path, columns: &Columns) -> Option<Vec<(usize, Problem)>> {
    let mut rows = Vec::new();
    for line in jsonl::rows(path).ok()? {
        let line = line.ok()?;
        rows.push((line.number, import::problem(path, &line, columns).ok()?));
    }
    Some(rows)
}

/// A file of a plan that does not hold what its pin says.
#[must_use]
pub fn changed(span: Span, path: &Path, wanted: &str, found: &str) -> Diagnostic {
    Diagnostic::error(span, format!("`{}` does not hold what is pinned", path.display()))
        .note(format!("its digest is blake3:{found}, pinned is blake3:{wanted}"))
        .hint("bring the file back, or take in its new content with `regimen pin`")
}
