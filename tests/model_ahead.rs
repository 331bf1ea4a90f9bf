//! Layers that look ahead: their log-probabilities by sums in f64 around a layer that transformers has checked, the slopes
//! of their loss, and the names they have on the hub.

use std::collections::BTreeMap;
use std::path::Path;

use regimen::model::{Config, Packed, PartLoss, Sampler, Transformer, gradients};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

const WIDTH: usize = 64;

fn config(ahead: usize) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dsv3_group/config.json");
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    value["num_nextn_predict_layers"] = json!(ahead);
    value["initializer_range"] = json!(0.15);
    value
}

fn model(ahead: usize) -> Transformer {
    let mut model = Transformer::init(Config::from_json(&config(ahead)).unwrap(), 5).unwrap();
    // Biases that differ, so that the choice of experts depends on whose they are.
    let loads: Vec<Vec<u64>> =
        (0..model.router_biases().len() as u64).map(|at| (0..8).map(|it| (it * 5 + at) % 8).collect()).collect();
    model.update_router_bias(&loads, 0.05);
    model
}

/// Tensors written as a model folder and read again.
fn load(config: &Value, tensors: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Result<Transformer, String> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let bytes: BTreeMap<&String, Vec<u8>> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().flat_map(|it| it.to_le_bytes()).collect()))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| (name, TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap()));
    safetensors::serialize_to_file(views, None, &dir.path().join("model.safetensors")).unwrap();
    Transformer::load(dir.path()).map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
}

fn saved(model: &Transformer) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let decode = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|it| f32::from_le_bytes(*it)).collect();
    tensors.tensors().into_iter().map(|(name, view)| (name, (view.shape().to_vec(), decode(view.data())))).collect()
}

/// A row normed and scaled, in f64.
fn norm(row: &[f64], weight: &[f32]) -> Vec<f64> {
    let mean = row.iter().map(|it| it * it).sum::<f64>() / row.len() as f64;
    row.iter().zip(weight).map(|(it, weight)| it / (mean + 1e-6).sqrt() * f64::from(*weight)).collect()
}

/// A matrix times a row, in f64.
fn product(matrix: &[f32], row: &[f64]) -> Vec<f64> {
    matrix
        .chunks_exact(row.len())
        .map(|weights| weights.iter().zip(row).map(|(a, b)| f64::from(*a) * b).sum())
        .collect()
}

fn rows_of(tensor: &candle_core::Tensor) -> Vec<Vec<f64>> {
    tensor.to_dtype(candle_core::DType::F64).unwrap().to_vec2().unwrap()
}

/// What a layer of the model makes of given rows: it stands first in a model of two layers whose embedding holds the rows.
fn through_layer(model: &Transformer, layer: usize, rows: &[Vec<f64>], lengths: &[usize]) -> Vec<Vec<f64>> {
    let mut value = config(0);
    value["num_hidden_layers"] = json!(2);
    value["first_k_dense_replace"] = json!(0);
    let mut tensors = BTreeMap::new();
    let own = format!("model.layers.{layer}.");
    for (name, tensor) in saved(model) {
        match name.strip_prefix(&own) {
            Some(rest)
                if ["input_layernorm", "post_attention", "self_attn", "mlp"].iter().any(|it| rest.starts_with(it)) =>
            {
                tensors.insert(format!("model.layers.0.{rest}"), tensor.clone());
                tensors.insert(format!("model.layers.1.{rest}"), tensor);
            }
            _ if ["model.norm.weight", "lm_head.weight"].contains(&name.as_str()) => {
                tensors.insert(name, tensor);
            }
            _ => {}
        }
    }
    let mut table = vec![0.0; 256 * WIDTH];
    table.iter_mut().zip(rows.iter().flatten()).for_each(|(place, value)| *place = *value as f32);
    tensors.insert("model.embed_tokens.weight".to_owned(), (vec![256, WIDTH], table));
    let batch = Packed { ids: (0..rows.len() as u32).collect(), lengths: lengths.to_vec() };
    rows_of(&load(&value, &tensors).unwrap().trace(&batch).unwrap().hidden[1])
}

#[test]
fn log_probs_ahead_are_those_of_the_equations() {
    let model = model(2);
    let sequences: [&[u32]; 4] = [&[5, 9, 200, 31, 7, 77, 140], &[3], &[8, 250], &[90, 91, 17, 18, 19]];
    let packed = Packed::new(sequences);
    // What each row should predict: the next token, and at the end of a sequence a token that is not in the batch.
    let targets: Vec<u32> = sequences.iter().flat_map(|ids| ids[1..].iter().copied().chain([111])).collect();
    let rows: Vec<u32> = (0..packed.ids.len() as u32).collect();
    let found = model.log_probs_ahead(&packed, &rows, &targets).unwrap();
    let plain = model.log_probs(&packed, &rows, &targets).unwrap();
    assert_eq!(found.next.log_probs.to_vec1::<f32>().unwrap(), plain.log_probs.to_vec1::<f32>().unwrap());
    assert_eq!(found.next.loads.len(), 4);
    assert_eq!(found.next.loads[..2], plain.loads);
    assert_eq!(found.next.loads.iter().map(|it| it.iter().sum::<u64>()).collect::<Vec<_>>(), [30, 30, 22, 16]);

    let weight = |name: &str| model.weight(name).unwrap().values;
    let (embedding, head) = (weight("model.embed_tokens.weight"), weight("lm_head.weight"));
    let mut known = rows_of(model.trace(&packed).unwrap().hidden.last().unwrap());
    let mut lengths: Vec<usize> = packed.lengths.clone();
    let starts: Vec<usize> = vec![0, 7, 8, 10];
    for depth in 1..=2 {
        let prefix = format!("model.layers.{}.", 2 + depth);
        let named = |name: &str| weight(&format!("{prefix}{name}.weight"));
        let (mut merged, mut wanted, mut place) = (Vec::new(), Vec::new(), 0);
        for (start, length) in starts.iter().zip(&mut lengths) {
            for at in 0..length.saturating_sub(1) {
                let token = packed.ids[start + at + depth] as usize;
                let embedded: Vec<f64> = embedding[token * WIDTH..][..WIDTH].iter().map(|it| f64::from(*it)).collect();
                let both = [norm(&embedded, &named("enorm")), norm(&known[place + at], &named("hnorm"))].concat();
                merged.push(product(&named("eh_proj"), &both));
                wanted.push(targets[start + at + depth] as usize);
            }
            place += *length;
            *length = length.saturating_sub(1);
        }
        let kept: Vec<usize> = lengths.iter().copied().filter(|length| *length > 0).collect();
        known = through_layer(&model, 2 + depth, &merged, &kept);
        let mut expected = Vec::new();
        for (row, target) in known.iter().zip(wanted) {
            let logits = product(&head, &norm(row, &named("shared_head.norm")));
            let sum: f64 = logits.iter().map(|it| it.exp()).sum();
            expected.push(logits[target] - sum.ln());
        }
        let found: Vec<f32> = found.farther[depth - 1].as_ref().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), [11, 8][depth - 1]);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "depth {depth}: {found} {expected}");
        }
    }
}

#[test]
fn only_targets_that_are_learnt_are_predicted_ahead() {
    let model = model(1);
    let packed = Packed::new([&[5, 9, 200, 31][..], &[3, 4]]);
    let all = model.log_probs_ahead(&packed, &[0, 1, 2, 3, 4, 5], &[9, 200, 31, 6, 4, 7]).unwrap();
    let some = model.log_probs_ahead(&packed, &[2, 4, 5], &[31, 4, 7]).unwrap();
    let numbers = |tensor: &Option<candle_core::Tensor>| tensor.as_ref().unwrap().to_vec1::<f32>().unwrap();
    let (all, some) = (numbers(&all.farther[0]), numbers(&some.farther[0]));
    // Rows 1, 2, 3 and 5 of the first list are predicted one place before; of the second list rows 2 and 5.
    assert_eq!((all.len(), some), (4, vec![all[1], all[3]]));
    let none = model.log_probs_ahead(&Packed::new([&[5][..], &[6]]), &[0, 1], &[1, 2]).unwrap();
    assert!(none.farther[0].is_none() && none.next.loads[2] == [0; 8]);
}

#[test]
fn the_loss_has_the_slopes_of_its_gradients() {
    // Every token goes to both experts: where a step changes a choice, a loss has no slope.
    let mut value = config(2);
    for (field, number) in [("n_routed_experts", 2), ("num_experts_per_tok", 2), ("n_group", 1), ("topk_group", 1)] {
        value[field] = json!(number);
    }
    let model = Transformer::init(Config::from_json(&value).unwrap(), 5).unwrap();
    let packed = Packed::new([&(0..40).map(|at| at * 37 % 256).collect::<Vec<u32>>()[..]]);
    let (rows, targets): (Vec<u32>, Vec<u32>) = ((0..39).collect(), packed.ids[1..].to_vec());
    let loss = || model.log_probs_ahead(&packed, &rows, &targets).unwrap().loss(39, 0.7).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let found = gradients(&model, &pool, &[()], |()| Ok(PartLoss { loss: loss(), loads: Vec::new() })).unwrap();
    for ((name, var), gradient) in model.variables().iter().zip(&found.tensors) {
        if !["model.embed", "lm_head", "model.norm", "model.layers.2.", "model.layers.3.", "model.layers.4."]
            .iter()
            .any(|it| name.starts_with(it))
        {
            continue;
        }
        let size = gradient.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
        let before: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
        let along = |step: f64| {
            let moved = before
                .iter()
                .zip(gradient)
                .map(|(value, it)| (f64::from(*value) + step * f64::from(*it) / size) as f32);
            var.set(&candle_core::Tensor::from_iter(moved, var.device()).unwrap().reshape(var.shape()).unwrap())
                .unwrap();
            f64::from(loss().to_scalar::<f32>().unwrap())
        };
        let step = 5e-3 / size.max(0.1);
        let slope = (along(step) - along(-step)) / (2.0 * step);
        along(0.0);
        assert!((slope - size).abs() < 2e-2 * size, "{name}: slope {slope}, gradient {size}");
    }
}

#[test]
fn the_layers_go_by_the_hubs_names_and_come_back() {
    let model = model(2);
    let tensors = saved(&model);
    let names: Vec<&str> = tensors
        .keys()
        .filter_map(|name| name.strip_prefix("model.layers.3."))
        .filter(|name| !name.starts_with("mlp.experts"))
        .collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    eh_proj.weight
    embed_tokens.weight
    enorm.weight
    hnorm.weight
    input_layernorm.weight
    mlp.gate.e_score_correction_bias
    mlp.gate.weight
    mlp.shared_experts.down_proj.weight
    mlp.shared_experts.gate_proj.weight
    mlp.shared_experts.up_proj.weight
    post_attention_layernorm.weight
    self_attn.kv_a_layernorm.weight
    self_attn.kv_a_proj_with_mqa.weight
    self_attn.kv_b_proj.weight
    self_attn.o_proj.weight
    self_attn.q_a_layernorm.weight
    self_attn.q_a_proj.weight
    self_attn.q_b_proj.weight
    shared_head.head.weight
    shared_head.norm.weight
    ");
    assert_eq!(tensors["model.layers.4.shared_head.head.weight"], tensors["lm_head.weight"]);
    let back = load(&config(2), &tensors).unwrap();
    assert!(saved(&back) == tensors);
    assert_eq!(
        back.weight("model.layers.3.embed_tokens.weight").unwrap(),
        back.weight("model.embed_tokens.weight").unwrap()
    );

    // Copies may be left out, but not differ; without the field the layers do not belong to the model.
    let mut fewer = tensors.clone();
    fewer.retain(|name, _| {
        let copy = ["embed_tokens.weight", "shared_head.head.weight"].iter().any(|it| name.ends_with(it));
        !copy || name == "model.embed_tokens.weight"
    });
    assert!(saved(&load(&config(2), &fewer).unwrap()) == tensors);
    let mut other = tensors.clone();
    other.get_mut("model.layers.4.shared_head.head.weight").unwrap().1[7] += 1.0;
    let refusals = [load(&config(2), &other), load(&config(1), &tensors)].map(|it| it.err().unwrap());
    insta::assert_snapshot!(refusals.join("\n"), @r"
    `DIR`: tensor `model.layers.4.shared_head.head.weight`: expected the numbers of `lm_head.weight`, found others
    `DIR/model.safetensors`: tensor `model.layers.4.eh_proj.weight`: is not part of this model
    ");
}

#[test]
fn the_layers_change_no_completion() {
    let (with, without) = (
        model(1),
        load(
            &config(0),
            &saved(&model(1)).into_iter().filter(|(name, _)| !name.starts_with("model.layers.3.")).collect(),
        )
        .unwrap(),
    );
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let prompts = [regimen::model::Prompt { ids: vec![4, 5, 6], row: 0, copies: 3 }];
    let sampling = regimen::model::Sampling { max_new: 12, seed: 3, ..Default::default() };
    let generate = |model: &Transformer| Sampler::new(model).unwrap().generate(&pool, &prompts, &sampling).unwrap();
    assert_eq!(generate(&with), generate(&without));
}
