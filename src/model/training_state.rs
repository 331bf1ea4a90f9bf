//! The state of a training: weights, router biases and the optimizer's moments, as they lie in memory, to go on from.

use std::{collections::BTreeMap, io::Write, path::Path};

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::{Transformer, error::ModelError, ops, optimizer::Moments};
use crate::base::disk::Writer;

/// Writes a model, and its optimizer where there is one, to a safetensors file of flat lists of f32.
///
/// # Errors
/// Where the file cannot be written.
pub fn save_state(file: &Path, model: &Transformer, moments: Option<&Moments>) -> Result<(), ModelError> {
    let write = || {
        let mut out = Writer::buffered(file, 1 << 20)?;
        out.write_all(&header(model, moments))?;
        for (_, var) in model.variables() {
            ops::read(var, |values| write_values(&mut out, values)).map_err(std::io::Error::other)??;
        }
        model.router_biases().iter().try_for_each(|values| write_values(&mut out, values))?;
        let moments = moments.iter().flat_map(|it| it.first.iter().chain(&it.second));
        moments.into_iter().try_for_each(|values| write_values(&mut out, values))?;
        out.flush()
    };
    write().map_err(ModelError::file(file))
}

/// Puts a model back into the state of a file, and gives the optimizer's, where the file holds one.
///
/// # Errors
/// Where the file cannot be read, or is of another model.
pub fn load_state(file: &Path, model: &mut Transformer) -> Result<Option<Moments>, ModelError> {
    let bytes = std::fs::read(file).map_err(ModelError::file(file))?;
    let odd = |text: &str| ModelError::Weights(format!("`{}`: {text}", file.display()));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| odd(&error.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| odd(&error.to_string()))?;
    let list = |name: &str, length: usize| {
        let tensor = tensors.tensor(name).map_err(|error| odd(&error.to_string()))?;
        if tensor.dtype() != Dtype::F32 || tensor.data().len() != 4 * length {
            return Err(odd(&format!("expected {length} numbers of f32 in `{name}`")));
        }
        let (numbers, _) = tensor.data().as_chunks::<4>();
        Ok(numbers.iter().map(|it| f32::from_le_bytes(*it)).collect::<Vec<f32>>())
    };
    let lists = |group: &str, lengths: &[usize]| {
        let names = (0..).zip(lengths).map(|(at, length)| list(&name(group, at), *length));
        names.collect::<Result<Vec<_>, _>>()
    };
    let lengths: Vec<usize> = model.variables().iter().map(|(_, var)| var.elem_count()).collect();
    let biases: Vec<usize> = model.router_biases().iter().map(Vec::len).collect();
    model.replace(lists("weights", &lengths)?, lists("biases", &biases)?)?;
    let Some(step) = metadata.metadata().as_ref().and_then(|it| it.get(STEP)) else { return Ok(None) };
    let step = step.parse().map_err(|_| odd(&format!("expected a number in `{STEP}`, found `{step}`")))?;
    Ok(Some(Moments { step, first: lists("first", &lengths)?, second: lists("second", &lengths)? }))
}

/// The name in the metadata of how many steps the optimizer has taken.
const STEP: &str = "optimizer_step";

fn name(group: &str, at: usize) -> String {
    format!("{group}.{at:05}")
}

/// The header of the file: the lists in the order in which they are written.
fn header(model: &Transformer, moments: Option<&Moments>) -> Vec<u8> {
    let mut metadata = BTreeMap::from([("format", "pt".to_owned())]);
    if let Some(moments) = moments {
        metadata.insert(STEP, moments.step.to_string());
    }
    let mut fields = serde_json::Map::new();
    fields.insert("__metadata__".to_owned(), json!(metadata));
    let mut offset = 0;
    let mut list = |group: &str, lengths: &mut dyn Iterator<Item = usize>| {
        for (at, length) in lengths.enumerate() {
            let end = offset + 4 * length;
            let field = json!({"dtype": "F32", "shape": [length], "data_offsets": [offset, end]});
            fields.insert(name(group, at), field);
            offset = end;
        }
    };
    list("weights", &mut model.variables().iter().map(|(_, var)| var.elem_count()));
    list("biases", &mut model.router_biases().iter().map(Vec::len));
    if let Some(moments) = moments {
        list("first", &mut moments.first.iter().map(Vec::len));
        list("second", &mut moments.second.iter().map(Vec::len));
    }
    let mut text = Value::Object(fields).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

fn write_values(out: &mut impl Write, values: &[f32]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(4 << 14);
    for part in values.chunks(1 << 14) {
        bytes.clear();
        bytes.extend(part.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}
