//! Which tokens the result has, and from where the rows of its embeddings come.

use std::collections::BTreeMap;

use serde_yaml::Value;

use super::{MergeError, config::reference, parameters::Mistake, place::Path, tokens::Tokens};

/// What a configuration says of the tokenizer.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerChoice {
    pub source: Origin,
    /// Tokens whose embedding is named.
    pub tokens: BTreeMap<String, TokenChoice>,
    /// The embeddings get rows of noughts until they have a multiple of this.
    pub multiple: Option<usize>,
}

/// Whose tokens the result has.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    Base,
    Union,
    Model(String),
}

/// Where the embedding of one token comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenChoice {
    pub source: TokenSource,
    /// Whether models that have the token take it as well.
    pub force: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TokenSource {
    Zero,
    /// The same token of a model, or another one.
    Model {
        model: String,
        token: Option<Token>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Text(String),
    Id(usize),
}

impl TokenizerChoice {
    /// Reads `tokenizer_source` or `tokenizer`; None where neither is there.
    pub fn read(source: Option<&Value>, section: Option<&Value>, root: &Path) -> Result<Option<Self>, Mistake> {
        let plain = |source| Self { source, tokens: BTreeMap::new(), multiple: None };
        match (source, section) {
            (Some(_), Some(_)) => {
                let message = "expected `tokenizer` or `tokenizer_source`, found both";
                Err(Mistake::new(root.field("tokenizer_source"), message))
            }
            (None | Some(Value::Null), None | Some(Value::Null)) => Ok(None),
            (Some(source), None) => Ok(Some(plain(Origin::read(source, &root.field("tokenizer_source"))?))),
            (None, Some(section)) => {
                let at = root.field("tokenizer");
                let Value::Mapping(fields) = section else {
                    return Err(Mistake::new(at, "expected `source`, `tokens` and `pad_to_multiple_of`"));
                };
                let mut choice = plain(Origin::Union);
                for (name, value) in fields {
                    let name = name.as_str().unwrap_or_default();
                    let at = at.field(name);
                    match name {
                        "source" => choice.source = Origin::read(value, &at)?,
                        "pad_to_multiple_of" => choice.multiple = Some(multiple(value, &at)?),
                        "tokens" => choice.tokens = tokens(value, &at)?,
                        _ => {
                            let message = format!("unknown field `{name}`");
                            let hint = "the fields are source, tokens and pad_to_multiple_of";
                            return Err(Mistake::new(at, message).hint(hint));
                        }
                    }
                }
                Ok(Some(choice))
            }
        }
    }

    /// The models that it names.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let source = if let Origin::Model(model) = &self.source { Some(model.as_str()) } else { None };
        let tokens = self.tokens.values().filter_map(|choice| match &choice.source {
            TokenSource::Model { model, .. } => Some(model.as_str()),
            TokenSource::Zero => None,
        });
        source.into_iter().chain(tokens)
    }
}

impl Origin {
    fn read(value: &Value, at: &Path) -> Result<Self, Mistake> {
        match value.as_str() {
            Some("base") => Ok(Self::Base),
            Some("union") => Ok(Self::Union),
            _ => {
                // mergekit writes `model:` before a folder whose name is one of its words.
                let name = reference(value, at)?;
                Ok(Self::Model(name.strip_prefix("model:").map(str::to_owned).unwrap_or(name)))
            }
        }
    }
}

fn multiple(value: &Value, at: &Path) -> Result<usize, Mistake> {
    let number = value.as_u64().filter(|it| *it > 0).and_then(|it| usize::try_from(it).ok());
    number.ok_or_else(|| Mistake::new(at.clone(), "expected a whole number above 0"))
}

fn tokens(value: &Value, at: &Path) -> Result<BTreeMap<String, TokenChoice>, Mistake> {
    let Value::Mapping(entries) = value else {
        return Err(Mistake::new(at.clone(), "expected tokens with the `source` of each"));
    };
    let mut tokens = BTreeMap::new();
    for (token, choice) in entries {
        let token = token.as_str().unwrap_or_default();
        let at = at.field(token);
        let source = choice.get("source").ok_or_else(|| Mistake::new(at.clone(), "missing field `source`"))?;
        let force = choice.get("force").and_then(Value::as_bool).unwrap_or(false);
        tokens.insert(token.to_owned(), TokenChoice { source: TokenSource::read(source, &at.field("source"))?, force });
    }
    Ok(tokens)
}

impl TokenSource {
    fn read(value: &Value, at: &Path) -> Result<Self, Mistake> {
        match value.get("kind").and_then(Value::as_str) {
            None => Ok(Self::Model { model: reference(value, at)?, token: None }),
            Some("zero") => Ok(Self::Zero),
            Some("model_token") => {
                let model = value.get("model").ok_or_else(|| Mistake::new(at.clone(), "missing field `model`"))?;
                let id = value.get("token_id").and_then(Value::as_u64).and_then(|id| usize::try_from(id).ok());
                let text = value.get("token").and_then(Value::as_str).map(|text| Token::Text(text.to_owned()));
                Ok(Self::Model { model: reference(model, &at.field("model"))?, token: id.map(Token::Id).or(text) })
            }
            Some(other) => {
                let message = format!("expected a `kind` zero or model_token, found `{other}`");
                Err(Mistake::new(at.field("kind"), message))
            }
        }
    }
}

/// From where the rows of an embedding come.
pub struct Rows {
    /// How many rows the result has.
    pub count: usize,
    /// For each model and each row: the model's own row, where it has one.
    maps: Vec<Vec<Option<usize>>>,
    /// Rows whose source is named, with whether it holds for models that have the token too.
    named: BTreeMap<usize, (Named, bool)>,
    base: Option<usize>,
}

enum Named {
    Zero,
    Row(usize, usize),
}

impl Rows {
    /// The rows for the tokens of the result, given the tokens of each model; `base` is the model that lends what others
    /// lack.
    pub fn new(
        choice: &TokenizerChoice,
        result: &Tokens,
        models: &[(&str, &Tokens)],
        base: Option<usize>,
    ) -> Result<Self, MergeError> {
        let count = result.count().next_multiple_of(choice.multiple.unwrap_or(1));
        let mut maps = vec![vec![None; count]; models.len()];
        for (text, id) in result.ids() {
            for (map, (_, tokens)) in maps.iter_mut().zip(models) {
                map[id] = tokens.id(text);
            }
        }
        let mut named = BTreeMap::new();
        for (text, token) in &choice.tokens {
            let unknown = |whose: &str| MergeError::request(format!("{whose} has no token `{text}`"));
            let row = result.id(text).ok_or_else(|| unknown("the tokenizer of the result"))?;
            let source = match &token.source {
                TokenSource::Zero => Named::Zero,
                TokenSource::Model { model, token } => {
                    let found = models.iter().position(|(name, _)| name == model);
                    let at = found.ok_or_else(|| MergeError::request(format!("`{model}` is not among the models")))?;
                    let id = match token {
                        None => models[at].1.id(text),
                        Some(Token::Text(other)) => models[at].1.id(other),
                        Some(Token::Id(id)) => Some(*id),
                    };
                    Named::Row(at, id.ok_or_else(|| unknown(&format!("`{model}`")))?)
                }
            };
            named.insert(row, (source, token.force));
        }
        Ok(Self { count, maps, named, base })
    }

    /// Whether a model's embedding already has the rows of the result.
    #[must_use]
    pub fn is_identity(&self, model: usize, rows: usize) -> bool {
        let own = self.maps[model].iter().enumerate().all(|(at, id)| *id == Some(at));
        own && rows == self.count && self.named.is_empty()
    }

    /// Brings the embeddings of some models, each with its place among all, to the rows of the result.
    #[must_use]
    pub fn arrange(&self, inputs: Vec<(usize, Vec<f32>)>, width: usize) -> Vec<Vec<f32>> {
        if inputs.iter().all(|(model, values)| self.is_identity(*model, values.len() / width)) {
            return inputs.into_iter().map(|(_, values)| values).collect();
        }
        let mut arranged: Vec<Vec<f32>> = inputs.iter().map(|_| vec![0.0; self.count * width]).collect();
        let mut lent = vec![0.0; width];
        for row in 0..self.count {
            let own = |(model, values): &(usize, Vec<f32>)| -> Option<std::ops::Range<usize>> {
                let start = self.maps[*model][row]? * width;
                (start + width <= values.len()).then_some(start..start + width)
            };
            let named = self.named.get(&row);
            self.lend(&inputs, named.map(|(named, _)| named), own, &mut lent);
            for (input, out) in inputs.iter().zip(&mut arranged) {
                let out = &mut out[row * width..(row + 1) * width];
                match own(input).filter(|_| !named.is_some_and(|(_, force)| *force)) {
                    Some(range) => out.copy_from_slice(&input.1[range]),
                    None => out.copy_from_slice(&lent),
                }
            }
        }
        arranged
    }

    /// The embedding for models that lack a token: the one that is named, else the base's, else the mean of those that
    /// are there; noughts where no model has it.
    fn lend(
        &self,
        inputs: &[(usize, Vec<f32>)],
        named: Option<&Named>,
        own: impl Fn(&(usize, Vec<f32>)) -> Option<std::ops::Range<usize>>,
        lent: &mut [f32],
    ) {
        lent.fill(0.0);
        let width = lent.len();
        match named {
            Some(Named::Zero) => return,
            Some(Named::Row(model, id)) => {
                let source = inputs.iter().find(|(it, _)| it == model);
                if let Some(row) = source.and_then(|(_, values)| values.get(id * width..(id + 1) * width)) {
                    lent.copy_from_slice(row);
                    return;
                }
            }
            None => {}
        }
        let base = inputs.iter().find(|(model, _)| Some(*model) == self.base);
        if let Some(input) = base
            && let Some(range) = own(input)
        {
            lent.copy_from_slice(&input.1[range]);
            return;
        }
        let there: Vec<&[f32]> = inputs.iter().filter_map(|input| Some(&input.1[own(input)?])).collect();
        for row in &there {
            for (sum, value) in lent.iter_mut().zip(*row) {
                *sum += value / there.len() as f32;
            }
        }
    }
}
