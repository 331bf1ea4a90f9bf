//! Weights in bf16: what files hold, what is read of them, and how far results lie from those of f32.

use std::path::Path;

use regimen::base::precision::Precision;
use regimen::model::{Packed, Prompt, Sampler, Sampling, Transformer};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::harness::Test;
use crate::model::{FIXTURES, Fixture, all_rows, norm, packed, pool};

fn load(name: &str) -> Transformer {
    Fixture::open(name).model
}

/// The numbers of every variable.
fn weights(model: &Transformer) -> Vec<Vec<f32>> {
    let values = |(_, var): &(String, candle_core::Var)| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    model.variables().iter().map(values).collect()
}

#[test]
fn a_file_in_bf16_holds_the_nearest_and_is_read_exactly() {
    for name in FIXTURES {
        let model = load(name);
        let dir = tempfile::tempdir().unwrap();
        model.save_in(dir.path(), Precision::BF16).unwrap();
        let bytes = std::fs::read(dir.path().join("model.safetensors")).unwrap();
        for (tensor, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            // The choice of experts is not to move.
            let expected = if tensor.ends_with("e_score_correction_bias") { Dtype::F32 } else { Dtype::BF16 };
            assert_eq!(view.dtype(), expected, "{name}: {tensor}");
        }
        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(dir.path().join("config.json")).unwrap()).unwrap();
        assert_eq!(config["torch_dtype"], "bfloat16", "{name}");
        let read = Transformer::load(dir.path()).unwrap();
        assert_eq!(read.router_biases(), model.router_biases(), "{name}");
        for (read, kept) in weights(&read).iter().flatten().zip(weights(&model).iter().flatten()) {
            assert_eq!(*read, half::bf16::from_f32(*kept).to_f32());
            assert!((read - kept).abs() <= kept.abs() / 256.0);
        }
        // What was read once is written as it was.
        let again = tempfile::tempdir().unwrap();
        read.save_in(again.path(), Precision::BF16).unwrap();
        assert!(std::fs::read(again.path().join("model.safetensors")).unwrap() == bytes, "{name}");
        let mut rounded = load(name);
        rounded.round(Precision::BF16).unwrap();
        assert_eq!(weights(&rounded), weights(&read), "{name}");
    }
}

/// The norm of what lies between two lists of numbers, over the norm of the second.
fn apart(found: &[f32], expected: &[f32]) -> f64 {
    norm(found.iter().zip(expected).map(|(a, b)| a - b)) / norm(expected.iter().copied())
}

/// Rounding moves each weight by 2^-8 of itself at most; how far that moves what
/// comes out was measured on these models, and is held here.
#[test]
fn logits_of_weights_in_bf16_lie_within_a_bound_of_those_in_f32() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let batch = packed(&fixture.sequences("input_ids"));
        let logits = |model: &Transformer| -> Vec<f32> {
            let logits = model.forward(&batch, &all_rows(&batch)).unwrap().logits;
            logits.flatten_all().unwrap().to_vec1().unwrap()
        };
        let mut model = load(name);
        let whole = logits(&model);
        model.round(Precision::BF16).unwrap();
        let (rounded, width) = (logits(&model), model.config().vocab_size());
        let rows = rounded.chunks_exact(width).zip(whole.chunks_exact(width));
        let mut rows: Vec<f64> = rows.map(|(found, expected)| apart(found, expected)).collect();
        rows.sort_by(f64::total_cmp);
        let (median, most) = (rows[rows.len() / 2], rows[rows.len() - 1]);
        assert!(median > 1e-4 && median < 0.03, "{name}: {median}");
        // A token that goes to another expert is another matter.
        assert!(most < if model.config().is_sparse(1) { 1.0 } else { 0.05 }, "{name}: {most}");
    }
}

/// The sampler holds them in half the room, and computes what training computes, to the last bit.
#[test]
fn the_trainer_is_the_sampler_in_bf16() {
    for name in FIXTURES {
        let mut model = load(name);
        model.round(Precision::BF16).unwrap();
        let prompts = [Prompt { ids: vec![5, 6, 7, 8], row: 3, copies: 5 }, Prompt { ids: vec![9], row: 9, copies: 1 }];
        let settings = Sampling { max_new: 30, seed: 4, ..Sampling::default() };
        let found = Sampler::new(&model).unwrap().generate(&pool(2), &prompts, &settings).unwrap();
        for completion in &found {
            let prompt = &prompts[usize::from(completion.row == 9)].ids;
            let whole = [prompt.as_slice(), &completion.ids].concat();
            let rows: Vec<u32> = (0..completion.ids.len()).map(|at| (prompt.len() - 1 + at) as u32).collect();
            let trained = model.log_probs(&Packed::new([whole.as_slice()]), &rows, &completion.ids).unwrap();
            assert_eq!(completion.log_probs, trained.log_probs.to_vec1::<f32>().unwrap(), "{name}");
        }
    }
}

/// The bytes of the weights of a step's artifact.
fn size(test: &Test, address: &str) -> u64 {
    let shown = test.done(&format!("show {address}")).stdout;
    let path = shown.lines().find_map(|line| line.trim().strip_prefix("path")).unwrap().trim();
    std::fs::metadata(test.path("").join(Path::new(path)).join("model.safetensors")).unwrap().len()
}

#[test]
fn a_recipe_keeps_a_model_in_half_the_bytes() {
    let recipe = r#"
facts = problems(rows = 20 rows, terms_min = 2, terms_max = 2)
text  = documents(facts)
raw   = init(tokenizer(text, vocab = 265), hidden = 32, layers = 2, heads = 2, experts = 4, kv_rank = 8)
small = cast(raw)
large = cast(small, dtype = "f32")
same  = cast(large)
told  = sample(small, facts, max_length = 8 tokens)
again = sample(large, facts, max_length = 8 tokens)
output told, again, same
"#;
    let test = Test::new().file("a.rgm", recipe);
    let made = test.done("run a.rgm --json").artifacts();
    let digest = |address: &str| &made.iter().find(|(it, _)| it == address).unwrap().1;
    assert_eq!(digest("small"), digest("same"), "f32 holds what bf16 held");
    let rows = |address: &str| {
        let shown = test.done(&format!("show {address}")).stdout;
        let path = shown.lines().find_map(|line| line.trim().strip_prefix("path")).unwrap().trim().to_owned();
        let text = std::fs::read_to_string(test.path("").join(path).join("rows.jsonl")).unwrap();
        let rows = text.lines().map(|it| serde_json::from_str::<Value>(it).unwrap()["completion"].clone());
        rows.collect::<Vec<_>>()
    };
    assert_eq!(rows("told"), rows("again"));
    let (small, raw) = (size(&test, "small"), size(&test, "raw"));
    assert!(small * 100 < raw * 56, "{small} of {raw} bytes: half, and a header");
}
