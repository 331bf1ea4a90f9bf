//! The model commands against the reference: logits, greedy completions, and the shape of a measurement.

use std::path::{Path, PathBuf};

use regimen::base::{device::Device, precision};
use regimen::model::bench::{BenchSettings, Mode, bench};
use regimen::model::{Sampling, commands};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

const MODELS: [&str; 6] = ["dsv3_group", "dsv3_noqlora", "dsv3_yarn", "llama", "qwen2", "qwen3_moe"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap()
}

/// One of the lists of `input_ids.json`.
fn ids(name: &str, field: &str) -> Vec<Vec<i64>> {
    let text = std::fs::read_to_string(fixture(name).join("input_ids.json")).unwrap();
    let ids: serde_json::Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(ids[field].clone()).unwrap()
}

fn write_ids(file: &Path, kind: Dtype, rows: &[Vec<i64>]) {
    let bytes: Vec<u8> = match kind {
        Dtype::I64 => rows.iter().flatten().flat_map(|id| id.to_le_bytes()).collect(),
        _ => rows.iter().flatten().flat_map(|id| (*id as u32).to_le_bytes()).collect(),
    };
    let view = TensorView::new(kind, vec![rows.len(), rows[0].len()], &bytes).unwrap();
    std::fs::write(file, safetensors::serialize([("input_ids", view)], None).unwrap()).unwrap();
}

/// The shape and numbers of a tensor in a file.
fn floats(file: &Path, name: &str) -> (Vec<usize>, Vec<f32>) {
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32);
    let (numbers, _) = tensor.data().as_chunks();
    (tensor.shape().to_vec(), numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn longs(file: &Path, name: &str) -> (Vec<usize>, Vec<i64>) {
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::I64);
    let (numbers, _) = tensor.data().as_chunks();
    (tensor.shape().to_vec(), numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
}

/// A folder as it is, on the usual device.
fn source(dir: &Path) -> commands::Source<'_> {
    commands::Source { dir, device: Device::Cpu, dtype: precision::Dtype::F32 }
}

fn greedy(max_new: usize) -> Sampling {
    Sampling { temperature: 0.0, max_new, ..Sampling::default() }
}

#[test]
fn logits_are_those_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("ids.safetensors"), folder.path().join("logits.safetensors"));
    for name in MODELS {
        for kind in [Dtype::I64, Dtype::U32] {
            write_ids(&input, kind, &ids(name, "input_ids"));
            commands::logits(source(&fixture(name)), &input, &output, &pool()).unwrap();
            let (shape, found) = floats(&output, "logits");
            let (expected_shape, expected) = floats(&fixture(name).join("expected.safetensors"), "logits");
            assert_eq!(shape, expected_shape);
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}: {worst:e}");
        }
    }
}

#[test]
fn completions_are_those_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("ids.safetensors"), folder.path().join("out.safetensors"));
    for name in MODELS {
        let (prompt, expected) = (ids(name, "prompt"), ids(name, "greedy_ids"));
        write_ids(&input, Dtype::I64, &[prompt[0].clone(), prompt[0].clone()]);
        let settings = greedy(expected[0].len() - prompt[0].len());
        commands::generate(source(&fixture(name)), &input, &output, &settings, &pool()).unwrap();
        let found = longs(&output, "ids");
        assert_eq!(found, (vec![2, expected[0].len()], [expected[0].clone(), expected[0].clone()].concat()), "{name}");
        let (shape, log_probs) = floats(&output, "log_probs");
        assert_eq!(shape, [2, settings.max_new]);
        assert!(log_probs.iter().all(|it| *it < 0.0));
    }
}

/// The first new token of `dsv3_group` is 46: with 46 as the end of texts, the rest of the row is filled with it.
#[test]
fn a_row_that_ends_early_is_filled_up() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("ids.safetensors"), folder.path().join("out.safetensors"));
    let prompt = ids("dsv3_group", "prompt");
    write_ids(&input, Dtype::U32, &prompt);
    let settings = Sampling { stop: vec![46], ..greedy(4) };
    commands::generate(source(&fixture("dsv3_group")), &input, &output, &settings, &pool()).unwrap();
    assert_eq!(longs(&output, "ids"), (vec![1, 11], [prompt[0].as_slice(), &[46; 4]].concat()));
    assert_eq!(floats(&output, "log_probs").1[1..], [0.0; 3]);
}

#[test]
fn ids_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("ids.safetensors"), folder.path().join("out.safetensors"));
    let refusal = |rows: &[Vec<i64>]| {
        write_ids(&input, Dtype::I64, rows);
        let error = commands::generate(source(&fixture("llama")), &input, &output, &greedy(1), &pool()).unwrap_err();
        error.to_string().replace(&folder.path().display().to_string(), "FOLDER")
    };
    assert_eq!(refusal(&[vec![3, 256]]), "expected ids below the vocabulary's size 256, found 256");
    let expected = "`FOLDER/ids.safetensors`: tensor `input_ids`: expected ids from 0 to 4294967295";
    assert_eq!(refusal(&[vec![3, -1]]), expected);
    let expected = "`FOLDER/ids.safetensors`: tensor `input_ids`: expected at least one id, found none";
    assert_eq!(refusal(&[vec![]]), expected);
}

#[test]
fn a_measurement_names_what_it_measured() {
    let settings = BenchSettings {
        mode: Mode::Train,
        batch: 3,
        length: 8,
        new: 4,
        repeats: 3,
        recompute: false,
        device: Device::Cpu,
        dtype: precision::Dtype::F32,
    };
    for mode in [Mode::Train, Mode::Generate] {
        let report = bench(&fixture("dsv3_group"), &BenchSettings { mode, ..settings }, &pool()).unwrap();
        let rates = report.tokens_per_second;
        assert!(0.0 < rates.min && rates.min <= rates.median && rates.median <= rates.max);
        let value = serde_json::to_value(&report).unwrap();
        let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
        let expected = "tokens_per_second peak_rss_mb mode batch length new threads repeats parameters recompute device dtype idle_rss_mb log_prob_difference";
        assert_eq!(fields, expected.split(' ').collect::<Vec<_>>());
        assert_eq!(report.log_prob_difference, (mode == Mode::Generate).then_some(0.0));
        assert_eq!((value["batch"].as_u64(), value["threads"].as_u64()), (Some(3), Some(2)));
    }
    let fresh =
        bench(&fixture("llama").join("config.json"), &BenchSettings { mode: Mode::Generate, ..settings }, &pool());
    assert!(fresh.unwrap().parameters > 100_000, "a configuration alone gets random weights");
    let short = bench(&fixture("llama"), &BenchSettings { length: 1, ..settings }, &pool()).unwrap_err();
    assert_eq!(short.to_string(), "expected sequences of at least 2 tokens to train on, found 1");
    for mode in [Mode::Train, Mode::Generate] {
        let plain = BenchSettings { mode, device: Device::Plain, repeats: 1, ..settings };
        let report = bench(&fixture("llama"), &plain, &pool()).unwrap();
        assert!(report.tokens_per_second.min > 0.0 && report.device == "plain");
        assert!(report.log_prob_difference.is_none_or(|it| it < 1e-5));
    }
    // Weights in bf16 are sampled from and trained on alike: the kernels see the same numbers.
    let bf16 = precision::Dtype::Bf16;
    let half = BenchSettings { mode: Mode::Generate, dtype: bf16, ..settings };
    let report = bench(&fixture("dsv3_group"), &half, &pool()).unwrap();
    assert_eq!((report.log_prob_difference, report.dtype), (Some(0.0), bf16));
    let error = bench(&fixture("llama"), &BenchSettings { mode: Mode::Train, ..half }, &pool()).unwrap_err();
    assert_eq!(error.to_string(), "weights are trained in `f32`, found `bf16`");
    let again = BenchSettings { device: Device::Plain, recompute: true, ..settings };
    let error = bench(&fixture("llama"), &again, &pool()).unwrap_err().to_string();
    assert_eq!(error, "activations are computed again on the device `cpu` only, found `plain`");
}
