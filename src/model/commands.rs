//! The work behind `regimen model logits` and `regimen model generate`: tensors in a file, tensors out.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::error::ModelError;
use super::packed::Packed;
use super::sampler::{Prompt, Sampler, Sampling};
use super::transformer::Transformer;
use crate::base::{device::Device, disk, precision};

/// The name of the tensor of ids in a file of inputs.
const INPUT: &str = "input_ids";

/// A model to work with.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub dir: &'a Path,
    /// Where it computes.
    pub device: Device,
    /// What its weights are rounded to.
    pub dtype: precision::Dtype,
}

impl Source<'_> {
    fn load(self) -> Result<Transformer, ModelError> {
        let mut model = Transformer::load(self.dir)?;
        if self.dtype != precision::Dtype::F32 {
            model.round(self.dtype.precision())?;
        }
        model.on(self.device)
    }
}

/// Writes the `logits` (`[batch, length, vocabulary]`, f32) of the `input_ids` of a file.
pub fn logits(source: Source<'_>, ids: &Path, out: &Path, pool: &rayon::ThreadPool) -> Result<(), ModelError> {
    let model = source.load()?;
    let ids = Ids::read(ids)?;
    let every: Vec<u32> = (0..ids.length as u32).collect();
    let of_row = |row: &Vec<u32>| -> Result<Vec<f32>, ModelError> {
        let packed = Packed::new([row.as_slice()]);
        Ok(model.forward(&packed, &every)?.logits.flatten_all()?.to_vec1()?)
    };
    let logits: Vec<Vec<f32>> = pool.install(|| ids.rows.par_iter().map(of_row).collect::<Result<_, _>>())?;
    let values = logits.concat().iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![ids.rows.len(), ids.length, model.config().vocab_size()];
    write(out, [("logits", Output { kind: Dtype::F32, shape, bytes: values })])
}

/// Completes the `input_ids` of a file, and writes the whole sequences as `ids` (`[batch, length + max_new]`, i64) and the
/// `log_probs` of the new tokens (`[batch, max_new]`, f32).
///
/// A row ends with a token that ends a text, if the configuration names one; the places after it hold that token again,
/// and log-probabilities of zero.
pub fn generate(
    source: Source<'_>,
    ids: &Path,
    out: &Path,
    settings: &Sampling,
    pool: &rayon::ThreadPool,
) -> Result<(), ModelError> {
    let model = source.load()?;
    let ids = Ids::read(ids)?;
    let vocab = model.config().vocab_size();
    if let Some(id) = ids.rows.iter().flatten().find(|id| **id as usize >= vocab) {
        return Err(ModelError::Batch(format!("expected ids below the vocabulary's size {vocab}, found {id}")));
    }
    let mut settings = settings.clone();
    settings.stop.extend(&model.config().special_tokens().eos);
    let rows = ids.rows.iter().zip(0..);
    let prompts: Vec<Prompt> = rows.map(|(ids, row)| Prompt { ids: ids.clone(), row, copies: 1 }).collect();
    let completions = Sampler::new(&model)?.generate(pool, &prompts, &settings)?;

    let (mut whole, mut log_probs) = (Vec::new(), Vec::new());
    for (prompt, completion) in ids.rows.iter().zip(&completions) {
        let missing = settings.max_new - completion.ids.len();
        let last = completion.ids.last().copied().unwrap_or_default();
        let row = prompt.iter().chain(&completion.ids).copied().chain(std::iter::repeat_n(last, missing));
        whole.extend(row.flat_map(|id| i64::from(id).to_le_bytes()));
        let row = completion.log_probs.iter().copied().chain(std::iter::repeat_n(0.0, missing));
        log_probs.extend(row.flat_map(f32::to_le_bytes));
    }
    let batch = ids.rows.len();
    let whole = Output { kind: Dtype::I64, shape: vec![batch, ids.length + settings.max_new], bytes: whole };
    let log_probs = Output { kind: Dtype::F32, shape: vec![batch, settings.max_new], bytes: log_probs };
    write(out, [("ids", whole), ("log_probs", log_probs)])
}

/// Rows of tokens of one length.
struct Ids {
    rows: Vec<Vec<u32>>,
    length: usize,
}

impl Ids {
    fn read(file: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(file).map_err(ModelError::file(file))?;
        let wrong = |text: String| ModelError::Weights(text).in_file(file);
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
        let tensor = tensors.tensor(INPUT).map_err(|_| wrong(format!("missing tensor `{INPUT}`")))?;
        let &[_, length] = tensor.shape() else {
            return Err(wrong(format!("tensor `{INPUT}`: expected two dimensions, found {:?}", tensor.shape())));
        };
        let ids: Option<Vec<u32>> = match tensor.dtype() {
            Dtype::I64 => {
                let (numbers, _) = tensor.data().as_chunks();
                numbers.iter().map(|bytes| u32::try_from(i64::from_le_bytes(*bytes)).ok()).collect()
            }
            Dtype::U32 => {
                let (numbers, _) = tensor.data().as_chunks();
                Some(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
            }
            other => return Err(wrong(format!("tensor `{INPUT}`: expected I64 or U32, found {other:?}"))),
        };
        let ids = ids.ok_or_else(|| wrong(format!("tensor `{INPUT}`: expected ids from 0 to {}", u32::MAX)))?;
        if ids.is_empty() {
            return Err(wrong(format!("tensor `{INPUT}`: expected at least one id, found none")));
        }
        Ok(Self { rows: ids.chunks_exact(length).map(<[u32]>::to_vec).collect(), length })
    }
}

/// A tensor to be written.
struct Output {
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn write<const N: usize>(file: &Path, outputs: [(&str, Output); N]) -> Result<(), ModelError> {
    let as_error = |error: safetensors::SafeTensorError| ModelError::Weights(error.to_string()).in_file(file);
    let views = outputs.iter().map(|(name, it)| Ok((*name, TensorView::new(it.kind, it.shape.clone(), &it.bytes)?)));
    let views: BTreeMap<&str, TensorView<'_>> = views.collect::<Result<_, _>>().map_err(as_error)?;
    let bytes = safetensors::serialize(views, None).map_err(as_error)?;
    disk::save(file, bytes).map_err(ModelError::file(file))
}
