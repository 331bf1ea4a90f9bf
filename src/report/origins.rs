//! Where each value of a plan comes from: the recipe, the command line, a file of parameters, or a default.

use super::{
    format::{self, Align},
    value,
};
use crate::{
    base::span::{Sources, Span},
    plan::Plan,
};

/// One line for each param, and for each argument of each step that the recipe or the person gave; the rest are defaults.
#[must_use]
pub fn screen(plan: &Plan, sources: &Sources) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for param in &plan.params {
        rows.push(vec![param.name.clone(), value::text(Some(&param.value)), origin(param.span, sources)]);
    }
    for step in &plan.steps {
        for (argument, given) in &step.arguments {
            let from = step.argument_spans.get(argument).map_or_else(String::new, |span| origin(*span, sources));
            rows.push(vec![format!("{}.{argument}", step.address), value::text(Some(given)), from]);
        }
        for (argument, path) in &step.files {
            let from = step.argument_spans.get(argument).map_or_else(String::new, |span| origin(*span, sources));
            rows.push(vec![format!("{}.{argument}", step.address), path.display().to_string(), from]);
        }
    }
    format::columns(&rows, &[Align::Left, Align::Left, Align::Left])
}

fn origin(span: Span, sources: &Sources) -> String {
    let Some(place) = sources.place(span) else { return String::new() };
    if place.file.starts_with("std/") {
        return "default".to_owned();
    }
    if place.file.starts_with("--") {
        return place.file;
    }
    format!("{}:{}", place.file, place.line)
}
