//! Dense models of one shape made into one mixture of experts, as `mergekit-moe` does: attention, norms and embeddings
//! from the base, the feed-forward blocks of the others side by side, and a router in front of them.
//!
//! Komatsuzaki et al., "Sparse upcycling" (arXiv 2212.05055), where all experts are copies of one block.

use std::{
    collections::BTreeMap,
    path::{Path as FilePath, PathBuf},
};

use rayon::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    MergeError, Options, Pauses, Progress, Source,
    checkpoint::Checkpoint,
    config::{precision, reference},
    folder,
    gates::{Gates, Mode},
    halfway::write_units,
    output::{Kind, Output, Slot},
    parameters::Mistake,
    place::Path,
};
use crate::base::{precision::Precision, rng::Stream};

/// A mixture to make, known to fit.
pub struct Upcycle {
    pub source: Source,
    base: Checkpoint,
    experts: Vec<Expert>,
    shared: Option<Expert>,
    layout: Layout,
    mode: Mode,
    per_token: usize,
    dtype: Option<Precision>,
    options: Options,
    slots: BTreeMap<String, Slot>,
    pub warnings: Vec<String>,
}

/// A feed-forward block with what calls for it.
pub struct Expert {
    model: Checkpoint,
    pub positive: Vec<String>,
    pub negative: Vec<String>,
    /// What the block's output is multiplied by.
    residual: f32,
    /// How much noise is added to its weights.
    noise: f64,
}

/// A piece of the work.
#[derive(Clone, Copy)]
enum Piece<'a> {
    /// A tensor of the base as it is.
    Copy(&'a str),
    /// The experts of a layer with their router.
    Block(usize),
}

/// How the result names its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// All experts of a layer in two tensors, as transformers 5 holds them.
    Mixtral,
    /// Each expert by itself, and one that sees every token.
    Qwen,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    base_model: serde_yaml::Value,
    #[serde(default = "hidden")]
    gate_mode: String,
    dtype: Option<String>,
    #[serde(default = "two")]
    experts_per_token: usize,
    experts: Vec<RawExpert>,
    shared_experts: Option<Vec<RawExpert>>,
    architecture: Option<String>,
}

fn hidden() -> String {
    "hidden".to_owned()
}

fn two() -> usize {
    2
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpert {
    source_model: serde_yaml::Value,
    #[serde(default)]
    positive_prompts: Vec<String>,
    #[serde(default)]
    negative_prompts: Vec<String>,
    residual_scale: Option<f32>,
    noise_scale: Option<f64>,
}

/// The three matrices of a feed-forward block.
const BLOCK: [&str; 3] = ["gate_proj", "up_proj", "down_proj"];

impl Upcycle {
    /// Whether a file is of this kind and not of the other.
    #[must_use]
    pub fn is_asked_for(text: &str) -> bool {
        serde_yaml::from_str::<serde_yaml::Value>(text).is_ok_and(|it| it.get("experts").is_some())
    }

    /// The names of the models that a file speaks of.
    pub fn models(source: &Source) -> Result<Vec<String>, MergeError> {
        let raw: RawFile = source.parse()?;
        let root = Path::default();
        let experts = raw.experts.iter().chain(raw.shared_experts.iter().flatten()).map(|it| &it.source_model);
        let names = std::iter::once(&raw.base_model).chain(experts).map(|it| reference(it, &root));
        names.collect::<Result<_, _>>().map_err(|mistake| source.error(mistake))
    }

    /// Reads a configuration and the headers of its models.
    pub fn prepare(source: Source, folder: impl Fn(&str) -> PathBuf, options: Options) -> Result<Self, MergeError> {
        let raw: RawFile = source.parse()?;
        let wrong = |mistake: Mistake| source.error(mistake);
        let root = Path::default();
        let open = |value: &serde_yaml::Value, at: &Path| -> Result<Checkpoint, MergeError> {
            Checkpoint::open(&folder(&reference(value, at).map_err(wrong)?))
        };
        let mode = Mode::parse(&raw.gate_mode).map_err(|text| wrong(Mistake::new(root.field("gate_mode"), text)))?;
        let dtype = raw.dtype.map(|word| precision(&word, &root.field("dtype"))).transpose().map_err(wrong)?;
        let shared_experts = raw.shared_experts.unwrap_or_default();
        let layout = match (raw.architecture.as_deref(), shared_experts.len()) {
            (None | Some("mixtral"), 0) => Layout::Mixtral,
            (None | Some("qwen"), 1) => Layout::Qwen,
            (Some("mixtral"), _) => {
                let message = "a `mixtral` has no shared experts";
                return Err(wrong(
                    Mistake::new(root.field("shared_experts"), message).hint("write `architecture: qwen`"),
                ));
            }
            (None | Some("qwen"), count) => {
                let message = format!("a `qwen` has one shared expert, found {count}");
                return Err(wrong(Mistake::new(root.field("shared_experts"), message)));
            }
            (Some(other), _) => {
                let message = format!("expected an architecture `mixtral` or `qwen`, found `{other}`");
                return Err(wrong(Mistake::new(root.field("architecture"), message)));
            }
        };
        let read = |field: &str, experts: Vec<RawExpert>| -> Result<Vec<Expert>, MergeError> {
            let mut read = Vec::new();
            for (index, raw) in experts.into_iter().enumerate() {
                let at = root.field(field).item(index);
                if mode.needs_prompts() && raw.positive_prompts.is_empty() {
                    let message = "an expert without `positive_prompts` is never called for";
                    return Err(wrong(Mistake::new(at, message).hint("write prompts, or `gate_mode: random`")));
                }
                read.push(Expert {
                    model: open(&raw.source_model, &at.field("source_model"))?,
                    positive: raw.positive_prompts,
                    negative: raw.negative_prompts,
                    residual: raw.residual_scale.unwrap_or(1.0),
                    noise: raw.noise_scale.unwrap_or(0.0),
                });
            }
            Ok(read)
        };
        let experts = read("experts", raw.experts)?;
        if raw.experts_per_token == 0 || experts.len() < raw.experts_per_token {
            let message = format!("expected from 1 to {} experts, found {}", experts.len(), raw.experts_per_token);
            return Err(wrong(Mistake::new(root.field("experts_per_token"), message)));
        }
        for (at, expert) in experts.iter().enumerate().filter(|_| mode.needs_prompts()) {
            let same = |other: &Expert| other.positive == expert.positive && other.negative == expert.negative;
            if experts[..at].iter().any(same) {
                let message = "two experts have the same prompts, so the router cannot tell them apart";
                return Err(wrong(Mistake::new(root.field("experts").item(at), message)));
            }
        }
        let mut warnings = Vec::new();
        if experts.iter().all(|it| it.model.folder == experts[0].model.folder && it.noise == 0.0) {
            warnings.push("all experts are copies of one block; they differ only once they are trained".to_owned());
        }
        let base = open(&raw.base_model, &root.field("base_model"))?;
        let shared = read("shared_experts", shared_experts)?.pop();
        let per_token = raw.experts_per_token;
        let mut upcycle = Self {
            source: source.clone(),
            base,
            experts,
            shared,
            layout,
            mode,
            per_token,
            dtype,
            options,
            slots: BTreeMap::new(),
            warnings,
        };
        upcycle.slots = upcycle.slots()?;
        Ok(upcycle)
    }

    /// How many tensors the result has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.slots.len()
    }

    /// Writes the mixture into a folder that is there.
    pub fn write(&self, out: &FilePath, progress: Progress) -> Result<(), MergeError> {
        let gates = Gates::new(&self.base, self.mode, self.options.seed)?;
        let output = Output::create(out, self.slots.clone(), self.options.shard)?;
        let (mut done, total) = (0, self.slots.len() as u64);
        for piece in self.pieces()? {
            if !progress(done, total) {
                return Err(MergeError::Cancelled);
            }
            self.piece(piece, &gates, &output)?;
            done += self.tensors(piece).len() as u64;
        }
        output.write_index(out)?;
        self.write_companions(out)?;
        progress(total, total);
        Ok(())
    }

    /// As [`Upcycle::write`], going on where an earlier attempt was stopped. The bytes are the same.
    pub fn write_on(&self, out: &FilePath, progress: Progress, pauses: &dyn Pauses) -> Result<(), MergeError> {
        let gates = Gates::new(&self.base, self.mode, self.options.seed)?;
        let pieces = self.pieces()?;
        let units: Vec<Vec<&str>> = pieces.iter().map(|piece| self.tensors(*piece)).collect();
        let output = write_units(&units, (&self.slots, self.options.shard), progress, pauses, |at, output| {
            self.piece(pieces[at], &gates, output)
        })?;
        output.write_index(out)?;
        self.write_companions(out)?;
        let total = self.slots.len() as u64;
        progress(total, total);
        output.move_to(out)
    }

    /// The pieces of the work, in their order.
    fn pieces(&self) -> Result<Vec<Piece<'_>>, MergeError> {
        let copies = self.base.tensors().keys().filter(|name| !name.contains(".mlp.")).map(|name| Piece::Copy(name));
        Ok(copies.chain((0..self.base.layers()?).map(Piece::Block)).collect())
    }

    /// The tensors that a piece makes whole. Biases that the base lacks belong to the block of their layer.
    fn tensors(&self, piece: Piece) -> Vec<&str> {
        let of_block = |layer: usize| {
            let prefix = format!("model.layers.{layer}.");
            let new = |name: &&String| name.contains(".mlp.") || !self.base.tensors().contains_key(*name);
            let names = self.slots.keys().filter(|name| name.starts_with(&prefix));
            names.filter(new).map(String::as_str).collect()
        };
        match piece {
            Piece::Copy(name) => self.slots.get_key_value(name).map(|(name, _)| name.as_str()).into_iter().collect(),
            Piece::Block(layer) => of_block(layer),
        }
    }

    fn piece(&self, piece: Piece, gates: &Gates, output: &Output) -> Result<(), MergeError> {
        let layer = match piece {
            Piece::Copy(name) => {
                return match self.base.tensors().get(name).and_then(|it| it.precision()) {
                    Some(_) => output.write(name, &self.base.read(name)?),
                    None => output.write_exact(name, &self.base.bytes(name)?),
                };
            }
            Piece::Block(layer) => layer,
        };
        let module = format!("model.layers.{layer}.mlp");
        output.write(&format!("{module}.gate.weight"), &gates.rows(&self.experts, layer, &module)?)?;
        for (at, expert) in self.experts.iter().enumerate() {
            self.block(output, expert, &module, at)?;
        }
        if let Some(shared) = &self.shared {
            let module = format!("{module}.shared_expert");
            let gate = gates.rows(std::slice::from_ref(shared), layer, &module)?;
            output.write(&format!("{module}_gate.weight"), &gate)?;
            for part in BLOCK {
                output.write(&format!("{module}.{part}.weight"), &self.matrix(shared, layer, part, usize::MAX)?)?;
            }
        }
        Ok(())
    }

    /// Writes one expert of one layer; biases that the base lacks stay noughts, as the files begin.
    fn block(&self, output: &Output, expert: &Expert, module: &str, at: usize) -> Result<(), MergeError> {
        let layer = module.split('.').find_map(|it| it.parse().ok()).unwrap_or_default();
        let mut first = 0;
        for part in BLOCK {
            let values = self.matrix(expert, layer, part, at)?;
            match (self.layout, part) {
                (Layout::Qwen, _) => output.write(&format!("{module}.experts.{at}.{part}.weight"), &values)?,
                (Layout::Mixtral, "down_proj") => {
                    output.write_part(&format!("{module}.experts.down_proj"), at * values.len(), &values)?;
                }
                // The rows of the gate, and those of the other projection below them.
                (Layout::Mixtral, _) => {
                    let name = format!("{module}.experts.gate_up_proj");
                    output.write_part(&name, 2 * at * values.len() + first, &values)?;
                    first += values.len();
                }
            }
        }
        Ok(())
    }

    fn matrix(&self, expert: &Expert, layer: usize, part: &str, at: usize) -> Result<Vec<f32>, MergeError> {
        let name = format!("model.layers.{layer}.mlp.{part}.weight");
        let mut values = expert.model.read(&name)?;
        if expert.noise != 0.0 {
            let stream = Stream::new(self.options.seed, &name);
            values.par_iter_mut().enumerate().for_each(|(place, value)| {
                *value += (expert.noise * stream.normal(at as u64, place as u64)) as f32;
            });
        }
        if part == "down_proj" && expert.residual != 1.0 {
            values.par_iter_mut().for_each(|value| *value *= expert.residual);
        }
        Ok(values)
    }

    /// What the files will hold; every expert must have the shapes of the first.
    fn slots(&self) -> Result<BTreeMap<String, Slot>, MergeError> {
        let mut slots = BTreeMap::new();
        let mut put = |name: String, shape: &[usize], precision: Precision| {
            let kind = Kind::Numbers(self.dtype.unwrap_or(precision));
            slots.insert(name, Slot { shape: shape.to_vec(), kind });
        };
        for (name, stored) in self.base.tensors().iter().filter(|(name, _)| !name.contains(".mlp.")) {
            match stored.precision() {
                Some(precision) => put(name.clone(), &stored.shape, precision),
                None => {
                    let message = format!("expected numbers of F32, BF16, F16 or F64, found {}", stored.kind);
                    return Err(MergeError::tensor(&self.base.folder, name, message));
                }
            }
        }
        let (count, experts) = (self.experts.len(), || self.experts.iter().chain(&self.shared));
        for layer in 0..self.base.layers()? {
            let module = format!("model.layers.{layer}.mlp");
            let mut shapes = Vec::new();
            for part in BLOCK {
                let name = format!("{module}.{part}.weight");
                let mut first: Option<(Vec<usize>, Precision)> = None;
                for expert in experts() {
                    let stored = expert.model.tensors().get(&name);
                    let stored = stored
                        .ok_or_else(|| MergeError::model(&expert.model.folder, format!("missing tensor `{name}`")))?;
                    let (shape, _) =
                        first.get_or_insert((stored.shape.clone(), stored.precision().unwrap_or(Precision::F32)));
                    if *shape != stored.shape || stored.precision().is_none() {
                        let message =
                            format!("expected numbers in shape {shape:?}, found {} {:?}", stored.kind, stored.shape);
                        return Err(MergeError::tensor(&expert.model.folder, &name, message));
                    }
                }
                shapes.extend(first);
            }
            let [(gate, precision), _, (down, _)] = &shapes[..] else { continue };
            let (inner, width) = (gate[0], gate[1]);
            put(format!("{module}.gate.weight"), &[count, width], *precision);
            match self.layout {
                Layout::Mixtral => {
                    put(format!("{module}.experts.gate_up_proj"), &[count, 2 * inner, width], *precision);
                    put(format!("{module}.experts.down_proj"), &[count, down[0], down[1]], *precision);
                }
                Layout::Qwen => {
                    put(format!("{module}.shared_expert_gate.weight"), &[1, width], *precision);
                    let experts = (0..count).map(|at| format!("experts.{at}"));
                    for expert in experts.chain(["shared_expert".to_owned()]) {
                        for (part, (shape, precision)) in BLOCK.iter().zip(&shapes) {
                            put(format!("{module}.{expert}.{part}.weight"), shape, *precision);
                        }
                    }
                    for part in ["q_proj", "k_proj", "v_proj"] {
                        let matrix = format!("model.layers.{layer}.self_attn.{part}");
                        if let Some(stored) = self.base.tensors().get(&format!("{matrix}.weight")) {
                            put(format!("{matrix}.bias"), &stored.shape[..1], *precision);
                        }
                    }
                }
            }
        }
        Ok(slots)
    }

    fn write_companions(&self, out: &FilePath) -> Result<(), MergeError> {
        folder::write_json(&out.join("config.json"), &self.config()?)?;
        folder::copy_tokenizer(&self.base.folder, out)
    }

    /// The base's configuration with what makes it a mixture.
    fn config(&self) -> Result<Value, MergeError> {
        let mut config = self.base.config.clone();
        let inner = self.base.size(&["intermediate_size"]);
        let layers = self.base.layers()?;
        let specific = match self.layout {
            Layout::Mixtral => json!({
                "architectures": ["MixtralForCausalLM"],
                "model_type": "mixtral",
                "num_local_experts": self.experts.len(),
                "num_experts_per_tok": self.per_token,
                "output_router_logits": false,
                "router_aux_loss_coef": 0.001,
                "router_jitter_noise": 0.0,
                "sliding_window": null,
            }),
            Layout::Qwen => json!({
                "architectures": ["Qwen2MoeForCausalLM"],
                "model_type": "qwen2_moe",
                "num_experts": self.experts.len(),
                "num_experts_per_tok": self.per_token,
                "decoder_sparse_step": 1,
                "layer_types": vec!["full_attention"; layers],
                "max_window_layers": layers,
                "mlp_only_layers": [],
                "moe_intermediate_size": inner,
                "shared_expert_intermediate_size": inner,
                "norm_topk_prob": true,
                "output_router_logits": false,
                "qkv_bias": true,
                "router_aux_loss_coef": 0.001,
                "sliding_window": null,
                "use_sliding_window": false,
            }),
        };
        if let (Some(fields), Value::Object(specific)) = (config.as_object_mut(), specific) {
            fields.extend(specific);
            if let Some(precision) = self.dtype {
                let name = if fields.contains_key("dtype") { "dtype" } else { "torch_dtype" };
                fields.insert(name.to_owned(), precision.to_string().into());
            }
        }
        Ok(config)
    }
}
