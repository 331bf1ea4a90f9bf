//! The types of the language, and which value may stand where.

use std::fmt;

use crate::{
    base::{diagnostic::Diagnostic, suggest::did_you_mean, units::Unit},
    lang::{
        foreign,
        kinds::{Kind, Kinds, unknown_kind},
    },
    syntax::ast::{self, TypeKind},
};

/// The type of a parameter, an input, or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Nobody knows, because of a mistake that has been complained of; it fits everywhere.
    Unknown,
    /// Whatever a step makes. Only `command` in the library gives it; a recipe says at each use what it is there.
    Artifact,
    Bool,
    Int,
    Float,
    Text,
    /// One of these texts.
    Choice(Vec<String>),
    Path,
    /// An amount of any of these units.
    Amount(Vec<Unit>),
    Model,
    RewardModel,
    Tokenizer,
    Report,
    /// Rows of any of these kinds.
    Dataset(Kinds),
    Reward,
    Predicate,
    Schedule(Box<Self>),
    List(Box<Self>),
    Optional(Box<Self>),
}

/// The names of types that take no argument, with those that do.
const NAMES: [&str; 21] = [
    "bool",
    "int",
    "float",
    "str",
    "path",
    "Model",
    "RewardModel",
    "Tokenizer",
    "Report",
    "Dataset",
    "Reward",
    "Predicate",
    "Schedule",
    "list",
    "tokens",
    "samples",
    "rows",
    "steps",
    "epochs",
    "bytes",
    "seconds",
];

impl Type {
    /// The type that a text writes down.
    pub fn read(written: &ast::Type) -> Result<Self, Diagnostic> {
        match &written.kind {
            TypeKind::Optional(inner) => Ok(Self::Optional(Box::new(Self::read(inner)?))),
            TypeKind::Text(word) => Ok(Self::Choice(vec![word.clone()])),
            TypeKind::Union(parts) if parts.iter().any(|it| matches!(it.kind, TypeKind::Text(_))) => {
                Self::choice(parts)
            }
            TypeKind::Union(parts) => {
                let mut units = Vec::new();
                for part in parts {
                    let Self::Amount(more) = Self::read(part)? else {
                        return Err(Diagnostic::error(part.span, "expected a unit, such as `steps`")
                            .hint("only amounts may be of several types: `steps | epochs`"));
                    };
                    units.extend(more);
                }
                Ok(Self::Amount(units))
            }
            TypeKind::Named { name, arguments } => Self::named(written, name, arguments),
        }
    }

    fn named(written: &ast::Type, name: &ast::Name, arguments: &[ast::Type]) -> Result<Self, Diagnostic> {
        let plain = match name.text.as_str() {
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "str" => Self::Text,
            "path" => Self::Path,
            "Model" => Self::Model,
            "RewardModel" => Self::RewardModel,
            "Tokenizer" => Self::Tokenizer,
            "Report" => Self::Report,
            "Reward" => Self::Reward,
            "Predicate" => Self::Predicate,
            "Artifact" => Self::Artifact,
            "Dataset" => return Self::dataset(written, arguments),
            "Schedule" | "list" => {
                let [inner] = arguments else {
                    let hint = format!("write `{}<float>`", name.text);
                    return Err(Diagnostic::error(written.span, format!("`{}` takes one type", name.text)).hint(hint));
                };
                let inner = Box::new(Self::read(inner)?);
                return Ok(if name.text == "list" { Self::List(inner) } else { Self::Schedule(inner) });
            }
            word => match Unit::ALL.into_iter().find(|unit| unit.name() == word) {
                Some(unit) => Self::Amount(vec![unit]),
                None => {
                    return Err(Diagnostic::error(name.span, format!("unknown type `{word}`")).hint(
                        foreign::ty(word)
                            .map(|it| format!("here it is called `{it}`"))
                            .or_else(|| did_you_mean(word, NAMES))
                            .unwrap_or_else(|| format!("the types are {}", NAMES.join(", "))),
                    ));
                }
            },
        };
        match arguments.first() {
            Some(argument) => Err(Diagnostic::error(argument.span, format!("`{}` takes no type", name.text))),
            None => Ok(plain),
        }
    }

    /// `"token" | "sequence"`
    fn choice(parts: &[ast::Type]) -> Result<Self, Diagnostic> {
        let mut words: Vec<String> = Vec::new();
        for part in parts {
            let TypeKind::Text(word) = &part.kind else {
                let complaint = Diagnostic::error(part.span, "expected a text, such as `\"token\"`");
                return Err(complaint.hint("a choice is between texts: `\"token\" | \"sequence\"`"));
            };
            if words.contains(word) {
                let complaint = Diagnostic::error(part.span, format!("`\"{word}\"` is named twice"));
                return Err(complaint.hint("name each choice once"));
            }
            words.push(word.clone());
        }
        Ok(Self::Choice(words))
    }

    fn dataset(written: &ast::Type, arguments: &[ast::Type]) -> Result<Self, Diagnostic> {
        let parts: Vec<&ast::Type> = match arguments {
            [] => return Ok(Self::Dataset(Kinds::ALL)),
            [ast::Type { kind: TypeKind::Union(parts), .. }] => parts.iter().collect(),
            [one] => vec![one],
            _ => return Err(Diagnostic::error(written.span, "`Dataset` takes one kind of rows, or several with `|`")),
        };
        let kind = |part: &ast::Type| match &part.kind {
            TypeKind::Named { name, arguments } if arguments.is_empty() => {
                Kind::parse(&name.text).ok_or_else(|| unknown_kind(&name.text, name.span))
            }
            _ => Err(Diagnostic::error(part.span, "expected a kind of rows, such as `problem`")),
        };
        let kinds = parts.into_iter().map(|part| kind(part).map(Kinds::from));
        Ok(Self::Dataset(kinds.collect::<Result<_, _>>()?))
    }

    /// Whether a step makes such a thing, so that it is handed over by position and by content.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        match self {
            Self::Artifact | Self::Model | Self::RewardModel | Self::Tokenizer | Self::Report | Self::Dataset(_) => {
                true
            }
            Self::List(inner) | Self::Optional(inner) => inner.is_artifact(),
            _ => false,
        }
    }

    /// Whether an argument of this type is the name of a file.
    #[must_use]
    pub fn is_path(&self) -> bool {
        match self {
            Self::Path => true,
            Self::Optional(inner) => inner.is_path(),
            _ => false,
        }
    }

    /// Whether a bare word on the command line is the value itself.
    #[must_use]
    pub fn takes_bare_words(&self) -> bool {
        match self {
            Self::Text | Self::Choice(_) | Self::Path => true,
            Self::Optional(inner) => inner.takes_bare_words(),
            other => other.is_artifact() && !matches!(other, Self::List(_)),
        }
    }

    /// The type of a value that is there, where it need not be.
    #[must_use]
    pub fn present(&self) -> &Self {
        if let Self::Optional(inner) = self { inner } else { self }
    }

    /// Whether a value of type `value` may stand where this type is asked for, nothing converted.
    #[must_use]
    pub fn accepts(&self, value: &Self) -> bool {
        match (self, value) {
            (Self::Unknown, _) | (_, Self::Unknown) => true,
            // Rows of a kind that only a run will tell are let through; the stage looks at them.
            (Self::Dataset(wanted), Self::Dataset(found)) => *found == Kinds::ALL || found.are_among(*wanted),
            (Self::Amount(wanted), Self::Amount(found)) => found.iter().all(|unit| wanted.contains(unit)),
            (Self::Optional(wanted), Self::Optional(found)) => wanted.accepts(found),
            (Self::Schedule(wanted), Self::Schedule(found)) | (Self::List(wanted), Self::List(found)) => {
                wanted.accepts(found)
            }
            (Self::Optional(wanted) | Self::Schedule(wanted), found) => wanted.accepts(found),
            (Self::Artifact, found) => found.is_artifact() && !matches!(found, Self::List(_)),
            (Self::Choice(wanted), Self::Choice(found)) => found.iter().all(|word| wanted.contains(word)),
            // Which text it is only a value tells, and that is looked at as well.
            (Self::Choice(_), Self::Text) | (Self::Text, Self::Choice(_)) => true,
            (Self::Float, Self::Int) | (Self::Path, Self::Text) | (Self::Text, Self::Path) => true,
            (wanted, found) => wanted == found,
        }
    }

    /// The type as an error names what it asks for: "steps or epochs".
    #[must_use]
    pub fn expectation(&self) -> String {
        match self {
            Self::Amount(units) => units.iter().map(|unit| unit.name()).collect::<Vec<_>>().join(" or "),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                match words.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, others)) => format!("{} or {last}", others.join(", ")),
                    None => "nothing".to_owned(),
                }
            }
            Self::Optional(inner) | Self::Schedule(inner) => inner.expectation(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "unknown"),
            Self::Artifact => write!(f, "Artifact"),
            Self::Bool => write!(f, "bool"),
            Self::Int => write!(f, "int"),
            Self::Float => write!(f, "float"),
            Self::Text => write!(f, "str"),
            Self::Choice(words) => {
                write!(f, "{}", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" | "))
            }
            Self::Path => write!(f, "path"),
            Self::Amount(units) => {
                write!(f, "{}", units.iter().map(|unit| unit.name()).collect::<Vec<_>>().join(" | "))
            }
            Self::Model => write!(f, "Model"),
            Self::RewardModel => write!(f, "RewardModel"),
            Self::Tokenizer => write!(f, "Tokenizer"),
            Self::Report => write!(f, "Report"),
            Self::Dataset(Kinds::ALL) => write!(f, "Dataset"),
            Self::Dataset(kinds) => {
                write!(f, "Dataset<{}>", kinds.iter().map(Kind::name).collect::<Vec<_>>().join(" | "))
            }
            Self::Reward => write!(f, "Reward"),
            Self::Predicate => write!(f, "Predicate"),
            Self::Schedule(inner) => write!(f, "Schedule<{inner}>"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Optional(inner) => write!(f, "{inner}?"),
        }
    }
}
