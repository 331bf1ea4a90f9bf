//! What may be written at a place: arguments of the call around it, names, stages, members of a collection, words.

use lsp_types::{CompletionItem, CompletionItemKind};

use crate::{
    editor::{analysis::Analysis, hover},
    lang::{REPORT_FIELDS, Type, names::Stages, signature::Signature},
    syntax::{
        ITEM_WORDS,
        ast::{Item, StageBody},
        tokens::{Kind, Token, tokens},
    },
};

/// Everything that may stand at a byte of the text.
#[must_use]
pub fn at(analysis: &Analysis, offset: usize) -> Vec<CompletionItem> {
    let text = analysis.text();
    let before: Vec<Token<'_>> = tokens(text).into_iter().filter(|it| it.start() < offset).collect();
    if before.last().is_some_and(|it| matches!(it.kind, Kind::Comment) && offset <= it.end()) {
        return Vec::new();
    }
    let stages = analysis.stages();
    // The word that is being written says nothing yet.
    let written = before.last().filter(|it| it.kind == Kind::Word && it.end() >= offset).is_some();
    let done = before.get(..before.len() - usize::from(written)).unwrap_or_default();
    if done.last().is_some_and(|it| it.is_symbol(".")) {
        return after_dot(&stages, analysis, done);
    }
    let open = open(done);
    match open.map(|at| (at, done.get(at).map_or("", |it| it.text))) {
        Some((at, "(")) => in_call(analysis, &stages, done, at),
        Some((at, "[")) if is_index(done, at) => members(analysis, done, at),
        Some(_) => values(analysis, &stages),
        None if is_item_start(done) => words(),
        None => values(analysis, &stages),
    }
}

/// The innermost bracket that is open at the end of the tokens; an item that starts a line closes what was left open.
fn open(done: &[Token<'_>]) -> Option<usize> {
    let mut open: Vec<usize> = Vec::new();
    for (at, token) in done.iter().enumerate() {
        match token.kind {
            Kind::Open => open.push(at),
            Kind::Close => {
                open.pop();
            }
            Kind::Newline if done.get(at + 1).is_some_and(|it| it.is_item_word() && it.start() == token.end()) => {
                open.clear()
            }
            _ => {}
        }
    }
    open.pop()
}

fn is_index(done: &[Token<'_>], at: usize) -> bool {
    let Some((before, open)) = at.checked_sub(1).and_then(|it| done.get(it)).zip(done.get(at)) else { return false };
    before.kind == Kind::Word && !before.is_reserved() && before.end() == open.start()
}

fn is_item_start(done: &[Token<'_>]) -> bool {
    done.iter().rev().find(|it| it.kind != Kind::Comment).is_none_or(|it| it.kind == Kind::Newline)
}

/// Figures of a report, or the rest of a stage's name.
fn after_dot(stages: &Stages<'_>, analysis: &Analysis, done: &[Token<'_>]) -> Vec<CompletionItem> {
    let before = done.len().checked_sub(2).and_then(|it| done.get(it)).map_or("", |it| it.text);
    let prefix = format!("{before}.");
    let longer = stages.known(analysis.source).filter_map(|it| Some((it.path.strip_prefix(&prefix)?, it)));
    let found: Vec<CompletionItem> =
        longer.map(|(rest, it)| item(rest, CompletionItemKind::FUNCTION, &it.returns.to_string(), it.docs)).collect();
    if !found.is_empty() {
        return found;
    }
    REPORT_FIELDS.iter().map(|it| item(it, CompletionItemKind::FIELD, "a figure of a report", "")).collect()
}

/// The keys of the collection that is indexed.
fn members(analysis: &Analysis, done: &[Token<'_>], at: usize) -> Vec<CompletionItem> {
    let name = at.checked_sub(1).and_then(|it| done.get(it)).map_or("", |it| it.text);
    let members = analysis.program.collections.get(name).map(Vec::as_slice).unwrap_or_default();
    members.iter().map(|(key, _)| item(key, CompletionItemKind::ENUM_MEMBER, name, "")).collect()
}

/// The arguments that are not given yet, or the values of the one that is being given.
fn in_call(analysis: &Analysis, stages: &Stages<'_>, done: &[Token<'_>], at: usize) -> Vec<CompletionItem> {
    let Some(signature) = stages.get(analysis.source, &path_before(done, at)) else { return values(analysis, stages) };
    let inside = done.get(at + 1..).unwrap_or_default();
    let named = |it: &[Token<'_>]| match it {
        [name, sign] if name.kind == Kind::Word && sign.is_symbol("=") => Some(name.text.to_owned()),
        _ => None,
    };
    if let Some(name) = inside.len().checked_sub(2).and_then(|it| inside.get(it..)).and_then(named) {
        let choices = choices(signature, &name);
        return if choices.is_empty() { values(analysis, stages) } else { choices };
    }
    let given: Vec<String> = inside.windows(2).filter_map(named).collect();
    let open = signature.parameters.iter().filter(|it| !given.iter().any(|name| name == it.name));
    let mut found: Vec<CompletionItem> = open
        .map(|it| {
            let label = format!("{} = ", it.name);
            item(&label, CompletionItemKind::PROPERTY, &hover::parameter(analysis, it), it.docs)
        })
        .collect();
    found.extend(values(analysis, stages));
    found
}

/// The texts that a parameter chooses between, or the two truths.
fn choices(signature: &Signature<'_>, name: &str) -> Vec<CompletionItem> {
    let Some(parameter) = signature.parameters.iter().find(|it| it.name == name) else { return Vec::new() };
    let words: Vec<String> = match parameter.ty.present() {
        Type::Choice(words) => words.iter().map(|word| format!("{word:?}")).collect(),
        Type::Bool => vec!["true".to_owned(), "false".to_owned()],
        _ => Vec::new(),
    };
    words.iter().map(|it| item(it, CompletionItemKind::ENUM_MEMBER, name, parameter.docs)).collect()
}

/// The dotted name before a bracket.
fn path_before(done: &[Token<'_>], at: usize) -> String {
    let mut start = at;
    while let Some(token) = start.checked_sub(1).and_then(|it| done.get(it)) {
        let belongs = token.kind == Kind::Word || token.is_symbol(".");
        if !belongs || done.get(start).is_some_and(|next| next.start() != token.end()) {
            break;
        }
        start -= 1;
    }
    done.get(start..at).unwrap_or_default().iter().map(|it| it.text).collect()
}

/// The names of the recipe and every stage.
fn values(analysis: &Analysis, stages: &Stages<'_>) -> Vec<CompletionItem> {
    let mut found = Vec::new();
    names(&analysis.file.items, &mut found);
    for stage in stages.known(analysis.source) {
        let detail = stage.returns.to_string();
        found.push(item(&stage.path, CompletionItemKind::FUNCTION, &detail, stage.docs));
    }
    found
}

fn names(items: &[Item], found: &mut Vec<CompletionItem>) {
    for it in items {
        match it {
            Item::Param(it) => found.push(item(&it.name.text, CompletionItemKind::CONSTANT, "param", &it.docs)),
            Item::Input(it) => found.push(item(&it.name.text, CompletionItemKind::VARIABLE, "input", &it.docs)),
            Item::Binding(it) => found.push(item(&it.name.text, CompletionItemKind::VARIABLE, "step", &it.docs)),
            Item::Stage(stage) => {
                if let StageBody::Items(items) = &stage.body {
                    names(items, found);
                }
            }
            Item::Test(test) => names(&test.items, found),
            Item::Use(_) | Item::Require(_) | Item::Output(_) => {}
        }
    }
}

/// The words that start an item.
fn words() -> Vec<CompletionItem> {
    ITEM_WORDS.iter().map(|it| item(it, CompletionItemKind::KEYWORD, "", "")).collect()
}

fn item(label: &str, kind: CompletionItemKind, detail: &str, docs: &str) -> CompletionItem {
    CompletionItem {
        label: label.to_owned(),
        kind: Some(kind),
        detail: Some(detail.to_owned()).filter(|it| !it.is_empty()),
        documentation: Some(docs.to_owned()).filter(|it| !it.is_empty()).map(lsp_types::Documentation::String),
        ..CompletionItem::default()
    }
}
