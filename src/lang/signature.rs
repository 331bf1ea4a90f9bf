//! What a stage takes and gives: its line in the library, read once.

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        named::Name as Shared,
        span::{SourceId, Span},
        suggest::did_you_mean,
    },
    lang::types::Type,
    syntax::ast::{Expr, File, Item, Name, StageBody, StageItem},
};

/// A stage as a caller sees it.
#[derive(Clone, Debug)]
pub struct Signature<'a> {
    /// `sft`, or `merge.linear`.
    pub path: String,
    pub docs: &'a str,
    pub parameters: Vec<Parameter<'a>>,
    pub returns: Type,
    /// The items that a composite stage expands into; None for a built-in one.
    pub body: Option<&'a [Item]>,
    /// Whether it is a recipe, whose params and inputs are its parameters.
    pub is_recipe: bool,
    /// Where the stage's name stands.
    pub span: Span,
}

/// One parameter of a stage.
#[derive(Clone, Debug)]
pub struct Parameter<'a> {
    pub name: &'a str,
    /// The name as every step of the stage shares it.
    pub key: Shared,
    pub docs: &'a str,
    pub ty: Type,
    pub default: Option<&'a Expr>,
    pub range: Option<&'a (Expr, Expr)>,
    /// Whether what comes in is trained on, so that evaluation data may not.
    pub trains: bool,
    /// Whether evaluation data may come in that does not show in what the stage makes.
    pub examines: bool,
    /// Whether it is filled by position: artifacts and files are, and all that a term of a reward takes.
    pub positional: bool,
    pub span: Span,
}

impl<'a> Signature<'a> {
    /// Reads a definition; a parameter whose type is not understood takes anything.
    #[must_use]
    pub fn read(item: &'a StageItem) -> (Self, Diagnostics) {
        let mut diagnostics = Diagnostics::default();
        let mut read = |ty| {
            Type::read(ty).unwrap_or_else(|complaint| {
                diagnostics.push(complaint);
                Type::Unknown
            })
        };
        let returns = read(&item.returns);
        let types: Vec<Type> = item.params.iter().map(|it| read(&it.ty)).collect();
        let mut parameters: Vec<Parameter<'a>> = Vec::new();
        for (param, ty) in item.params.iter().zip(types) {
            if let Some(first) = parameters.iter().find(|it| it.name == param.name.text) {
                diagnostics.push(duplicate(&param.name, first.span));
                continue;
            }
            parameters.push(Parameter {
                positional: is_value(&returns) || ty.is_artifact() || ty.is_path(),
                name: &param.name.text,
                key: param.name.text.as_str().into(),
                docs: &param.docs,
                ty,
                default: param.default.as_ref(),
                range: param.range.as_ref(),
                trains: param.label.as_ref().is_some_and(|label| label.text == "train"),
                examines: param.label.as_ref().is_some_and(|label| label.text == "eval"),
                span: param.name.span,
            });
            diagnostics.extend(label(param.label.as_ref(), &["train", "eval"]));
        }
        let body = match &item.body {
            StageBody::Builtin => None,
            StageBody::Items(items) => Some(items.as_slice()),
        };
        let path = item.path.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(".");
        let span = item.path.iter().map(|it| it.span).reduce(Span::to).unwrap_or(item.span);
        (Self { path, docs: &item.docs, parameters, returns, body, is_recipe: false, span }, diagnostics)
    }

    /// A recipe as a stage. What it gives, its outputs, only its evaluation tells.
    #[must_use]
    pub fn of_recipe(path: String, source: SourceId, file: &'a File) -> Self {
        let mut parameters = Vec::new();
        for item in &file.items {
            // Mistakes in the items are found where they are evaluated.
            let read = |ty| Type::read(ty).unwrap_or(Type::Unknown);
            let (name, docs, ty, default, range) = match item {
                Item::Param(it) => (&it.name, &it.docs, read(&it.ty), it.default.as_ref(), it.range.as_ref()),
                Item::Input(it) => (&it.name, &it.docs, read(&it.ty), it.default.as_ref(), None),
                _ => continue,
            };
            parameters.push(Parameter {
                positional: ty.is_artifact() || ty.is_path(),
                name: &name.text,
                key: name.text.as_str().into(),
                docs,
                ty,
                default,
                range,
                trains: false,
                examines: false,
                span: name.span,
            });
        }
        Self {
            path,
            docs: &file.docs,
            parameters,
            returns: Type::Unknown,
            body: Some(&file.items),
            is_recipe: true,
            span: Span::new(source, 0, 0),
        }
    }

    /// What stands for a recipe that could not be read: it takes and gives anything.
    #[must_use]
    pub fn missing(path: String, span: Span) -> Self {
        let (parameters, returns) = (Vec::new(), Type::Unknown);
        Self { path, docs: "", parameters, returns, body: None, is_recipe: true, span }
    }

    /// Whether a call is a value, such as a term of a reward or a field of a row, and not a step.
    #[must_use]
    pub fn is_value(&self) -> bool {
        is_value(&self.returns)
    }

    /// Whether a call may give a parameter by its position alone.
    ///
    /// An input that may be left out goes by name where it stands behind arguments: it is one of the many options.
    #[must_use]
    pub fn goes_by_position(&self, parameter: &Parameter<'_>) -> bool {
        let optional = matches!(parameter.ty, Type::Optional(_)) && !self.is_recipe;
        let mut before = self.parameters.iter().take_while(|it| it.name != parameter.name);
        parameter.positional && (!optional || before.all(|it| it.positional))
    }

    /// The position of a parameter.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|it| it.name == name)
    }
}

impl Parameter<'_> {
    /// Whether a call must give it.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !matches!(self.ty, Type::Optional(_))
    }
}

fn is_value(returns: &Type) -> bool {
    matches!(returns, Type::Reward | Type::Predicate | Type::Amount(_))
}

/// The complaint about a name that is taken.
pub(super) fn duplicate(name: &Name, first: Span) -> Diagnostic {
    Diagnostic::error(name.span, format!("`{}` is defined twice", name.text))
        .label(first, "first defined here")
        .hint("give one of the two another name")
}

/// The complaint about a label that has no meaning where it stands.
pub(super) fn label(label: Option<&Name>, known: &[&str]) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    if let Some(label) = label.filter(|it| !known.contains(&it.text.as_str())) {
        let all = || match known {
            [only] => format!("the only label here is `{only}`"),
            _ => format!(
                "the labels here are {}",
                known.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(" and ")
            ),
        };
        let hint = did_you_mean(&label.text, known.iter().copied()).unwrap_or_else(all);
        diagnostics.push(Diagnostic::error(label.span, format!("unknown label `{}`", label.text)).hint(hint));
    }
    diagnostics
}
