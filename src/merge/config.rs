//! mergekit's YAML: which models, slices and parameters a merge is made of.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path as FilePath, PathBuf},
};

use serde::Deserialize;
use serde_yaml::Value;

use super::{
    MergeError,
    methods::{self, Base, Method},
    parameters::{Mistake, Parameters},
    place::Path,
    vocabulary::TokenizerChoice,
};
use crate::base::{precision::Precision, suggest::did_you_mean};

/// What a merge is to do. Models go by the names that the file gives them.
pub struct Configuration {
    pub source: Source,
    pub method: &'static Method,
    /// From the first layers to the last; one that takes all layers where the file lists `models`.
    pub slices: Vec<Slice>,
    pub base: Option<String>,
    pub parameters: Parameters,
    pub dtype: Option<Precision>,
    pub out_dtype: Option<Precision>,
    pub tokenizer: Option<TokenizerChoice>,
    pub chat_template: Option<String>,
    /// What a person should know, such as parameters that the method does not take.
    pub warnings: Vec<String>,
}

/// The text that a configuration came from, for the places of mistakes.
#[derive(Clone, Default)]
pub struct Source {
    /// None where no file stands behind it.
    pub path: Option<PathBuf>,
    pub text: String,
}

/// A run of layers of the result.
pub struct Slice {
    pub members: Vec<Member>,
    pub parameters: Parameters,
    pub at: Path,
}

/// A model in a slice.
pub struct Member {
    pub model: String,
    /// Its layers, from the first to before the last; all of them where None.
    pub layers: Option<(usize, usize)>,
    pub parameters: Parameters,
    pub at: Path,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    merge_method: String,
    slices: Option<Vec<RawSlice>>,
    models: Option<Vec<RawModel>>,
    modules: Option<Value>,
    parameters: Option<BTreeMap<String, Value>>,
    base_model: Option<Value>,
    dtype: Option<String>,
    out_dtype: Option<String>,
    tokenizer_source: Option<Value>,
    tokenizer: Option<Value>,
    chat_template: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSlice {
    sources: Vec<RawSource>,
    base_model: Option<Value>,
    parameters: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    model: Value,
    layer_range: Vec<usize>,
    parameters: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    model: Value,
    parameters: Option<BTreeMap<String, Value>>,
}

impl Source {
    /// The error for a mistake, at its place.
    #[must_use]
    pub fn error(&self, mistake: Mistake) -> MergeError {
        let Some(path) = &self.path else {
            return MergeError::Request { message: mistake.message, hint: mistake.hint };
        };
        let (line, column) = mistake.at.find(&self.text);
        MergeError::Configuration { path: path.clone(), line, column, message: mistake.message, hint: mistake.hint }
    }

    /// Reads YAML into a shape, with the place of what does not fit it.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, MergeError> {
        serde_yaml::from_str(&self.text).map_err(|error| {
            let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
            let message = error.to_string();
            let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
            let path = self.path.clone().unwrap_or_default();
            MergeError::Configuration { path, line, column, message: reword(message), hint: None }
        })
    }
}

/// The parser's complaint about a value of the wrong kind, in the words of all others.
fn reword(message: &str) -> String {
    let parts = ["invalid type: ", "invalid value: "].into_iter().find_map(|word| {
        let (place, rest) = message.split_once(word)?;
        let (found, expected) = rest.split_once(", expected ")?;
        Some(format!("{place}expected {expected}, found {found}"))
    });
    parts.unwrap_or_else(|| message.to_owned())
}

impl Configuration {
    /// Reads a file.
    pub fn read(path: &FilePath) -> Result<Self, MergeError> {
        let text = std::fs::read_to_string(path).map_err(MergeError::file(path))?;
        Self::parse(Source { path: Some(path.to_owned()), text })
    }

    pub fn parse(source: Source) -> Result<Self, MergeError> {
        let raw: RawFile = source.parse()?;
        Self::build(raw, source.clone()).map_err(|mistake| source.error(mistake))
    }

    fn build(raw: RawFile, source: Source) -> Result<Self, Mistake> {
        let root = Path::default();
        let method = method(&raw.merge_method, &root.field("merge_method"))?;
        if raw.modules.is_some() {
            let message = "`modules` are for models of several towers, which are not merged here";
            return Err(Mistake::new(root.field("modules"), message).hint("use `models` or `slices`"));
        }
        let mut unused = Vec::new();
        let mut parameters = |values: Option<BTreeMap<String, Value>>, at: &Path| {
            Parameters::read(&values.unwrap_or_default(), method, &at.field("parameters"), &mut unused)
        };
        let base = raw.base_model.map(|it| reference(&it, &root.field("base_model"))).transpose()?;
        let mut slices = Vec::new();
        match (raw.models, raw.slices) {
            (Some(models), None) => {
                let at = root.field("models");
                let mut members = Vec::new();
                for (index, model) in models.into_iter().enumerate() {
                    let at = at.item(index);
                    let parameters = parameters(model.parameters, &at)?;
                    members.push(Member {
                        model: reference(&model.model, &at.field("model"))?,
                        layers: None,
                        parameters,
                        at,
                    });
                }
                slices.push(Slice { members, parameters: Parameters::default(), at });
            }
            (None, Some(raw_slices)) => {
                for (index, slice) in raw_slices.into_iter().enumerate() {
                    let at = root.field("slices").item(index);
                    let mut members = Vec::new();
                    for (index, member) in slice.sources.into_iter().enumerate() {
                        let at = at.field("sources").item(index);
                        let parameters = parameters(member.parameters, &at)?;
                        let [from, to] = member.layer_range[..] else {
                            let found = member.layer_range.len();
                            let message =
                                format!("expected the first layer and the one after the last, found {found} numbers");
                            return Err(Mistake::new(at.field("layer_range"), message));
                        };
                        if from >= to {
                            let message =
                                format!("expected a range of layers that begins before it ends, found {from} to {to}");
                            return Err(Mistake::new(at.field("layer_range"), message));
                        }
                        let model = reference(&member.model, &at.field("model"))?;
                        members.push(Member { model, layers: Some((from, to)), parameters, at });
                    }
                    if let Some(other) = &slice.base_model
                        && Some(reference(other, &at.field("base_model"))?) != base
                    {
                        let message = "the base of a slice differs from that of the merge";
                        return Err(Mistake::new(at.field("base_model"), message).hint("give one `base_model` for all"));
                    }
                    slices.push(Slice { members, parameters: parameters(slice.parameters, &at)?, at });
                }
            }
            (Some(_), Some(_)) => {
                return Err(Mistake::new(root.field("slices"), "expected `models` or `slices`, found both"));
            }
            (None, None) => return Err(Mistake::new(root, "expected `models` or `slices`, found neither")),
        }
        let shared = parameters(raw.parameters, &root)?;
        let dtype = raw.dtype.map(|word| precision(&word, &root.field("dtype"))).transpose()?;
        let out_dtype = raw.out_dtype.map(|word| precision(&word, &root.field("out_dtype"))).transpose()?;
        let tokenizer = TokenizerChoice::read(raw.tokenizer_source.as_ref(), raw.tokenizer.as_ref(), &root)?;
        let unused: BTreeSet<String> = unused.into_iter().collect();
        let warnings = unused.iter().map(|name| format!("`{}` takes no `{name}`, so it changes nothing", method.name));
        let configuration = Self {
            source,
            method,
            slices,
            base,
            parameters: shared,
            dtype,
            out_dtype,
            tokenizer,
            chat_template: raw.chat_template,
            warnings: warnings.collect(),
        };
        configuration.check()?;
        Ok(configuration)
    }

    /// Looks for what is missing or too much.
    pub fn check(&self) -> Result<(), Mistake> {
        let method = self.method;
        let root = Path::default();
        if method.base == Base::Required && self.base.is_none() {
            let message = format!("`{}` needs a base model", method.name);
            return Err(Mistake::new(root.field("merge_method"), message).hint("name it as `base_model: ..`"));
        }
        if self.slices.is_empty() {
            return Err(Mistake::new(root.field("slices"), "expected at least one slice, found none"));
        }
        for slice in &self.slices {
            let others = slice.members.iter().filter(|member| !self.is_base(&member.model)).count();
            let (least, most) = method.models;
            if others < least || others > most {
                let beside = if method.base == Base::Ignored { "" } else { " beside the base" };
                let wanted = match (least, most) {
                    (1, 1) => "one model".to_owned(),
                    (least, most) if least == most => format!("{least} models"),
                    (1, _) => "at least one model".to_owned(),
                    (least, _) => format!("at least {least} models"),
                };
                let message = format!("`{}` takes {wanted}{beside}, found {others}", method.name);
                return Err(Mistake::new(slice.at.clone(), message));
            }
            for member in slice.members.iter().filter(|member| !self.is_base(&member.model)) {
                self.check_required(slice, member)?;
            }
        }
        Ok(())
    }

    /// Every parameter without a default must be said at some place.
    fn check_required(&self, slice: &Slice, member: &Member) -> Result<(), Mistake> {
        for parameter in self.method.parameters.iter().filter(|it| it.default.is_none()) {
            let places = [&member.parameters, &slice.parameters, &self.parameters];
            if !places.iter().any(|it| it.0.contains_key(parameter.name)) {
                let message = format!("`{}` needs `{}`, which is not given", self.method.name, parameter.name);
                let hint = format!("write `parameters: {{{}: ..}}` here, or below for all models", parameter.name);
                return Err(Mistake::new(member.at.clone(), message).hint(hint));
            }
        }
        Ok(())
    }

    /// Whether a model plays the base's part in the method.
    #[must_use]
    pub fn is_base(&self, model: &str) -> bool {
        self.method.base != Base::Ignored && self.base.as_deref() == Some(model)
    }

    /// The model whose configuration, names and tokenizer the result takes: the base, else the first.
    #[must_use]
    pub fn reference(&self) -> &str {
        let first = || self.slices.iter().flat_map(|it| &it.members).map(|it| it.model.as_str()).next();
        self.base.as_deref().or_else(first).unwrap_or_default()
    }

    /// Every model by name, in the order in which they come.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let members = self.slices.iter().flat_map(|it| &it.members).map(|it| it.model.as_str());
        let tokenizer = self.tokenizer.iter().flat_map(TokenizerChoice::models);
        for name in members.chain(self.base.as_deref()).chain(tokenizer) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn method(name: &str, at: &Path) -> Result<&'static Method, Mistake> {
    methods::find(name).ok_or_else(|| {
        let names = || methods::REGISTRY.iter().map(|it| it.name);
        let hint = did_you_mean(name, names())
            .unwrap_or_else(|| format!("the methods are {}", names().collect::<Vec<_>>().join(", ")));
        Mistake::new(at.clone(), format!("unknown method `{name}`")).hint(hint)
    })
}

pub fn precision(word: &str, at: &Path) -> Result<Precision, Mistake> {
    Precision::parse(word).ok_or_else(|| {
        let message = format!("expected float32, float16, bfloat16 or float64, found `{word}`");
        Mistake::new(at.clone(), message)
    })
}

/// A model's name: a text, or an object with a `path` as mergekit writes it out.
pub fn reference(value: &Value, at: &Path) -> Result<String, Mistake> {
    let path = |value: &Value| value.as_str().or_else(|| value.get("path")?.as_str()).map(str::to_owned);
    let name = path(value).or_else(|| value.get("model").and_then(path));
    let name = name.ok_or_else(|| Mistake::new(at.clone(), "expected a model's folder"))?;
    let has_adapter = value.get("lora").is_some_and(|it| !it.is_null()) || name.contains('+');
    if has_adapter && !FilePath::new(&name).is_dir() {
        let message = "adapters are not merged here";
        return Err(Mistake::new(at.clone(), message).hint("put the adapter into the model first, and name the result"));
    }
    Ok(name)
}
