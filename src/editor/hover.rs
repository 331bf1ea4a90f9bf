//! What an editor shows of the name under the pointer: its type, its value where that is known, its docs.

use crate::{
    base::span::Span,
    editor::analysis::Analysis,
    lang::signature::{Parameter, Signature},
    syntax::ast::{Item, StageItem, Test},
};

/// The text for what is defined at a place, in Markdown.
#[must_use]
pub fn text(analysis: &Analysis, definition: Span) -> Option<String> {
    let stages = analysis.stages();
    for signature in stages.iter() {
        if signature.span == definition {
            return Some(block(&stage(analysis, signature), signature.docs));
        }
        if let Some(parameter) = signature.parameters.iter().find(|it| it.span == definition) {
            return Some(block(&self::parameter(analysis, parameter), parameter.docs));
        }
    }
    item(analysis, &analysis.file.items, definition)
}

fn item(analysis: &Analysis, items: &[Item], definition: Span) -> Option<String> {
    let slice = |span| analysis.sources.slice(span);
    for item in items {
        match item {
            Item::Param(it) if it.name.span == definition => {
                let value = analysis.program.params.iter().find(|param| param.name == it.name.text);
                let value = value.map_or_else(String::new, |it| format!("\n\nIts value is `{}`.", it.value));
                return Some(block(slice(it.span), &format!("{}{value}", it.docs)));
            }
            Item::Input(it) if it.name.span == definition => return Some(block(slice(it.span), &it.docs)),
            Item::Binding(it) if it.name.span == definition => {
                let name = &it.name.text;
                return Some(block(&format!("{name}: {}", made(analysis, name)), &it.docs));
            }
            Item::Test(Test { items, .. })
            | Item::Stage(StageItem { body: crate::syntax::ast::StageBody::Items(items), .. }) => {
                if let Some(text) = self::item(analysis, items, definition) {
                    return Some(text);
                }
            }
            _ => {}
        }
    }
    // A variable of `for` or `repeat`.
    Some(block(slice(definition), ""))
}

/// The type of what a binding makes, and by which stage.
fn made(analysis: &Analysis, name: &str) -> String {
    let program = &analysis.program;
    if let Some(call) = program.calls.iter().find(|it| it.address == name) {
        return format!("{} = {}(..)", call.returns, call.stage);
    }
    if let Some(members) = program.collections.get(name) {
        let keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
        let first = members.first().and_then(|(_, step)| program.calls.get(step.0));
        return format!(
            "{} for each of {}",
            first.map_or_else(String::new, |it| it.returns.to_string()),
            keys.join(", ")
        );
    }
    let inner = format!("{name}.");
    let steps = program.calls.iter().filter(|it| it.address.starts_with(&inner)).count();
    if steps > 0 { format!("{steps} steps") } else { "a value".to_owned() }
}

/// A stage's line: its parameters, each on its own where they are many.
pub fn stage(analysis: &Analysis, signature: &Signature<'_>) -> String {
    let parameters: Vec<String> = signature.parameters.iter().map(|it| parameter(analysis, it)).collect();
    let parameters = match parameters.len() {
        0 => String::new(),
        1..=2 => parameters.join(", "),
        _ => format!("\n    {},\n", parameters.join(",\n    ")),
    };
    if signature.is_recipe {
        return format!("recipe {}({parameters})", signature.path);
    }
    format!("stage {}({parameters}) -> {}", signature.path, signature.returns)
}

/// `lr: Schedule<float> = 1e-4 in 0..1`
pub fn parameter(analysis: &Analysis, parameter: &Parameter<'_>) -> String {
    let slice = |span| analysis.sources.slice(span);
    let mut text = format!("{}: {}", parameter.name, parameter.ty);
    if let Some(default) = parameter.default {
        text += &format!(" = {}", slice(default.span));
    }
    if let Some((low, high)) = parameter.range {
        text += &format!(" in {}..{}", slice(low.span), slice(high.span));
    }
    text
}

fn block(code: &str, docs: &str) -> String {
    format!("```rgm\n{code}\n```\n\n{docs}").trim_end().to_owned()
}
