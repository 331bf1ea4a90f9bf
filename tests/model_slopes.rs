//! Every operation against finite differences: the slope of its plain composition in f64 along random directions, on
//! random shapes, odd sizes, empty experts and several packed sequences.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use regimen::base::rng::Stream;
use regimen::model::ops::{self, Angles, AttentionLayout, Choice, Piece, reference};
use regimen::model::{Router, Scoring};

/// An operation of some inputs: the kernel, and the composition.
struct Case<'a> {
    inputs: Vec<(&'static str, Vec<usize>)>,
    native: &'a dyn Fn(&[Tensor]) -> Result<Tensor>,
    plain: &'a dyn Fn(&[Tensor]) -> Result<Tensor>,
}

fn numbers(name: &str, seed: u64, shape: &[usize]) -> Vec<f64> {
    let stream = Stream::new(seed, name);
    // Rounded to f32, so that both sides compute with the same numbers.
    (0..shape.iter().product::<usize>()).map(|at| f64::from(stream.normal(0, at as u64) as f32)).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Case<'_> {
    fn check(&self, seed: u64) -> std::result::Result<(), TestCaseError> {
        let given: Vec<Vec<f64>> = self.inputs.iter().map(|(name, shape)| numbers(name, seed, shape)).collect();
        let exact = |values: &[Vec<f64>]| -> Vec<f64> {
            let inputs = values.iter().zip(&self.inputs);
            let inputs =
                inputs.map(|(values, (_, shape))| Tensor::from_vec(values.clone(), shape.as_slice(), &Device::Cpu));
            flat(&(self.plain)(&inputs.collect::<Result<Vec<_>>>().unwrap()).unwrap())
        };
        let vars: Vec<Var> = given
            .iter()
            .zip(&self.inputs)
            .map(|(values, (_, shape))| {
                let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
                Var::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap()
            })
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let out = (self.native)(&tensors).unwrap();

        let (found, expected) = (flat(&out), exact(&given));
        let largest = expected.iter().fold(1e-2, |a: f64, b| a.max(b.abs()));
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((found - expected).abs() <= 1e-5 * largest, "value {found}, expected {expected}");
        }

        let cotangent = numbers("cotangent", seed, out.dims());
        let weights: Vec<f32> = cotangent.iter().map(|value| *value as f32).collect();
        let weights = Tensor::from_vec(weights, out.dims(), &Device::Cpu).unwrap();
        let store = (&out * weights).unwrap().sum_all().unwrap().backward().unwrap();
        for (at, (name, shape)) in self.inputs.iter().enumerate() {
            let gradient = flat(store.get(vars[at].as_tensor()).unwrap());
            let direction = numbers(&format!("direction of {name}"), seed, shape);
            let along = |step: f64| {
                let mut moved = given.clone();
                moved[at].iter_mut().zip(&direction).for_each(|(value, direction)| *value += step * direction);
                dot(&exact(&moved), &cotangent)
            };
            let step = 1e-5;
            let (found, slope) = (dot(&gradient, &direction), (along(step) - along(-step)) / (2.0 * step));
            let scale = dot(&gradient, &gradient).sqrt() * dot(&direction, &direction).sqrt();
            // A slope of nought, such as that of a lone token's query, comes of terms of about one that cancel in f32.
            prop_assert!((found - slope).abs() <= 2e-5 * scale + 1e-5, "{name}: {found}, slope {slope}, of {scale}");
        }
        Ok(())
    }
}

/// Experts for each row, in rising order; with few rows and many experts some stay empty.
fn choice(experts: usize, per_token: usize, rows: usize, seed: u64) -> Choice {
    let stream = Stream::new(seed, "choice");
    let mut chosen = Vec::new();
    for row in 0..rows as u64 {
        let mut order: Vec<u32> = (0..experts as u32).collect();
        order.sort_by_key(|expert| stream.below(1 << 40, row, u64::from(*expert)));
        order.truncate(per_token);
        order.sort_unstable();
        chosen.extend(order);
    }
    Choice { experts, per_token, chosen }
}

/// Latent attention (a shared turning part, values of another width), or grouped queries.
fn layout(
    latent: bool,
    kv_heads: usize,
    group: usize,
    pairs: usize,
    plain: usize,
    value: usize,
) -> (AttentionLayout, [usize; 3]) {
    let turned = 2 * pairs;
    if latent {
        let heads = kv_heads * group;
        let (qk, kv) = (plain + turned, plain + value);
        let layout = AttentionLayout {
            heads,
            kv_heads: heads,
            query: Piece { source: 0, offset: 0, step: qk, width: qk },
            key_plain: Piece { source: 1, offset: 0, step: kv, width: plain },
            key_turned: Piece { source: 2, offset: 3, step: 0, width: turned },
            value: Piece { source: 1, offset: plain, step: kv, width: value },
            interleaved: true,
            scale: 0.3,
        };
        return (layout, [heads * qk, heads * kv, 3 + turned]);
    }
    let layout = AttentionLayout {
        heads: kv_heads * group,
        kv_heads,
        query: Piece { source: 0, offset: 0, step: turned, width: turned },
        key_plain: Piece { source: 1, offset: 0, step: turned, width: 0 },
        key_turned: Piece { source: 1, offset: 0, step: turned, width: turned },
        value: Piece { source: 2, offset: 0, step: turned, width: turned },
        interleaved: false,
        scale: 0.4,
    };
    (layout, [kv_heads * group * turned, kv_heads * turned, kv_heads * turned])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn linear(rows in 1..80_usize, inner in 1..70_usize, out in 1..40_usize, seed in any::<u64>()) {
        let inputs = vec![("x", vec![rows, inner]), ("weight", vec![out, inner])];
        let native = |it: &[Tensor]| ops::linear(&it[0], &it[1]);
        let plain = |it: &[Tensor]| reference::linear(&it[0], &it[1]);
        Case { inputs: inputs.clone(), native: &native, plain: &plain }.check(seed)?;
        let inputs = [inputs, vec![("residual", vec![rows, out])]].concat();
        let native = |it: &[Tensor]| ops::linear_add(&it[0], &it[1], &it[2]);
        let plain = |it: &[Tensor]| reference::linear(&it[0], &it[1])?.add(&it[2]);
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn add_bias(rows in 1..50_usize, width in 1..70_usize, seed in any::<u64>()) {
        let inputs = vec![("x", vec![rows, width]), ("bias", vec![width])];
        let native = |it: &[Tensor]| ops::add_bias(&it[0], &it[1]);
        let plain = |it: &[Tensor]| reference::add_bias(&it[0], &it[1]);
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    // The norm of a single number is its sign: the parts of its slope cancel, and what is left in f32 is rounding.
    #[test]
    fn rms_norm(rows in 1..40_usize, before in 0..9_usize, width in 2..70_usize, after in 0..9_usize, seed in any::<u64>()) {
        let inputs = vec![("x", vec![rows, before + width + after]), ("weight", vec![width])];
        let native = |it: &[Tensor]| ops::rms_norm(&it[0], &it[1], before, 1e-5);
        let plain = |it: &[Tensor]| reference::rms_norm(&it[0], &it[1], before, 1e-5);
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn select_rows(count in 1..20_usize, width in 1..9_usize, many in 1..40_u64, seed in any::<u64>()) {
        let stream = Stream::new(seed, "rows");
        let rows: Vec<u32> = (0..many).map(|at| stream.below(count as u64, 0, at) as u32).collect();
        let native = |it: &[Tensor]| ops::select_rows(&it[0], &rows);
        let plain = |it: &[Tensor]| reference::select_rows(&it[0], &rows);
        Case { inputs: vec![("table", vec![count, width])], native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn mlp(rows in 1..70_usize, width in 1..20_usize, inner in 1..40_usize, seed in any::<u64>()) {
        let inputs = vec![("x", vec![rows, width]), ("gate_up", vec![2 * inner, width]), ("down", vec![width, inner])];
        let native = |it: &[Tensor]| ops::mlp(&it[0], &it[1], &it[2]);
        let plain = |it: &[Tensor]| reference::mlp(&it[0], &it[1], &it[2]);
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn log_prob(rows in 1..300_usize, width in 1..20_usize, vocab in 2..60_usize, seed in any::<u64>()) {
        let stream = Stream::new(seed, "targets");
        let targets: Vec<u32> = (0..rows as u64).map(|at| stream.below(vocab as u64, 0, at) as u32).collect();
        let native = |it: &[Tensor]| Ok(ops::log_prob(&it[0], &it[1], &targets)?.0);
        let plain = |it: &[Tensor]| Ok(reference::log_prob(&it[0], &it[1], &targets)?.0);
        let inputs = vec![("hidden", vec![rows, width]), ("head", vec![vocab, width])];
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn log_prob_and_entropy(rows in 1..300_usize, width in 1..20_usize, vocab in 2..60_usize, seed in any::<u64>()) {
        let stream = Stream::new(seed, "targets");
        let targets: Vec<u32> = (0..rows as u64).map(|at| stream.below(vocab as u64, 0, at) as u32).collect();
        let both = |(log_probs, entropy): (Tensor, Tensor)| Tensor::stack(&[log_probs, entropy], 0);
        let native = |it: &[Tensor]| both(ops::log_prob_and_entropy(&it[0], &it[1], &targets)?);
        let plain = |it: &[Tensor]| both(reference::log_prob_and_entropy(&it[0], &it[1], &targets)?);
        let inputs = vec![("hidden", vec![rows, width]), ("head", vec![vocab, width])];
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn route(rows in 1..30_usize, experts in 2..20_usize, per_token in 1..4_usize, softmax: bool, normalise: bool, seed in any::<u64>()) {
        // The weights as a function of the logits, the choice held fast: a bias larger than any score decides it.
        let scoring = if softmax { Scoring::Softmax } else { Scoring::Sigmoid };
        let chosen = per_token.min(experts);
        let router = Router { scoring, experts, chosen, groups: 1, kept_groups: 1, normalise, scale: 2.5 };
        let one = choice(experts, chosen, 1, seed).chosen;
        let bias: Vec<f32> = (0..experts as u32).map(|it| if one.contains(&it) { 100.0 } else { 0.0 }).collect();
        let fixed = Choice { experts, per_token: chosen, chosen: one.repeat(rows) };
        let native = |it: &[Tensor]| {
            let (found, weights) = ops::route(&it[0], &router, &bias)?;
            assert_eq!(found, fixed);
            Ok(weights)
        };
        let plain = |it: &[Tensor]| reference::route(&it[0], &router, &fixed);
        // One expert whose weight is made to sum to one has no slope to compare but zero.
        Case { inputs: vec![("logits", vec![rows, experts])], native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn experts(rows in 1..50_usize, count in 1..12_usize, per_token in 1..4_usize, width in 1..14_usize, inner in 1..14_usize, seed in any::<u64>()) {
        let per_token = per_token.min(count);
        let choice = choice(count, per_token, rows, seed);
        let native = |it: &[Tensor]| ops::experts(&it[0], &it[1], &it[2], &choice);
        let plain = |it: &[Tensor]| reference::experts(&it[0], &it[1], &it[2], &choice);
        let inputs = vec![
            ("x", vec![rows, width]),
            ("weights", vec![rows, per_token]),
            ("experts", vec![count, 3, inner * width]),
        ];
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }

    #[test]
    fn attention(
        lengths in prop::collection::vec(0..90_usize, 1..4),
        (latent, kv_heads, group) in (any::<bool>(), 1..3_usize, 1..4_usize),
        (pairs, plain_width, value) in (1..4_usize, 1..6_usize, 1..8_usize),
        seed in any::<u64>(),
    ) {
        let lengths = if lengths.iter().sum::<usize>() == 0 { vec![1] } else { lengths };
        let rows = lengths.iter().sum::<usize>();
        let (layout, columns) = layout(latent, kv_heads, group, pairs, plain_width, value);
        let frequencies: Vec<f32> = (0..pairs).map(|at| 0.6_f32.powi(at as i32)).collect();
        let angles = Arc::new(Angles::new(&frequencies, 1.1, lengths.iter().copied().max().unwrap()));
        let layout = Arc::new(layout);
        let shared: Arc<[usize]> = lengths.clone().into();
        let native = |it: &[Tensor]| ops::attention([&it[0], &it[1], &it[2]], &layout, &angles, &shared);
        let plain = |it: &[Tensor]| reference::attention([&it[0], &it[1], &it[2]], &layout, &angles, &lengths);
        let inputs = ["first", "second", "third"].into_iter().zip(columns);
        let inputs = inputs.map(|(name, columns)| (name, vec![rows, columns])).collect();
        Case { inputs, native: &native, plain: &plain }.check(seed)?;
    }
}
