//! Every operation against its composition in plain Candle: values and gradients, on random numbers of many shapes.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};
use regimen::base::rng::Stream;
use regimen::model::ops::{self, Angles, AttentionLayout, Piece, reference};
use regimen::model::{Router, Scoring};

fn random(name: &str, shape: &[usize]) -> Var {
    let stream = Stream::new(11, name);
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|at| stream.normal(count as u64, at as u64) as f32).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The numbers of a result, and the gradients of a random sum of them.
fn run(inputs: &[&Var], function: &dyn Fn() -> Result<Tensor>) -> (Vec<f32>, Vec<Vec<f32>>) {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let out = function().unwrap();
    let loss = (&out * random("cotangent", out.dims()).as_tensor()).unwrap().sum_all().unwrap();
    let store = loss.backward().unwrap();
    (flat(&out), inputs.iter().map(|input| flat(store.get(input.as_tensor()).unwrap())).collect())
}

/// Compares an operation with its reference, relative to the largest number of each.
fn same(what: &str, inputs: &[&Var], native: &dyn Fn() -> Result<Tensor>, plain: &dyn Fn() -> Result<Tensor>) {
    let (found, expected) = (run(inputs, native), run(inputs, plain));
    let close = |name: String, found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len(), "{what}: {name}");
        let largest = expected.iter().fold(5e-2_f32, |a, b| a.max(b.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 2e-5 * largest, "{what}: {name}: {worst} of {largest}");
    };
    close("value".to_owned(), &found.0, &expected.0);
    for (at, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
        close(format!("gradient of input {at}"), found, expected);
    }
}

#[test]
fn linear() {
    for [rows, inner, out] in [[1, 8, 8], [3, 5, 7], [33, 64, 8], [70, 48, 96], [128, 600, 33]] {
        let (x, w, r) = (random("x", &[rows, inner]), random("w", &[out, inner]), random("r", &[rows, out]));
        let what = format!("{rows} x {inner} x {out}");
        same(&what, &[&x, &w], &|| ops::linear(&x, &w), &|| reference::linear(&x, &w));
        let plain = || reference::linear(&x, &w)?.add(&r);
        same(&what, &[&x, &w, &r], &|| ops::linear_add(&x, &w, &r), &plain);
    }
}

#[test]
fn add_bias() {
    for [rows, width] in [[1, 1], [3, 7], [65, 33]] {
        let (x, bias) = (random("x", &[rows, width]), random("bias", &[width]));
        let plain = || reference::add_bias(&x, &bias);
        same(&format!("{rows} x {width}"), &[&x, &bias], &|| ops::add_bias(&x, &bias), &plain);
    }
}

#[test]
fn rms_norm() {
    for [rows, columns, offset, width] in [[1, 8, 0, 8], [5, 24, 0, 16], [7, 30, 11, 19], [64, 256, 0, 256]] {
        let (x, w) = (random("x", &[rows, columns]), random("w", &[width]));
        let native = || ops::rms_norm(&x, &w, offset, 1e-6);
        same(&format!("{rows} x {columns}"), &[&x, &w], &native, &|| reference::rms_norm(&x, &w, offset, 1e-6));
    }
}

#[test]
fn select_rows() {
    let table = random("table", &[9, 6]);
    for rows in [vec![0], vec![8, 8, 3, 8], (0..9).collect()] {
        same("rows", &[&table], &|| ops::select_rows(&table, &rows), &|| reference::select_rows(&table, &rows));
    }
    assert!(ops::select_rows(&table, &[9]).is_err());
}

#[test]
fn mlp() {
    for [rows, width, inner] in [[1, 4, 3], [9, 16, 40], [65, 32, 24]] {
        let (x, down) = (random("x", &[rows, width]), random("down", &[width, inner]));
        let gate_up = random("gate_up", &[2 * inner, width]);
        let native = || ops::mlp(&x, &gate_up, &down);
        let plain = || reference::mlp(&x, &gate_up, &down);
        same(&format!("{rows} x {width} x {inner}"), &[&x, &gate_up, &down], &native, &plain);
    }
}

#[test]
fn log_prob() {
    for [rows, width, vocab] in [[1, 8, 5], [30, 16, 300], [600, 24, 40]] {
        let (x, head) = (random("x", &[rows, width]), random("head", &[vocab, width]));
        let stream = Stream::new(2, "targets");
        let targets: Vec<u32> = (0..rows).map(|at| stream.below(vocab as u64, 0, at as u64) as u32).collect();
        let native = || Ok(ops::log_prob(&x, &head, &targets)?.0);
        let plain = || Ok(reference::log_prob(&x, &head, &targets)?.0);
        same(&format!("{rows} x {width} x {vocab}"), &[&x, &head], &native, &plain);
        let (found, expected) =
            (ops::log_prob(&x, &head, &targets).unwrap().1, reference::log_prob(&x, &head, &targets).unwrap().1);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-5), "{found:?} {expected:?}");
    }
}

#[test]
fn route_and_experts() {
    let cases =
        [(8, 2, 1, 1, true), (8, 3, 4, 2, true), (12, 4, 2, 1, false), (4, 1, 1, 1, true), (16, 2, 1, 1, false)];
    for (experts, chosen, groups, kept_groups, normalise) in cases {
        for rows in [1, 6, 90] {
            let router =
                Router { scoring: Scoring::Sigmoid, experts, chosen, groups, kept_groups, normalise, scale: 2.5 };
            let what = format!("{rows} rows, {router:?}");
            let logits = random("logits", &[rows, experts]);
            let bias: Vec<f32> = random("bias", &[experts]).to_vec1::<f32>().unwrap();
            let (choice, _) = ops::route(&logits, &router, &bias).unwrap();
            let native = || Ok(ops::route(&logits, &router, &bias)?.1);
            same(&what, &[&logits], &native, &|| reference::route(&logits, &router, &choice));
            let (width, inner) = (12, 10);
            let (x, weights) = (random("x", &[rows, width]), random("weights", &[rows, chosen]));
            let packed = random("experts", &[experts, 3, inner * width]);
            let native = || ops::experts(&x, &weights, &packed, &choice);
            let plain = || reference::experts(&x, &weights, &packed, &choice);
            same(&what, &[&x, &weights, &packed], &native, &plain);
        }
    }
}

#[test]
fn attention() {
    // Latent attention, with a value narrower than the key, and grouped queries, both ways of pairing.
    let (plain, turned, value, latent, heads) = (6, 4, 5, 7, 3);
    let latent_layout = AttentionLayout {
        heads,
        kv_heads: heads,
        query: Piece { source: 0, offset: 0, step: plain + turned, width: plain + turned },
        key_plain: Piece { source: 1, offset: 0, step: plain + value, width: plain },
        key_turned: Piece { source: 2, offset: latent, step: 0, width: turned },
        value: Piece { source: 1, offset: plain, step: plain + value, width: value },
        interleaved: true,
        scale: 0.3,
    };
    let grouped_layout = AttentionLayout {
        heads: 6,
        kv_heads: 2,
        query: Piece { source: 0, offset: 0, step: 8, width: 8 },
        key_plain: Piece { source: 1, offset: 0, step: 8, width: 0 },
        key_turned: Piece { source: 1, offset: 0, step: 8, width: 8 },
        value: Piece { source: 2, offset: 0, step: 8, width: 8 },
        interleaved: false,
        scale: 0.35,
    };
    let latent_columns = [heads * (plain + turned), heads * (plain + value), latent + turned];
    for (layout, columns, turned) in [(latent_layout, latent_columns, turned), (grouped_layout, [48, 16, 16], 8)] {
        for lengths in [vec![1], vec![5, 0, 3], vec![64, 65], vec![200, 31, 1], vec![600]] {
            let rows = lengths.iter().sum::<usize>();
            let frequencies: Vec<f32> = (0..turned / 2).map(|at| 0.5_f32.powi(at as i32)).collect();
            let angles = Arc::new(Angles::new(&frequencies, 1.2, lengths.iter().copied().max().unwrap()));
            let layout = Arc::new(layout.clone());
            let inputs = [
                random("first", &[rows, columns[0]]),
                random("second", &[rows, columns[1]]),
                random("third", &[rows, columns[2]]),
            ];
            let [a, b, c] = &inputs;
            let shared: Arc<[usize]> = lengths.clone().into();
            let native = || ops::attention([a, b, c], &layout, &angles, &shared);
            let plain = || reference::attention([a, b, c], &layout, &angles, &lengths);
            same(&format!("{lengths:?}"), &[a, b, c], &native, &plain);
        }
    }
}
