//! Attention as a composition of plain Candle operations: the definition that the kernel is tested against.

use candle_core::{D, Result, Tensor};
use candle_nn::rotary_emb::{rope_i_slow, rope_slow};

use super::attention::{Angles, AttentionLayout, Piece};

/// As `attention`, one sequence and one head at a time.
pub fn reference(inputs: [&Tensor; 3], layout: &AttentionLayout, angles: &Angles, lengths: &[usize]) -> Result<Tensor> {
    let mut sequences = Vec::with_capacity(lengths.len());
    let mut start = 0;
    for length in lengths.iter().copied().filter(|length| *length > 0) {
        let heads = (0..layout.heads).map(|head| one_head(inputs, layout, angles, start, length, head));
        sequences.push(Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)?);
        start += length;
    }
    Tensor::cat(&sequences, 0)
}

fn one_head(
    inputs: [&Tensor; 3],
    layout: &AttentionLayout,
    angles: &Angles,
    start: usize,
    length: usize,
    head: usize,
) -> Result<Tensor> {
    let kv_head = head / (layout.heads / layout.kv_heads);
    let columns = |piece: &Piece, head: usize| {
        inputs[piece.source].narrow(0, start, length)?.narrow(1, piece.offset + head * piece.step, piece.width)
    };
    let turn = |x: &Tensor| turn(&x.contiguous()?, layout.interleaved, angles, length);
    let query = columns(&layout.query, head)?;
    let plain = layout.key_plain.width;
    let turned = turn(&query.narrow(1, plain, layout.key_turned.width)?)?;
    let query = if plain > 0 { Tensor::cat(&[&query.narrow(1, 0, plain)?, &turned], 1)? } else { turned };
    let turned = turn(&columns(&layout.key_turned, kv_head)?)?;
    let key = if plain > 0 { Tensor::cat(&[&columns(&layout.key_plain, kv_head)?, &turned], 1)? } else { turned };
    let scores = (query.matmul(&key.t()?.contiguous()?)? * f64::from(layout.scale))?;
    let mask: Vec<f32> =
        (0..length * length).map(|at| if at % length > at / length { f32::NEG_INFINITY } else { 0.0 }).collect();
    let mask = Tensor::from_vec(mask, (length, length), query.device())?.to_dtype(query.dtype())?;
    let scores = (scores + mask)?;
    candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&columns(&layout.value, kv_head)?.contiguous()?)
}

fn turn(x: &Tensor, interleaved: bool, angles: &Angles, length: usize) -> Result<Tensor> {
    let table = |values: &[f32]| {
        let table = Tensor::from_slice(&values[..length * angles.pairs], (length, angles.pairs), x.device())?;
        table.to_dtype(x.dtype())
    };
    let (cos, sin) = (table(&angles.cos)?, table(&angles.sin)?);
    let x = x.unsqueeze(0)?.unsqueeze(0)?;
    let turned = if interleaved { rope_i_slow(&x, &cos, &sin)? } else { rope_slow(&x, &cos, &sin)? };
    turned.squeeze(0)?.squeeze(0)
}
