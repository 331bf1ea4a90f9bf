//! The model against what transformers 5.23 computes on tiny random models (the fixtures say how they were made), beyond
//! what `devices` holds against it on every device.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use regimen::model::{AdamW, AdamWSettings, Config, Gradients, ModelError, Packed, PartLoss, Transformer, gradients};
use serde_json::Value;

pub(crate) const FIXTURES: [&str; 6] = ["dsv3_group", "dsv3_noqlora", "dsv3_yarn", "llama", "qwen2", "qwen3_moe"];

/// One tiny model, and what it computes.
pub(crate) struct Fixture {
    dir: PathBuf,
    pub(crate) model: Transformer,
    pub(crate) expected: HashMap<String, Tensor>,
    inputs: Value,
    pub(crate) meta: Value,
}

impl Fixture {
    pub(crate) fn open(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let json = |file: &str| serde_json::from_str(&std::fs::read_to_string(dir.join(file)).unwrap()).unwrap();
        Self {
            model: Transformer::load(&dir).unwrap(),
            expected: candle_core::safetensors::load(dir.join("expected.safetensors"), &Device::Cpu).unwrap(),
            inputs: json("input_ids.json"),
            meta: json("meta.json"),
            dir,
        }
    }

    pub(crate) fn sequences(&self, name: &str) -> Vec<Vec<u32>> {
        serde_json::from_value(self.inputs[name].clone()).unwrap()
    }

    pub(crate) fn expected(&self, name: &str) -> Vec<f32> {
        self.expected[name].flatten_all().unwrap().to_vec1().unwrap()
    }
}

pub(crate) fn all_rows(packed: &Packed) -> Vec<u32> {
    (0..packed.ids.len() as u32).collect()
}

pub(crate) fn packed(sequences: &[Vec<u32>]) -> Packed {
    Packed::new(sequences.iter().map(Vec::as_slice))
}

/// The rows that predict a next token, and those tokens.
pub(crate) fn next_tokens(packed: &Packed) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut targets, mut start) = (Vec::new(), Vec::new(), 0);
    for length in &packed.lengths {
        for at in start..start + length - 1 {
            rows.push(at as u32);
            targets.push(packed.ids[at + 1]);
        }
        start += length;
    }
    (rows, targets)
}

pub(crate) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The gradients of the mean loss over all predicted tokens, each part a batch of its own.
pub(crate) fn mean_loss(model: &Transformer, parts: &[Packed], threads: usize) -> Gradients {
    let count: usize = parts.iter().map(|part| next_tokens(part).0.len()).sum();
    gradients(model, &pool(threads), parts, |part| {
        let (rows, targets) = next_tokens(part);
        let result = model.log_probs(part, &rows, &targets)?;
        let loss = (result.log_probs.sum_all()? * (-1.0 / count as f64))?;
        Ok(PartLoss { loss, loads: result.loads })
    })
    .unwrap()
}

/// The gradients by the hub's names.
pub(crate) fn by_name<'a>(model: &'a Transformer, gradients: &'a Gradients) -> Vec<(&'a str, &'a [f32])> {
    let variables = model.plan().variables.iter().zip(&gradients.tensors);
    variables
        .flat_map(|(variable, values)| {
            variable.tensors.iter().map(move |tensor| (tensor.name.as_str(), &values[tensor.range()]))
        })
        .collect()
}

pub(crate) fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub(crate) fn norm(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn hidden_states_and_routes_are_those_of_transformers() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let trace = fixture.model.trace(&packed(&fixture.sequences("input_ids"))).unwrap();
        assert_eq!(trace.hidden.len(), 4);
        for (layer, hidden) in trace.hidden.iter().enumerate() {
            let found: Vec<f32> = hidden.flatten_all().unwrap().to_vec1().unwrap();
            let worst = worst(&found, &fixture.expected(&format!("hidden.{layer}")));
            assert!(worst < 1e-4, "{name}: layer {layer}: {worst}");
        }
        assert_eq!(trace.routes.len(), if fixture.model.config().is_sparse(1) { 2 } else { 0 });
        for (layer, (choice, weights)) in (1..).zip(&trace.routes) {
            let known = |what: &str| format!("topk_{what}.model.layers.{layer}.mlp.gate");
            let chosen: Vec<i64> = choice.chosen.iter().map(|expert| i64::from(*expert)).collect();
            let expected: Vec<i64> = fixture.expected[&known("idx")].flatten_all().unwrap().to_vec1().unwrap();
            assert_eq!(chosen, expected, "{name}: layer {layer}");
            let weights: Vec<f32> = weights.flatten_all().unwrap().to_vec1().unwrap();
            let worst = worst(&weights, &fixture.expected(&known("weight")));
            assert!(worst < 1e-5, "{name}: layer {layer}: {worst}");
        }
    }
}

#[test]
fn entropy_is_that_of_the_logits() {
    let fixture = Fixture::open("dsv3_group");
    let batch = packed(&fixture.sequences("input_ids"));
    let (rows, targets) = next_tokens(&batch);
    let entropy = fixture.model.log_probs(&batch, &rows, &targets).unwrap().entropy;
    let logits = fixture.model.forward(&batch, &rows).unwrap().logits.to_vec2::<f32>().unwrap();
    for (entropy, logits) in entropy.iter().zip(logits) {
        let sum: f64 = logits.iter().map(|it| f64::from(*it).exp()).sum();
        let expected: f64 = logits.iter().map(|it| f64::from(*it).exp() / sum * (sum.ln() - f64::from(*it))).sum();
        assert!((f64::from(*entropy) - expected).abs() < 1e-5, "{entropy} {expected}");
    }
}

#[test]
fn experts_are_chosen_as_transformers_chooses_them() {
    for name in ["dsv3_group", "dsv3_noqlora", "dsv3_yarn", "qwen3_moe"] {
        let fixture = Fixture::open(name);
        let sequences = fixture.sequences("input_ids");
        let loads = |ids: &[u32]| fixture.model.forward(&Packed::new([ids]), &[0]).unwrap().loads;
        for sparse in 0..2 {
            let known = &fixture.expected[&format!("topk_idx.model.layers.{}.mlp.gate", sparse + 1)];
            let mut known = known.to_vec2::<i64>().unwrap().into_iter();
            for ids in &sequences {
                let mut before = vec![0; 8];
                for length in 1..=ids.len() {
                    // What one more token adds to the loads is where that token went.
                    let after = loads(&ids[..length]).swap_remove(sparse);
                    let chosen: Vec<i64> = (0..8).filter(|at| after[*at as usize] > before[*at as usize]).collect();
                    assert_eq!(Some(chosen), known.next(), "{name}: sparse layer {sparse}, token {}", length - 1);
                    before = after;
                }
            }
        }
    }
}

#[test]
fn an_optimizer_that_was_put_away_goes_on_as_if_it_had_not_been() {
    let (kept, other) = (Fixture::open("dsv3_group"), Fixture::open("dsv3_group"));
    let parts = [packed(&kept.sequences("input_ids"))];
    let mut optimizer = AdamW::new(&kept.model, AdamWSettings::default());
    let mut resumed = AdamW::new(&other.model, AdamWSettings::default());
    for _ in 0..3 {
        optimizer.step(&kept.model, &mean_loss(&kept.model, &parts, 1), 1e-3, &pool(1)).unwrap();
        resumed.step(&other.model, &mean_loss(&other.model, &parts, 1), 1e-3, &pool(2)).unwrap();
        resumed = AdamW::resume(&other.model, AdamWSettings::default(), resumed.moments().clone()).unwrap();
    }
    assert_eq!(optimizer.moments(), resumed.moments());
    let gradients = |fixture: &Fixture| mean_loss(&fixture.model, &parts, 1);
    assert_eq!(gradients(&kept), gradients(&other));
}

#[test]
fn a_copy_stays_as_it_is_while_the_model_learns() {
    let mut model = Fixture::open("dsv3_group").model;
    let batch = packed(&[vec![1, 2, 3, 4]]);
    let logits = |model: &Transformer| model.forward(&batch, &[3]).unwrap().logits.to_vec2::<f32>().unwrap();
    let (before, copy) = (logits(&model), model.copy().unwrap());
    let gradients = mean_loss(&model, std::slice::from_ref(&batch), 1);
    AdamW::new(&model, AdamWSettings::default()).step(&model, &gradients, 1e-2, &pool(1)).unwrap();
    model.update_router_bias(&gradients.loads, 1.0);
    assert!(logits(&copy) == before && logits(&model) != before);
}

#[test]
fn a_packed_batch_gives_the_logits_of_a_padded_one() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let mask = fixture.sequences("padded_attention_mask");
        let padded = fixture.sequences("padded_input_ids");
        let kept: Vec<Vec<u32>> = padded
            .iter()
            .zip(&mask)
            .map(|(ids, mask)| ids.iter().zip(mask).filter(|(_, keep)| **keep == 1).map(|(id, _)| *id).collect())
            .collect();
        let batch = packed(&kept);
        let logits = fixture.model.forward(&batch, &all_rows(&batch)).unwrap().logits;
        let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
        let all = fixture.expected("padded_logits");
        let rows = all.chunks_exact(256).zip(mask.iter().flatten()).filter(|(_, keep)| **keep == 1);
        let expected: Vec<f32> = rows.flat_map(|(row, _)| row).copied().collect();
        let worst = worst(&logits, &expected);
        assert!(worst < 1e-4, "{name}: {worst}");
    }
}

#[test]
fn a_sequence_has_the_same_bits_alone_and_in_company() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let stream = regimen::base::rng::Stream::new(1, "ids");
        let long: Vec<u32> = (0..150).map(|at| stream.below(256, 0, at) as u32).collect();
        let company = packed(&[long.clone(), long[..70].to_vec(), long[..3].to_vec()]);
        let rows = all_rows(&company);
        let whole = fixture.model.forward(&company, &rows).unwrap().logits.to_vec2::<f32>().unwrap();
        for (length, start) in [(150, 0), (70, 150), (3, 220), (1, 0), (33, 0)] {
            let alone = packed(&[long[..length].to_vec()]);
            let found = fixture.model.forward(&alone, &all_rows(&alone)).unwrap().logits.to_vec2::<f32>().unwrap();
            assert!(found == whole[start..start + length], "{name}: {length} tokens");
        }
        let some = fixture.model.forward(&company, &[5, 100, 221]).unwrap().logits.to_vec2::<f32>().unwrap();
        assert!(some[0] == whole[5] && some[1] == whole[100] && some[2] == whole[221], "{name}");
    }
}

#[test]
fn gradients_have_the_same_bits_whatever_the_number_of_threads() {
    let fixture = Fixture::open("dsv3_group");
    let sequences = fixture.sequences("input_ids");
    let parts: Vec<Packed> = (2..9)
        .map(|length| packed(&[sequences[0][..length].to_vec(), sequences[1][..3 * length - 4].to_vec()]))
        .collect();
    let one = mean_loss(&fixture.model, &parts, 1);
    assert_eq!(one.losses.len(), 7);
    for threads in [2, 3, 8] {
        assert_eq!(mean_loss(&fixture.model, &parts, threads), one);
    }
}

#[test]
fn gradients_are_those_of_candle_without_the_sink() {
    for name in ["dsv3_group", "llama", "qwen2", "qwen3_moe"] {
        let fixture = Fixture::open(name);
        let batch = packed(&fixture.sequences("input_ids"));
        let (rows, targets) = next_tokens(&batch);
        let result = fixture.model.log_probs(&batch, &rows, &targets).unwrap();
        let store = (result.log_probs.sum_all().unwrap() * (-1.0 / rows.len() as f64)).unwrap().backward().unwrap();
        let found = mean_loss(&fixture.model, &[batch], 1);
        for ((variable, var), values) in fixture.model.variables().iter().zip(&found.tensors) {
            let expected = store.get(var.as_tensor()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            if variable == "model.embed_tokens.weight" && fixture.model.config().ties_embeddings() {
                // Of its two uses the second is added in place here, and as a whole there.
                let apart = norm(values.iter().zip(&expected).map(|(a, b)| a - b));
                assert!(apart < 1e-6 * norm(values.iter().copied()), "{variable}: {apart}");
                continue;
            }
            assert!(*values == expected, "{variable}");
        }
    }
}

#[test]
fn every_trainable_tensor_gets_a_gradient() {
    for name in FIXTURES {
        let config = Config::read(&Fixture::open(name).dir).unwrap();
        let model = Transformer::init(config, 3).unwrap();
        let batch = packed(&[(0..200).collect(), (0..56).rev().map(|id| id * 4).collect()]);
        let found = mean_loss(&model, &[batch], 1);
        for (tensor, values) in by_name(&model, &found) {
            assert!(norm(values.iter().copied()) > 0.0, "{name} {tensor}");
        }
    }
}

#[test]
fn a_tied_embedding_gets_the_gradients_of_both_its_uses() {
    let Config::Llama(config) = Config::read(&Fixture::open("llama").dir).unwrap() else { panic!() };
    let untied = Transformer::init(Config::Llama(config.clone()), 5).unwrap();
    let tied = regimen::model::LlamaConfig { tie_word_embeddings: true, ..config };
    let tied = Transformer::init(Config::Llama(tied), 5).unwrap();
    let embedding = untied.weight("model.embed_tokens.weight").unwrap();
    let head = untied.variables().last().unwrap();
    assert_eq!(head.0, "lm_head.weight");
    head.1.set(&Tensor::from_vec(embedding.values, embedding.shape, &Device::Cpu).unwrap()).unwrap();
    let batch = packed(&[(0..100).collect()]);
    let (both, one) = (mean_loss(&untied, std::slice::from_ref(&batch), 1), mean_loss(&tied, &[batch], 1));
    let sums = both.tensors[0].iter().zip(both.tensors.last().unwrap()).map(|(a, b)| a + b);
    let apart = norm(sums.zip(&one.tensors[0]).map(|(a, b)| a - b));
    assert!(both.losses == one.losses && apart < 1e-6, "{apart}");
}

#[test]
fn clipping_scales_to_the_norm_and_leaves_what_is_smaller() {
    let gradients = Gradients { tensors: vec![vec![3.0], vec![0.0, 4.0]], losses: vec![], loads: vec![] };
    let mut clipped = gradients.clone();
    assert_eq!((clipped.clip(1.0), clipped.tensors), (5.0, vec![vec![0.6], vec![0.0, 0.8]]));
    let mut kept = gradients.clone();
    assert_eq!((kept.clip(6.0), &kept), (5.0, &gradients));
}

#[test]
fn the_first_failing_part_gives_the_error() {
    let fixture = Fixture::open("dsv3_group");
    let parts: Vec<u32> = (0..6).collect();
    let result = gradients(&fixture.model, &pool(2), &parts, |part| match part {
        0 | 1 => {
            let batch = packed(&[vec![1, 2, 3]]);
            let result = fixture.model.log_probs(&batch, &[0], &[2])?;
            Ok(PartLoss { loss: result.log_probs.sum_all()?, loads: result.loads })
        }
        other => Err(ModelError::Batch(format!("part {other}"))),
    });
    assert_eq!(result.unwrap_err().to_string(), "part 2");
    let none = gradients(&fixture.model, &pool(2), &[] as &[u32], |_| unreachable!());
    assert_eq!(none.unwrap_err().to_string(), "expected at least one part, found none");
}

#[test]
fn batches_that_cannot_be_are_refused() {
    let model = Fixture::open("llama").model;
    let text = |packed: Packed, rows: &[u32], targets: &[u32]| {
        model.log_probs(&packed, rows, targets).err().unwrap().to_string()
    };
    let batch = packed(&[vec![1, 2, 3]]);
    let short = Packed { ids: vec![1, 2, 3], lengths: vec![2] };
    let messages = [
        text(batch.clone(), &[0, 1], &[1]),
        text(batch.clone(), &[0], &[256]),
        text(batch.clone(), &[3], &[1]),
        text(batch, &[], &[]),
        text(packed(&[vec![256]]), &[0], &[1]),
        text(short, &[0], &[1]),
    ];
    assert_eq!(
        messages,
        [
            "expected as many targets as rows, 2, found 1",
            "expected targets below the vocabulary's size 256, found 256",
            "expected rows below the batch's length 3, found 3",
            "expected at least one row, found none",
            "expected ids below the vocabulary's size 256, found 256",
            "expected lengths that sum to 3, the number of ids, found 2",
        ]
    );
}

#[test]
fn the_routers_bias_moves_towards_an_even_load() {
    let mut model = Fixture::open("dsv3_group").model;
    let before = model.router_biases().to_vec();
    model.update_router_bias(&[vec![9, 1, 5, 5, 5, 5, 5, 5], vec![0; 8]], 0.001);
    let moved: Vec<Vec<f32>> = model
        .router_biases()
        .iter()
        .zip(&before)
        .map(|(after, before)| after.iter().zip(before).map(|(a, b)| ((a - b) * 1e3).round()).collect())
        .collect();
    assert_eq!(moved, [vec![-1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], vec![0.0; 8]]);
}
