//! Merging by itself: mergekit's numbers, what random masks keep, and mistakes with their places.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use regimen::{
    base::digest::Digest,
    merge::{Experts, Extra, Job, MergeError, Options},
    model::{Config, Transformer},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Test;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/merge")
}

fn model(name: &str) -> PathBuf {
    fixtures().join("models").join(name)
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn read(file: &Path) -> Tensors {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: &TensorView| match view.dtype() {
        Dtype::F32 => view.data().as_chunks::<4>().0.iter().map(|it| f32::from_le_bytes(*it)).collect(),
        Dtype::BF16 => view
            .data()
            .as_chunks::<2>()
            .0
            .iter()
            .map(|it| f32::from_bits(u32::from(u16::from_le_bytes(*it)) << 16))
            .collect(),
        other => panic!("{other:?}"),
    };
    let all = tensors.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), numbers(&view))));
    all.collect()
}

fn write(folder: &Path, tensors: &Tensors) {
    let bytes: BTreeMap<&String, Vec<u8>> =
        tensors.iter().map(|(name, (_, it))| (name, it.iter().flat_map(|it| it.to_le_bytes()).collect())).collect();
    let views = tensors
        .iter()
        .map(|(name, (shape, _))| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), &bytes[name]).unwrap()));
    safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
}

/// A model of the fixtures under another name, with changed weights.
fn variant(folder: &Path, of: &str, change: impl FnOnce(&mut Tensors)) {
    fs::create_dir_all(folder).unwrap();
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(model(of).join(name), folder.join(name)).unwrap();
    }
    let mut tensors = read(&model(of).join("model.safetensors"));
    change(&mut tensors);
    write(folder, &tensors);
}

fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    change(&mut json);
    fs::write(file, json.to_string()).unwrap();
}

/// Merges as a text says; models are those beside it, else those of the fixtures.
fn merge(folder: &Path, yaml: &str, out: &str, options: Options) -> Result<PathBuf, MergeError> {
    let (config, out) = (folder.join("merge.yaml"), folder.join(out));
    fs::write(&config, yaml).unwrap();
    let place = |name: &str| Some(folder.join(name)).filter(|it| it.is_dir()).unwrap_or(model(name));
    let job = Job::prepare(&config, place, options)?;
    fs::create_dir_all(&out).unwrap();
    job.write(&out, &|_, _| true)?;
    Ok(out)
}

fn merged(folder: &Path, yaml: &str, options: Options) -> Tensors {
    read(&merge(folder, yaml, "out", options).unwrap().join("model.safetensors"))
}

#[test]
fn every_method_makes_what_mergekit_makes() {
    let tolerances: BTreeMap<String, f32> =
        serde_json::from_str(&fs::read_to_string(fixtures().join("tolerances.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, tolerance) in &tolerances {
        let case = fixtures().join(name);
        let folder = tempfile::tempdir().unwrap();
        let job = Job::prepare(&case.join("merge.yaml"), model, Options::default()).unwrap();
        job.write(folder.path(), &|_, _| true).unwrap();
        let found = read(&folder.path().join("model.safetensors"));
        let ambiguous: BTreeMap<String, Vec<usize>> = fs::read_to_string(case.join("ambiguous.json"))
            .map(|text| serde_json::from_str(&text).unwrap())
            .unwrap_or_default();
        for (tensor, (shape, expected)) in read(&case.join("expected.safetensors")) {
            if name == "moe_mixtral_random" && tensor.ends_with("mlp.gate.weight") {
                continue;
            }
            let (found_shape, values) = &found[&tensor];
            assert_eq!(*found_shape, shape, "{name}: {tensor}");
            let skipped = ambiguous.get(&tensor).cloned().unwrap_or_default();
            // The wider tolerances are for one tensor, in which two models are antipodal.
            let special = tensor == "model.layers.1.post_attention_layernorm.weight";
            let allowed = if special { *tolerance } else { 1e-6 };
            let largest = expected.iter().fold(1.0, |most: f32, it| most.max(it.abs()));
            let differences = values.iter().zip(&expected).enumerate().filter(|(at, _)| !skipped.contains(at));
            let worst = differences.map(|(_, (a, b))| (a - b).abs()).fold(0.0, f32::max);
            if worst > allowed * largest {
                wrong.push(format!("{name}: {tensor} differs by {worst}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(tolerances.len(), 37);
}

const DARE: &str = "merge_method: dare_ties\nbase_model: base\nmodels:\n\
                    - {model: a, parameters: {weight: 1.0, density: 0.3}}\n- {model: b, parameters: {weight: 0.5, density: 0.6}}\n";

#[test]
fn the_same_seed_drops_the_same_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let digest = |seed, threads: usize, method: &str| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let yaml = DARE.replace("dare_ties", method);
        let options = Options { seed, ..Options::default() };
        let out = pool.install(|| merge(folder.path(), &yaml, "out", options)).unwrap();
        Digest::of(&fs::read(out.join("model.safetensors")).unwrap())
    };
    for method in ["dare_linear", "dare_ties", "della", "della_linear"] {
        assert_eq!(digest(7, 1, method), digest(7, 3, method));
        assert_ne!(digest(7, 1, method), digest(8, 1, method));
    }
}

#[test]
fn dare_keeps_its_share_and_the_size_of_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = "merge_method: dare_linear\nbase_model: base\nmodels:\n- {model: a, parameters: {weight: 1.0, density: 0.25}}\n";
    let (base, a) = (read(&model("base").join("model.safetensors")), read(&model("a").join("model.safetensors")));
    let (mut changed, mut kept, mut mean) = (0, 0, 0.0);
    for seed in 0..8 {
        let out = merged(folder.path(), yaml, Options { seed, ..Options::default() });
        for (name, (_, base)) in &base {
            let difference = |it: &Tensors| -> Vec<f32> { it[name].1.iter().zip(base).map(|(a, b)| a - b).collect() };
            let (whole, thin) = (difference(&a), difference(&out));
            changed += whole.iter().filter(|it| **it != 0.0).count();
            kept += thin.iter().filter(|it| **it != 0.0).count();
            let size = |it: &[f32]| it.iter().map(|it| f64::from(it.abs())).sum::<f64>();
            // Adding to the base rounds each number.
            assert!((size(&thin) - size(&whole)).abs() <= 1e-4 * size(&whole) + 1e-6, "{name}");
            mean += thin.iter().zip(&whole).map(|(a, b)| f64::from(a - b)).sum::<f64>();
        }
    }
    let share = f64::from(kept as u32) / f64::from(changed as u32);
    assert!((share - 0.25).abs() < 0.01, "{share}");
    assert!((mean / f64::from(changed as u32)).abs() < 3e-4, "what is kept leans to one side");
}

/// What is wrong with a configuration, without the folder's name.
fn mistake(yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = merge(folder.path(), yaml, "out", Options::default()).unwrap_err();
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{error}{hint}")
        .replace(&format!("{}/", folder.path().display()), "")
        .replace(&format!("{}/", fixtures().join("models").display()), "")
}

#[test]
fn mistakes_in_a_configuration_are_found_at_their_places() {
    let ties = "merge_method: ties\nbase_model: base\nmodels:\n  - model: a\n    parameters:\n      weight: 1\n";
    for (yaml, expected) in [
        (ties.replace("ties", "tiess"), "merge.yaml:1:15: unknown method `tiess` (did you mean `ties`?)"),
        (
            ties.replace("base_model: base\n", ""),
            "merge.yaml:1:15: `ties` needs a base model (name it as `base_model: ..`)",
        ),
        (
            ties.replace("    parameters:\n      weight: 1\n", ""),
            "merge.yaml:4:5: `ties` needs `weight`, which is not given (write `parameters: {weight: ..}` here, or below \
             for all models)",
        ),
        (
            ties.replace("weight: 1", "weight: 1\n      densty: 0.5"),
            "merge.yaml:7:15: `ties` has no parameter `densty` (did you mean `density`?)",
        ),
        (ties.replace("weight: 1", "weight: heavy"), "merge.yaml:6:15: `weight`: expected a number, found `heavy`"),
        (ties.replace("weight: 1", "weight: []"), "merge.yaml:6:15: `weight` is an empty list"),
        (
            ties.replace("weight: 1", "weight: [{filter: mlp, value: 1}]"),
            "merge.yaml:4:5: no filter of `weight` fits the tensor `lm_head.weight` (add an entry without a `filter` at \
             the end)",
        ),
        (
            ties.replace("model: a", "modle: a"),
            "merge.yaml:4:5: models[0]: unknown field `modle`, expected `model` or `parameters`",
        ),
        (
            format!("{ties}dtype: float8\n"),
            "merge.yaml:7:8: expected float32, float16, bfloat16 or float64, found `float8`",
        ),
        (
            ties.replace("model: a", "model: nowhere"),
            "there is no folder `nowhere` (models are read from this machine, as folders with `config.json` and \
             safetensors; nothing is downloaded)",
        ),
        (
            "merge_method: slerp\nbase_model: base\nmodels: [{model: a}, {model: b}]\nparameters: {t: 0.5}\n"
                .to_owned(),
            "merge.yaml:3:9: `slerp` takes one model beside the base, found 2",
        ),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 4]}]\n".to_owned(),
            "merge.yaml:3:37: `a` has 3 layers, found a range up to 4",
        ),
        (
            "merge_method: passthrough\nslices:\n- sources: [{model: a, layer_range: [0, 1, 2]}]\n".to_owned(),
            "merge.yaml:3:37: expected the first layer and the one after the last, found 3 numbers",
        ),
        ("merge_method: linear\nmodels: {\n".to_owned(), "merge.yaml:2:9: models: expected a sequence, found map"),
    ] {
        assert_eq!(mistake(&yaml), expected, "{yaml}");
    }
}

/// An error of two models that do not fit, with the second changed.
fn misfit(change: impl FnOnce(&mut Tensors)) -> String {
    let folder = tempfile::tempdir().unwrap();
    variant(&folder.path().join("odd"), "a", change);
    let yaml = "merge_method: linear\nmodels:\n- {model: base, parameters: {weight: 1}}\n- {model: odd, parameters: {weight: 1}}\n";
    let error = merge(folder.path(), yaml, "out", Options::default()).unwrap_err().to_string();
    error
        .replace(&format!("{}/", folder.path().display()), "")
        .replace(&format!("{}/", fixtures().join("models").display()), "")
}

#[test]
fn models_that_do_not_fit_are_told_by_tensor() {
    assert_eq!(
        misfit(|it| _ = it.remove("model.layers.1.mlp.up_proj.weight")),
        "`odd`: missing tensor `model.layers.1.mlp.up_proj.weight`, which `base` has"
    );
    assert_eq!(
        misfit(|it| it.get_mut("model.layers.1.mlp.up_proj.weight").unwrap().0 = vec![32, 48]),
        "`odd`: tensor `model.layers.1.mlp.up_proj.weight`: expected shape [48, 32] as in `base`, found [32, 48]"
    );
    assert_eq!(
        misfit(|it| {
            let embedding = it.get_mut("model.embed_tokens.weight").unwrap();
            embedding.0[0] = 63;
            embedding.1.truncate(63 * 32);
        }),
        "`odd`: tensor `model.embed_tokens.weight`: expected shape [64, 32] as in `base`, found [63, 32]; the models have \
         unlike tokens: say whose the result has with `tokenizer_source`"
    );
    let folder = tempfile::tempdir().unwrap();
    variant(&folder.path().join("odd"), "a", |_| {});
    let file = folder.path().join("odd/model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = String::from_utf8(bytes[8..8 + size].to_vec()).unwrap().replacen("\"F32\"", "\"F8E\"", 1);
    fs::write(&file, [&bytes[..8], header.as_bytes(), &bytes[8 + size..]].concat()).unwrap();
    let yaml = "merge_method: passthrough\nmodels: [{model: odd}]\n";
    let error = merge(folder.path(), yaml, "out", Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("expected numbers of F32, BF16, F16 or F64, found F8E"), "{error}");
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let error = merge(folder.path(), yaml, "out", Options::default()).unwrap_err().to_string();
    assert!(error.contains("is truncated or not a safetensors file"), "{error}");
}

#[test]
fn shards_hold_what_one_file_holds_and_the_model_loads() {
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: 3}}\n";
    let whole = merge(folder.path(), yaml, "whole", Options::default()).unwrap();
    let parts = merge(folder.path(), yaml, "parts", Options { shard: 40_000, ..Options::default() }).unwrap();
    assert!(parts.join("model-00002-of-00003.safetensors").is_file() && !parts.join("model.safetensors").exists());
    let (one, other) = (Transformer::load(&whole).unwrap(), Transformer::load(&parts).unwrap());
    for name in ["model.embed_tokens.weight", "model.layers.2.mlp.down_proj.weight", "model.norm.weight"] {
        assert_eq!(one.weight(name).unwrap(), other.weight(name).unwrap());
    }
    assert_eq!(fs::read(whole.join("tokenizer.json")).unwrap(), fs::read(model("a").join("tokenizer.json")).unwrap());
}

#[test]
fn half_precision_is_read_and_written_with_its_name_in_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let once = "merge_method: passthrough\nmodels: [{model: a}]\nout_dtype: bfloat16\n";
    let out = merge(folder.path(), once, "half", Options::default()).unwrap();
    let config: Value = serde_json::from_str(&fs::read_to_string(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["dtype"], json!("bfloat16"));
    let (half, whole) = (read(&out.join("model.safetensors")), read(&model("a").join("model.safetensors")));
    for (name, (_, whole)) in whole {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= b.abs() / 256.0;
        assert!(half[&name].1.iter().zip(&whole).all(near), "{name}");
    }
    let twice = "merge_method: passthrough\nmodels: [{model: half}]\ndtype: float32\n";
    assert_eq!(merged(folder.path(), twice, Options::default()), half);
}

#[test]
fn embeddings_follow_their_tokens_into_the_union() {
    let folder = tempfile::tempdir().unwrap();
    variant(&folder.path().join("other"), "b", |_| {});
    // Two tokens have changed places, and one is another.
    edit(&folder.path().join("other/tokenizer.json"), |json| {
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        vocab.insert("w10".into(), 11.into());
        vocab.insert("w11".into(), 10.into());
        vocab.remove("w63");
        vocab.insert("new".into(), 63.into());
    });
    let yaml = "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: other, parameters: {weight: 1}}\n\
                tokenizer: {source: union, pad_to_multiple_of: 8}\nchat_template: chatml\n";
    let out = merged(folder.path(), yaml, Options::default());
    let (a, b) = (read(&model("a").join("model.safetensors")), read(&model("b").join("model.safetensors")));
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        let row = |it: &Tensors, row: usize| it[name].1[row * 32..(row + 1) * 32].to_vec();
        let mean = |one: Vec<f32>, other: Vec<f32>| -> Vec<f32> {
            one.iter().zip(&other).map(|(a, b)| (a + b) / 2.0).collect()
        };
        assert_eq!(out[name].0, [72, 32]);
        assert_eq!(row(&out, 9), mean(row(&a, 9), row(&b, 9)));
        assert_eq!(row(&out, 10), mean(row(&a, 10), row(&b, 11)));
        // What one model lacks it is lent, here by the only other.
        assert_eq!(row(&out, 63), row(&a, 63));
        assert_eq!(row(&out, 64), row(&b, 63));
        assert_eq!(row(&out, 65), vec![0.0; 32]);
    }
    let json = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.path().join("out").join(name)).unwrap()).unwrap()
    };
    assert_eq!(json("config.json")["vocab_size"], 72);
    assert_eq!(json("tokenizer.json")["model"]["vocab"]["new"], 64);
    assert!(json("tokenizer_config.json")["chat_template"].as_str().unwrap().contains("<|im_start|>"));
}

/// A small mixture, and the same with the experts of each layer in another order.
fn mixtures(folder: &Path) -> Tensors {
    let config = json!({"model_type": "deepseek_v3", "vocab_size": 16, "hidden_size": 8, "intermediate_size": 16,
        "moe_intermediate_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2, "kv_lora_rank": 4, "q_lora_rank": null,
        "qk_nope_head_dim": 4, "qk_rope_head_dim": 2, "v_head_dim": 4, "first_k_dense_replace": 1, "n_routed_experts": 4,
        "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "norm_topk_prob": true,
        "routed_scaling_factor": 1.0, "rms_norm_eps": 1e-6, "max_position_embeddings": 32, "rope_theta": 10000.0});
    let one = Transformer::init(Config::from_json(&config).unwrap(), 3).unwrap();
    one.save(&folder.join("one")).unwrap();
    let mut tensors = read(&folder.join("one/model.safetensors"));
    tensors.get_mut("model.layers.1.mlp.gate.e_score_correction_bias").unwrap().1 = vec![0.1, 0.2, 0.3, 0.4];
    write(&folder.join("one"), &tensors);
    // The groups change places, and in one of them the experts do.
    let order = [3, 2, 0, 1];
    let mut turned = tensors.clone();
    for (name, (_, values)) in &tensors {
        if let Some((module, rest)) = name.split_once(".experts.") {
            let (expert, end) = rest.split_once('.').unwrap();
            let place = order.iter().position(|it| *it == expert.parse::<usize>().unwrap()).unwrap();
            turned.get_mut(&format!("{module}.experts.{place}.{end}")).unwrap().1 = values.clone();
        } else if name.contains(".mlp.gate.") {
            let width = values.len() / 4;
            let rows = order.iter().flat_map(|row| values[row * width..(row + 1) * width].to_vec());
            turned.get_mut(name).unwrap().1 = rows.collect();
        }
    }
    fs::create_dir_all(folder.join("turned")).unwrap();
    fs::copy(folder.join("one/config.json"), folder.join("turned/config.json")).unwrap();
    write(&folder.join("turned"), &turned);
    tensors
}

#[test]
fn experts_are_merged_with_their_counterparts_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let one = mixtures(folder.path());
    let yaml = "merge_method: linear\nmodels:\n- {model: one, parameters: {weight: 1}}\n- {model: turned, parameters: {weight: 1}}\n";
    let with = |experts| merge(folder.path(), yaml, "out", Options { experts, ..Options::default() });
    let text = |error: MergeError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        text(with(Experts::Unknown).unwrap_err()),
        "the models are mixtures of experts, whose experts belong together only where all descend from one base"
    );
    assert_eq!(
        text(with(Experts::Verified).unwrap_err()),
        "`turned`: tensor `model.layers.1.mlp.gate.weight`: its experts are not those of `one`: expert 0 there is most like \
         expert 2 here, so the models do not descend from one base; `align = \"permute\"` matches experts by their weights"
    );
    // Matched, the mean of the two is the model itself.
    let out = with(Experts::Permute).unwrap();
    assert_eq!(read(&out.join("model.safetensors")), one);
    Transformer::load(&out).unwrap();
    // Taken as they stand, it is not.
    assert_ne!(read(&with(Experts::SameBase).unwrap().join("model.safetensors")), one);
}

#[test]
fn layers_for_further_tokens_are_merged_kept_or_dropped() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        variant(&folder.path().join(name), name, |it| {
            let last: Tensors =
                it.iter().filter(|(it, _)| it.contains(".2.")).map(|(a, b)| (a.clone(), b.clone())).collect();
            it.extend(last.into_iter().map(|(name, it)| (name.replace(".2.", ".3."), it)));
        });
        edit(&folder.path().join(name).join("config.json"), |json| json["num_nextn_predict_layers"] = 1.into());
    }
    let yaml =
        "merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 1}}\n- {model: b, parameters: {weight: 1}}\n";
    let of = |extra| merged(folder.path(), yaml, Options { extra, ..Options::default() });
    let (mine, name) = (read(&folder.path().join("a/model.safetensors")), "model.layers.3.mlp.up_proj.weight");
    assert_eq!(of(Extra::Merge)[name], of(Extra::Merge)["model.layers.2.mlp.up_proj.weight"]);
    assert_eq!(of(Extra::Keep)[name], mine[name]);
    assert!(!of(Extra::Drop).contains_key(name));
    let config: Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("out/config.json")).unwrap()).unwrap();
    assert_eq!((&config["num_nextn_predict_layers"], &config["num_hidden_layers"]), (&json!(0), &json!(3)));
}

/// A model of noughts that takes a while to merge; its file is sparse, so that it takes no room.
fn large(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), json!({"model_type": "llama", "num_hidden_layers": 64}).to_string()).unwrap();
    let size = 512 * 1024;
    let entry =
        |at: u64| json!({"dtype": "F32", "shape": [512, 1024], "data_offsets": [at * 4 * size, (at + 1) * 4 * size]});
    let header: BTreeMap<String, Value> = (0..64).map(|at| (format!("model.layers.{at}.weight"), entry(at))).collect();
    let header = json!(header).to_string();
    let file = folder.join("model.safetensors");
    fs::write(&file, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.set_len(8 + header.len() as u64 + 64 * 4 * size).unwrap();
}

#[test]
fn a_merge_that_is_killed_leaves_nothing_under_its_name_and_nothing_in_the_way() {
    let test = Test::new();
    large(&test.path("a"));
    large(&test.path("b"));
    test.write(
        "m.yaml",
        "merge_method: ties\nbase_model: a\nmodels: [{model: b, parameters: {weight: 1, density: 0.5}}]\n",
    );
    let mut child = test.command("merge m.yaml out").spawn().unwrap();
    while !test.path(".out.partial/model.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the merge ended before it was killed");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(test.entries(), [".out.partial", "a", "b", "m.yaml"]);
    test.done("merge m.yaml out");
    assert_eq!(test.entries(), ["a", "b", "m.yaml", "out"]);
    let again = test.run("merge m.yaml out");
    insta::assert_snapshot!(again, @r"
    exit 1
    --- stderr
    error: `out` is already there
      hint: name another folder, or remove this one
    ");
}

#[test]
fn a_file_of_mergekits_is_a_step_that_knows_its_models() {
    let test = Test::new()
        .file(
            "m.yaml",
            "merge_method: ties\nbase_model: base\nmodels: [{model: a, parameters: {weight: 1, density: 0.5}}]\n",
        )
        // A step that comes before it and reads nothing but the file.
        .file(
            "m.rgm",
            "also = command(\"printf '\\\\173\\\\042a\\\\042: 1\\\\175' > {out}/report.json; : {file}\", file = path(\"m.yaml\"), \
             shell = true) -> Report\nsoup = merge.from(\"m.yaml\")\noutput also, soup\n",
        );
    variant(&test.path("base"), "base", |_| {});
    variant(&test.path("a"), "a", |_| {});
    let first = test.done("run m.rgm --json");
    assert_eq!(first.made(), ["also", "soup"]);
    assert_eq!(test.done("run m.rgm --json").made(), Vec::<String>::new());
    // Another model under the same name is another merge.
    variant(&test.path("a"), "b", |_| {});
    let second = test.done("run m.rgm --json");
    assert_eq!(second.made(), ["also", "soup"]);
    assert_ne!(first.outputs(), second.outputs());
    test.write("m.yaml", "merge_method: tie\nbase_model: base\nmodels: [{model: a}]\n");
    let said = test.run("run m.rgm").to_string();
    assert!(said.contains("m.yaml:1:15: unknown method `tie`"), "{said}");
}

#[test]
fn a_mixture_of_dense_models_is_routed_by_its_prompts() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let yaml = "base_model: base\ngate_mode: hidden\ndtype: float32\nexperts:\n- {source_model: a, positive_prompts: [w5 w9]}\n\
                - {source_model: b, positive_prompts: [w20 w21], negative_prompts: [w5]}\n";
    let out = merged(folder.path(), yaml, Options::default());
    let base = Transformer::load(&model("base")).unwrap();
    for layer in 0..3 {
        let state = |ids: &[u32]| {
            let states = base.states(&regimen::model::Packed::new([ids]), layer).unwrap();
            states[states.len() - 32..].to_vec()
        };
        let unit = |it: Vec<f32>| -> Vec<f32> {
            let norm = it.iter().map(|it| it * it).sum::<f32>().sqrt();
            it.iter().map(|it| it / norm).collect()
        };
        let away = state(&[0, 5]);
        let expected =
            [unit(state(&[0, 5, 9])), unit(state(&[0, 20, 21]).iter().zip(&away).map(|(a, b)| a - b).collect())]
                .concat();
        let (shape, gate) = &out[&format!("model.layers.{layer}.mlp.gate.weight")];
        assert_eq!(*shape, [2, 32]);
        assert!(gate.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let same = yaml.replace("[w20 w21], negative_prompts: [w5]", "[w5 w9]");
    assert_eq!(
        mistake(&same),
        "merge.yaml:6:3: two experts have the same prompts, so the router cannot tell them apart"
    );
    let few = yaml.replace("dtype: float32", "experts_per_token: 3");
    assert_eq!(mistake(&few), "merge.yaml:3:20: expected from 1 to 2 experts, found 3");
}
