//! Training as a whole: the same bytes for any number of threads, and with activations computed again.

use std::path::{Path, PathBuf};

use regimen::base::rng::Stream;
use regimen::model::{
    AdamW, AdamWSettings, Balance, Config, Gradients, ModelError, Packed, PartLoss, Transformer, gradients,
};
use serde_json::{Value, json};

const ARCHITECTURES: [&str; 4] = ["dsv3_group", "llama", "qwen2", "qwen3_moe"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A fresh model of a fixture's sizes; DeepSeek-V3 with a layer that looks ahead.
fn fresh(name: &str) -> Transformer {
    let mut value: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture(name).join("config.json")).unwrap()).unwrap();
    if name.starts_with("dsv3") {
        value["num_nextn_predict_layers"] = json!(1);
    }
    value["initializer_range"] = json!(0.1);
    Transformer::init(Config::from_json(&value).unwrap(), 7).unwrap()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Sequences of random tokens, several to a part.
fn parts(seed: u64) -> Vec<Packed> {
    let stream = Stream::new(seed, "parts");
    let sequence =
        |row: u64, length: u64| -> Vec<u32> { (0..length).map(|at| stream.below(256, row, at) as u32).collect() };
    (0..4)
        .map(|part| {
            Packed::new([
                &sequence(3 * part, 5 + 7 * part)[..],
                &sequence(3 * part + 1, 2),
                &sequence(3 * part + 2, 33),
            ])
        })
        .collect()
}

/// All rows that have a next token in their sequence, and those tokens.
fn next_tokens(part: &Packed) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
    for length in &part.lengths {
        rows.extend((start..start + length - 1).map(|row| row as u32));
        targets.extend_from_slice(&part.ids[start + 1..start + length]);
        start += length;
    }
    (rows, targets)
}

/// The share of a part in a loss over all its next tokens, and tokens farther ahead where the model predicts them.
fn loss(model: &Transformer, part: &Packed) -> Result<PartLoss, ModelError> {
    let (rows, targets) = next_tokens(part);
    let found = model.log_probs_ahead(part, &rows, &targets)?;
    Ok(PartLoss { loss: found.loss(200, 0.3)?, loads: found.next.loads })
}

fn step(model: &Transformer, parts: &[Packed], threads: usize) -> Gradients {
    gradients(model, &pool(threads), parts, |part| loss(model, part)).unwrap()
}

/// The bytes of a model after some steps.
fn trained(name: &str, steps: u64, threads: usize, recompute: bool) -> (Vec<u8>, Vec<f32>) {
    let mut model = fresh(name);
    model.set_recompute(recompute);
    let mut optimizer = AdamW::new(&model, AdamWSettings::default());
    let (pool, mut losses) = (pool(threads), Vec::new());
    for at in 0..steps {
        let mut found = gradients(&model, &pool, &parts(at % 3), |part| loss(&model, part)).unwrap();
        found.clip(1.0);
        optimizer.step(&model, &found, 3e-3, &pool).unwrap();
        model.update_router_bias(&found.loads, 1e-2);
        losses.push(found.losses.iter().sum());
    }
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    (std::fs::read(dir.path().join("model.safetensors")).unwrap(), losses)
}

#[test]
fn twenty_steps_give_the_same_bytes_with_one_thread_and_with_two() {
    for name in ARCHITECTURES {
        let (one, losses) = trained(name, 20, 1, false);
        assert!(losses[19] < losses[1], "{name} learns: {losses:?}");
        assert!(trained(name, 20, 2, false).0 == one, "{name}");
    }
}

#[test]
fn activations_computed_again_change_no_bit() {
    for name in ARCHITECTURES {
        let mut model = fresh(name);
        let kept = step(&model, &parts(1), 2);
        model.set_recompute(true);
        assert!(step(&model, &parts(1), 2) == kept, "{name}");
        assert!(trained(name, 3, 2, true) == trained(name, 3, 1, false), "{name}");
    }
}

#[test]
fn activations_computed_again_change_no_bit_where_experts_are_balanced() {
    let gradients_of = |name: &str, balance: &Balance, recompute: bool| {
        let mut model = fresh(name);
        model.set_recompute(recompute);
        let loss = |part: &Packed| {
            let (rows, targets) = next_tokens(part);
            let found = model.log_probs_to_learn(part, &rows, &targets, true, Some(balance.clone()))?;
            Ok(PartLoss { loss: found.loss(200, 0.3)?, loads: found.next.loads })
        };
        gradients(&model, &pool(2), &parts(1), loss).unwrap()
    };
    for name in ["dsv3_group", "qwen3_moe"] {
        let plain = step(&fresh(name), &parts(1), 2);
        for balance in [Balance::Sequence { weight: 0.5 }, Balance::batch(0.5, &plain.loads, 2)] {
            let kept = gradients_of(name, &balance, false);
            assert!(kept.tensors != plain.tensors, "{name}: {balance:?} has a say");
            assert!(gradients_of(name, &balance, true) == kept, "{name}: {balance:?}");
        }
    }
}

#[test]
fn long_parts_computed_in_blocks_change_no_bit() {
    let stream = Stream::new(9, "long");
    let sequence =
        |row: u64, length: u64| -> Vec<u32> { (0..length).map(|at| stream.below(256, row, at) as u32).collect() };
    // Blocks end inside of sequences, and the last has one row only.
    let part = Packed::new([&sequence(0, 700)[..], &sequence(1, 1000), &sequence(2, 349)]);
    for name in ["dsv3_group", "qwen3_moe", "qwen2"] {
        let mut model = fresh(name);
        let kept = step(&model, std::slice::from_ref(&part), 1);
        model.set_recompute(true);
        assert!(step(&model, std::slice::from_ref(&part), 1) == kept, "{name}");
    }
}

#[test]
fn activations_computed_again_need_a_place_for_the_gradients_of_weights() {
    let mut model = fresh("llama");
    model.set_recompute(true);
    let found = model.log_probs(&Packed::new([&[1, 2, 3][..]]), &[0, 1], &[2, 3]).unwrap();
    let error = found.log_probs.sum_all().unwrap().backward().err().unwrap().to_string();
    assert!(error.contains("the gradients of weights are collected by `gradients` only"), "{error}");
}

#[test]
fn every_trainable_tensor_gets_a_gradient() {
    for name in ARCHITECTURES {
        let model = fresh(name);
        let batch = Packed::new([&(0..200).collect::<Vec<u32>>()[..], &(0..56).map(|id| id * 4).collect::<Vec<u32>>()]);
        let found = step(&model, &[batch], 1);
        let mut without = Vec::new();
        for (variable, values) in model.plan().variables.iter().zip(&found.tensors) {
            let tensors = variable.tensors.iter().filter(|tensor| values[tensor.range()].iter().all(|it| *it == 0.0));
            without.extend(tensors.map(|tensor| tensor.name.clone()));
        }
        assert_eq!(without, Vec::<String>::new(), "{name}");
    }
}
