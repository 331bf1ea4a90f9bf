//! Which tensors the result has, and of which tensors of which models each is made.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    MergeError, Options,
    checkpoint::{Checkpoint, Stored},
    config::{Configuration, Member, Slice},
    experts::Permutation,
    methods::{Base, Scope, Settings},
    options::{Biases, Extra},
    output::{Kind, Slot},
    parameters::{Mistake, Parameters},
    vocabulary::Rows,
};

/// Every tensor of the result, by name.
pub struct Plan {
    pub tensors: BTreeMap<String, Planned>,
    /// How many layers the result has, those for further tokens left out.
    pub layers: usize,
    /// For each layer of the result, the layer of the reference that it has the place of.
    pub origins: Vec<usize>,
}

/// One tensor of the result.
pub struct Planned {
    pub slot: Slot,
    /// In the order of the method's inputs.
    pub sources: Vec<TensorSource>,
    /// Which of the sources is the base.
    pub base: Option<usize>,
    pub settings: Settings,
    /// Taken over from the one source as it is.
    pub keep: bool,
    /// Rows stand for tokens.
    pub embedding: bool,
}

/// A tensor of a model.
pub struct TensorSource {
    pub model: usize,
    pub name: String,
    pub settings: Settings,
    /// In which order its rows are taken, where they stand for experts.
    pub rows: Option<Permutation>,
}

/// A model's part in a slice.
struct Part<'a> {
    model: usize,
    layers: (usize, usize),
    parameters: &'a Parameters,
    is_base: bool,
    member: Option<&'a Member>,
    /// The model's own tensor for each of the result.
    names: BTreeMap<String, (String, f64)>,
}

/// What a tensor's name says.
enum Role {
    Before,
    Layer(usize),
    After,
}

impl Plan {
    /// Puts the result together from the slices; `models` are in the order of [`Configuration::models`].
    pub fn new(
        configuration: &Configuration,
        models: &[Checkpoint],
        rows: Option<&Rows>,
        options: &Options,
    ) -> Result<Self, MergeError> {
        let names = configuration.models();
        let reference = names.iter().position(|name| *name == configuration.reference()).unwrap_or_default();
        let mut plan = Self { tensors: BTreeMap::new(), layers: 0, origins: Vec::new() };
        let spans = configuration.slices.iter().map(|slice| parts(configuration, slice, &names, models));
        let mut spans = spans.collect::<Result<Vec<_>, _>>()?;
        let total: usize = spans.iter().map(|parts| parts[0].layers.1 - parts[0].layers.0).sum();
        let last = spans.len() - 1;
        for (at, (slice, parts)) in configuration.slices.iter().zip(&mut spans).enumerate() {
            let (from, to) = parts[0].layers;
            for part in &mut *parts {
                part.list(&models[part.model], (at == 0, at == last), plan.layers, total)?;
            }
            lend_heads(parts, models);
            let base = parts.iter().position(|part| part.is_base);
            let lead = base.unwrap_or(0);
            agree(parts, lead, models)?;
            for (name, (_, t)) in &parts[lead].names {
                let planner = Planner { configuration, models, rows, options, parts, base, lead };
                if let Some(planned) = planner.tensor(slice, name, *t, total)? {
                    plan.tensors.insert(name.clone(), planned);
                }
            }
            let leading = parts.iter().find(|part| part.model == reference).unwrap_or(&parts[lead]);
            plan.origins.extend(leading.layers.0..leading.layers.0 + to - from);
            plan.layers += to - from;
        }
        Ok(plan)
    }

    /// What the files will hold.
    #[must_use]
    pub fn slots(&self) -> BTreeMap<String, Slot> {
        self.tensors.iter().map(|(name, planned)| (name.clone(), planned.slot.clone())).collect()
    }
}

/// The models of a slice with their layers; the base comes last where it is not listed.
fn parts<'a>(
    configuration: &'a Configuration,
    slice: &'a Slice,
    names: &[&str],
    models: &[Checkpoint],
) -> Result<Vec<Part<'a>>, MergeError> {
    let mistake = |mistake: Mistake| configuration.source.error(mistake);
    let place = |model: &str| names.iter().position(|name| *name == model).unwrap_or_default();
    let mut parts: Vec<Part> = Vec::new();
    for member in &slice.members {
        let model = place(&member.model);
        let depth = models[model].layers()?;
        let layers = member.layers.unwrap_or((0, depth));
        if layers.1 > depth {
            let message = format!("`{}` has {depth} layers, found a range up to {}", member.model, layers.1);
            return Err(mistake(Mistake::new(member.at.field("layer_range"), message)));
        }
        if let Some(first) = parts.first()
            && first.layers.1 - first.layers.0 != layers.1 - layers.0
        {
            let message = format!(
                "expected {} layers as in `{}`, found {} in `{}`",
                first.layers.1 - first.layers.0,
                slice.members[0].model,
                layers.1 - layers.0,
                member.model
            );
            return Err(mistake(Mistake::new(member.at.clone(), message)));
        }
        let is_base = configuration.is_base(&member.model);
        let parameters = &member.parameters;
        parts.push(Part { model, layers, parameters, is_base, member: Some(member), names: BTreeMap::new() });
    }
    if let Some(base) = &configuration.base
        && configuration.method.base != Base::Ignored
        && !parts.iter().any(|part| part.is_base)
    {
        let layers = parts[0].layers;
        if parts.iter().any(|part| part.layers != layers) {
            let message = format!("the models take unlike layers, so it is not known which to take of `{base}`");
            return Err(mistake(Mistake::new(slice.at.clone(), message).hint("list the base among the sources")));
        }
        static NONE: Parameters = Parameters(BTreeMap::new());
        let part =
            Part { model: place(base), layers, parameters: &NONE, is_base: true, member: None, names: BTreeMap::new() };
        if layers.1 > models[part.model].layers()? {
            let message = format!("`{base}` has {} layers, and the others more", models[part.model].layers()?);
            return Err(mistake(Mistake::new(slice.at.clone(), message)));
        }
        parts.push(part);
    }
    Ok(parts)
}

impl Part<'_> {
    /// Lists the model's tensors for this slice under the names they get, with how far through the layers they are.
    fn list(
        &mut self,
        model: &Checkpoint,
        (first, last): (bool, bool),
        offset: usize,
        total: usize,
    ) -> Result<(), MergeError> {
        let depth = model.layers()?;
        let (from, to) = self.layers;
        for name in model.tensors().keys() {
            let (target, t) = match role(name) {
                Role::Before if first => (name.clone(), 0.0),
                Role::After if last => (name.clone(), 0.0),
                Role::Layer(layer) if (from..to).contains(&layer) => {
                    let t = if to - from == 1 { 1.0 } else { (layer - from) as f64 / (to - from - 1) as f64 };
                    (renumber(name, offset + layer - from), t)
                }
                // Layers beyond those that are counted predict further tokens.
                Role::Layer(layer) if layer >= depth && last => (renumber(name, total + layer - depth), 1.0),
                _ => continue,
            };
            self.names.insert(target, (name.clone(), t));
        }
        Ok(())
    }
}

/// A model whose head is its embedding lends it where others have a head of their own.
fn lend_heads(parts: &mut [Part], models: &[Checkpoint]) {
    const HEAD: &str = "lm_head.weight";
    const EMBEDDING: &str = "model.embed_tokens.weight";
    if !parts.iter().any(|part| part.names.contains_key(HEAD)) {
        return;
    }
    for part in parts {
        let model = &models[part.model];
        if model.is_tied() && model.tensors().contains_key(EMBEDDING) {
            part.names.entry(HEAD.to_owned()).or_insert_with(|| (EMBEDDING.to_owned(), 0.0));
        }
    }
}

/// Every model must have the tensors that the leading one has, and no other.
fn agree(parts: &[Part], lead: usize, models: &[Checkpoint]) -> Result<(), MergeError> {
    let leading: BTreeSet<&String> = parts[lead].names.keys().collect();
    let folder = |part: &Part| &models[part.model].folder;
    for part in parts {
        let own: BTreeSet<&String> = part.names.keys().collect();
        if let Some(name) = leading.difference(&own).next() {
            let message = format!("missing tensor `{name}`, which `{}` has", folder(&parts[lead]).display());
            return Err(MergeError::model(folder(part), message));
        }
        if let Some(name) = own.difference(&leading).next() {
            let message = format!("missing tensor `{name}`, which `{}` has", folder(part).display());
            return Err(MergeError::model(folder(&parts[lead]), message));
        }
    }
    Ok(())
}

/// What the tensors of one slice have in common.
struct Planner<'a> {
    configuration: &'a Configuration,
    models: &'a [Checkpoint],
    rows: Option<&'a Rows>,
    options: &'a Options,
    parts: &'a [Part<'a>],
    base: Option<usize>,
    lead: usize,
}

impl Planner<'_> {
    /// None where the tensor is to be left out.
    fn tensor(&self, slice: &Slice, name: &str, t: f64, total: usize) -> Result<Option<Planned>, MergeError> {
        let extra = matches!(role(name), Role::Layer(layer) if layer >= total);
        let is_bias = name.ends_with("e_score_correction_bias");
        if extra && self.options.extra == Extra::Drop {
            return Ok(None);
        }
        let keep = extra && self.options.extra == Extra::Keep || is_bias && self.options.biases == Biases::Keep;
        let embedding = is_embedding(name);
        let parts: Vec<&Part> = if keep { vec![&self.parts[self.lead]] } else { self.parts.iter().collect() };
        let slot = self.slot(name, &parts, embedding)?;
        let mut sources = Vec::new();
        for part in &parts {
            let Some((own, _)) = part.names.get(name) else { continue };
            let settings = if keep { Settings::default() } else { self.for_model(slice, part, own, t)? };
            sources.push(TensorSource { model: part.model, name: own.clone(), settings, rows: None });
        }
        let settings = self.for_all(slice, name, t)?;
        Ok(Some(Planned { slot, sources, base: self.base.filter(|_| !keep), settings, keep, embedding }))
    }

    fn for_model(&self, slice: &Slice, part: &Part, name: &str, t: f64) -> Result<Settings, MergeError> {
        let mut settings = Settings::default();
        if part.is_base {
            return Ok(settings);
        }
        let places = [part.parameters, &slice.parameters, &self.configuration.parameters];
        for parameter in self.configuration.method.parameters.iter().filter(|it| it.scope == Scope::Model) {
            let given = places.iter().find_map(|place| place.get(parameter, name, t));
            let Some(value) = given.or(parameter.default) else {
                let at = part.member.map(|member| member.at.clone()).unwrap_or_default();
                let message = format!("no filter of `{}` fits the tensor `{name}`", parameter.name);
                let hint = "add an entry without a `filter` at the end";
                return Err(self.configuration.source.error(Mistake::new(at, message).hint(hint)));
            };
            settings.0.insert(parameter.name, value);
        }
        Ok(settings)
    }

    fn for_all(&self, slice: &Slice, name: &str, t: f64) -> Result<Settings, MergeError> {
        let mut settings = Settings::default();
        let places = [&slice.parameters, &self.configuration.parameters];
        for parameter in self.configuration.method.parameters.iter().filter(|it| it.scope == Scope::All) {
            let given = places.iter().find_map(|place| place.get(parameter, name, t));
            let Some(value) = given.or(parameter.default) else {
                let message = format!("`{}` has no value for the tensor `{name}`", parameter.name);
                let hint = "add an entry without a `filter` at the end";
                return Err(self.configuration.source.error(Mistake::new(slice.at.clone(), message).hint(hint)));
            };
            settings.0.insert(parameter.name, value);
        }
        Ok(settings)
    }

    /// A model with its own tensor for one of the result.
    fn stored<'b>(&'b self, part: &'b Part, name: &str) -> Option<(&'b Checkpoint, &'b Stored, &'b String)> {
        let (own, _) = part.names.get(name)?;
        let model = &self.models[part.model];
        Some((model, model.tensors().get(own)?, own))
    }

    /// The shape and kind of the result, on which the models must agree.
    fn slot(&self, name: &str, parts: &[&Part], embedding: bool) -> Result<Slot, MergeError> {
        let lead = parts.iter().find(|part| part.is_base).or(parts.first()).and_then(|part| self.stored(part, name));
        let Some((leader, first, _)) = lead else {
            return Err(MergeError::request(format!("no model has the tensor `{name}`")));
        };
        let rows = self.rows.filter(|_| embedding);
        for (model, tensor, own) in parts.iter().filter_map(|part| self.stored(part, name)) {
            let unlike = match rows {
                Some(_) => tensor.shape.len() != 2 || tensor.shape.get(1) != first.shape.get(1),
                None => tensor.shape != first.shape,
            };
            if unlike {
                let mut message = format!(
                    "expected shape {:?} as in `{}`, found {:?}",
                    first.shape,
                    leader.folder.display(),
                    tensor.shape
                );
                if embedding && tensor.shape.get(1) == first.shape.get(1) {
                    message += "; the models have unlike tokens: say whose the result has with `tokenizer_source`";
                }
                return Err(MergeError::tensor(&model.folder, own, message));
            }
            if tensor.precision().is_none() && !tensor.is_exact() {
                let message = format!("expected numbers of F32, BF16, F16 or F64, found {}", tensor.kind);
                return Err(MergeError::tensor(&model.folder, own, message));
            }
            if tensor.is_exact() != first.is_exact() {
                let message =
                    format!("expected {} as in `{}`, found {}", first.kind, leader.folder.display(), tensor.kind);
                return Err(MergeError::tensor(&model.folder, own, message));
            }
        }
        let mut shape = first.shape.clone();
        if let Some(rows) = rows {
            shape[0] = rows.count;
        }
        let asked = self.configuration.out_dtype.or(self.configuration.dtype);
        // Biases of routers are kept as finely as they are: they order the experts.
        let asked = asked.filter(|_| !name.ends_with("e_score_correction_bias"));
        let kind = match first.precision() {
            Some(precision) => Kind::Numbers(asked.unwrap_or(precision)),
            None => Kind::Exact(first.kind.clone(), first.bytes()),
        };
        Ok(Slot { shape, kind })
    }
}

/// Whether rows stand for tokens.
fn is_embedding(name: &str) -> bool {
    ["embed_tokens.weight", "lm_head.weight", "wte.weight", "tok_embeddings.weight", "shared_head.head.weight"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The first segment that is a number counts the layers.
fn role(name: &str) -> Role {
    match name.split('.').find_map(|segment| segment.parse().ok()) {
        Some(layer) => Role::Layer(layer),
        None if ["embed", "wte", "wpe"].iter().any(|word| name.contains(word)) => Role::Before,
        None => Role::After,
    }
}

/// The name with another number of its layer.
fn renumber(name: &str, layer: usize) -> String {
    let mut segments: Vec<String> = name.split('.').map(str::to_owned).collect();
    if let Some(segment) = segments.iter_mut().find(|it| it.parse::<usize>().is_ok()) {
        *segment = layer.to_string();
    }
    segments.join(".")
}
