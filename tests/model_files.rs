//! Models on disk: configurations in both spellings, what is refused, and bytes that come back as they were.

use std::path::{Path, PathBuf};

use regimen::model::{Config, Rope, Scaling, SpecialTokens, Transformer};
use serde_json::{Value, json};

const FIXTURES: [&str; 6] = ["dsv3_group", "dsv3_noqlora", "dsv3_yarn", "llama", "qwen2", "qwen3_moe"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn config(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name).join("config.json")).unwrap()).unwrap()
}

/// The error of a fixture's configuration with some fields changed.
fn refusal(name: &str, changes: Value) -> String {
    let mut value = config(name);
    for (field, change) in changes.as_object().unwrap() {
        if change == "absent" {
            value.as_object_mut().unwrap().remove(field);
        } else {
            value[field] = change.clone();
        }
    }
    Config::from_json(&value).unwrap_err().to_string()
}

/// A copy of a fixture whose weights file is changed.
fn changed(name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture(name).join("config.json"), dir.path().join("config.json")).unwrap();
    let bytes = std::fs::read(fixture(name).join("model.safetensors")).unwrap();
    std::fs::write(dir.path().join("model.safetensors"), change(bytes)).unwrap();
    let error = Transformer::load(dir.path()).err().unwrap().to_string();
    let error = error.replace(&dir.path().display().to_string(), "DIR");
    (dir, error)
}

/// The bytes of a weights file with another header.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let text = header.to_string();
    let length = (text.len() as u64).to_le_bytes();
    [&length[..], text.as_bytes(), &bytes[8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize..]].concat()
}

/// The bytes of a weights file with some of its tensors.
fn only(bytes: &[u8], keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap().tensors();
    safetensors::serialize(tensors.into_iter().filter(|(name, _)| keep(name)), None).unwrap()
}

#[test]
fn both_spellings_of_a_configuration_mean_the_same() {
    for name in FIXTURES {
        let new = Config::read(&fixture(name)).unwrap();
        let hub = Config::read(&fixture(name).join("config_hub.json")).unwrap();
        assert_eq!(new, hub, "{name}");
        assert_eq!(Config::from_json(&new.to_json()).unwrap(), new, "{name}");
    }
}

#[test]
fn a_configuration_holds_what_the_file_says() {
    let Config::DeepseekV3(config) = Config::read(&fixture("dsv3_yarn")).unwrap() else { panic!() };
    let scaling = Scaling::Yarn {
        factor: 40.0,
        original: 16,
        beta_fast: 32.0,
        beta_slow: 1.0,
        mscale: Some(1.0),
        mscale_all_dim: Some(1.0),
    };
    assert_eq!(config.rope, Rope { theta: 10000.0, scaling });
    assert_eq!(config.special_tokens, SpecialTokens { bos: Some(0), eos: vec![1], pad: None });
    let parameters = |name: &str| Config::read(&fixture(name)).unwrap().parameters();
    assert_eq!((parameters("dsv3_group"), parameters("llama")), (200_248, 162_240));
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let messages = [
        refusal("dsv3_group", json!({"model_type": "mixtral"})),
        refusal("dsv3_group", json!({"model_type": "absent", "architectures": ["QwenForCausalLM"]})),
        refusal("dsv3_group", json!({"model_type": "absent", "architectures": "absent"})),
        refusal("dsv3_group", json!({"hidden_act": "gelu"})),
        refusal("dsv3_group", json!({"attention_bias": true})),
        refusal("dsv3_group", json!({"num_mtp_layers": 1})),
        refusal("dsv3_group", json!({"quantization_config": {"quant_method": "fp8"}})),
        refusal("dsv3_group", json!({"scoring_func": "softmax"})),
        refusal("dsv3_group", json!({"topk_method": "greedy"})),
        refusal("dsv3_group", json!({"moe_layer_freq": 2})),
        refusal("dsv3_group", json!({"num_key_value_heads": 2})),
        refusal("dsv3_group", json!({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}})),
        refusal("dsv3_group", json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}})),
        refusal("dsv3_group", json!({"kv_lora_rank": "absent"})),
        refusal("dsv3_group", json!({"hidden_size": "big"})),
        refusal("dsv3_group", json!({"hidden_size": 0})),
        refusal("dsv3_group", json!({"n_group": 3})),
        refusal("dsv3_group", json!({"topk_group": 3})),
        refusal("dsv3_group", json!({"num_experts_per_tok": 5})),
        refusal("dsv3_group", json!({"eos_token_id": [1, "two"]})),
        refusal("llama", json!({"mlp_bias": true})),
        refusal("llama", json!({"num_key_value_heads": 3})),
        refusal("llama", json!({"attention_dropout": 0.1})),
        refusal("llama", json!({"final_logit_softcapping": 30.0})),
        refusal("llama", json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "factor": 2.0}})),
        refusal("llama", json!({"rope_theta": 2e4})),
        refusal("llama", json!({"rope_scaling": {"rope_type": "default"}})),
        refusal("qwen2", json!({"use_sliding_window": true, "sliding_window": 128, "max_window_layers": 2})),
        refusal("qwen2", json!({"layer_types": ["full_attention", "sliding_attention", "full_attention"]})),
        refusal("qwen2", json!({"attention_bias": false})),
        refusal("qwen2", json!({"num_key_value_heads": "absent"})),
        refusal("qwen2", json!({"head_dim": 15})),
        refusal("qwen3_moe", json!({"norm_topk_prob": "absent"})),
        refusal("qwen3_moe", json!({"output_router_logits": true})),
        refusal("qwen3_moe", json!({"num_experts": 4})),
        refusal("qwen3_moe", json!({"num_experts_per_tok": 9})),
        refusal("qwen3_moe", json!({"mlp_only_layers": [3]})),
        refusal("qwen3_moe", json!({"mlp_only_layers": "none"})),
        refusal("qwen3_moe", json!({"decoder_sparse_step": 0})),
        refusal("qwen3_moe", json!({"shared_expert_intermediate_size": 64})),
        Config::from_json(&json!([])).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    field `model_type`: expected `deepseek_v3`, `llama`, `qwen2` or `qwen3_moe`, found `mixtral`; this program computes no other kind of model
    field `model_type`: expected `deepseek_v3`, `llama`, `qwen2` or `qwen3_moe`, found `QwenForCausalLM`; this program computes no other kind of model
    missing field `model_type`
    field `hidden_act`: expected `silu`, found `gelu`
    field `attention_bias`: expected `false`, found `true`
    field `num_mtp_layers`: expected `0`, found `1`
    field `quantization_config`: expected no such field, found `an object`
    field `scoring_func`: expected `sigmoid`, found `softmax`
    field `topk_method`: expected `noaux_tc`, found `greedy`
    field `moe_layer_freq`: expected `1`, found `2`
    field `num_key_value_heads`: expected `4`, found `2`
    field `rope_parameters.rope_type`: expected `default`, `yarn` or `llama3`, found `longrope`
    missing field `rope_parameters.factor`
    missing field `kv_lora_rank`
    field `hidden_size`: expected a whole number, found `big`
    field `hidden_size`: expected a number above 0, found 0
    field `n_group`: expected a divisor of `n_routed_experts` 8, found 3
    field `topk_group`: expected at most `n_group` 2, found 3
    field `num_experts_per_tok`: expected at most 4, the experts of `topk_group` groups, found 5
    field `eos_token_id`: expected a token, found `two`
    field `mlp_bias`: expected `false`, found `true`
    field `num_key_value_heads`: expected a divisor of `num_attention_heads` 4, found 3
    field `attention_dropout`: expected `0.0`, found `0.1`
    field `final_logit_softcapping`: expected a field that this program knows, found `30.0`; take it out if it changes no result
    field `rope_parameters.factor`: expected a field that this program knows, found `2.0`; take it out if it changes no result
    field `rope_theta`: expected what `rope_parameters` says, found another number
    field `rope_scaling`: expected what `rope_parameters` says, found another scaling
    field `sliding_window`: expected no window, or one of at least `max_position_embeddings` 512, found 128; this program attends to all that went before
    field `layer_types`: expected `full_attention`, found `sliding_attention`
    field `attention_bias`: expected `true`, found `false`
    missing field `num_key_value_heads`
    field `head_dim`: expected an even number above 0, found 15
    missing field `norm_topk_prob`
    field `output_router_logits`: expected `false`, found `true`
    field `num_local_experts`: expected `num_experts` 4, found 8
    field `num_experts_per_tok`: expected at most `num_experts` 8, found 9
    field `mlp_only_layers`: expected layers below `num_hidden_layers` 3, found 3
    field `mlp_only_layers`: expected a list of whole numbers, found `none`
    field `decoder_sparse_step`: expected a number above 0, found 0
    field `shared_expert_intermediate_size`: expected a field that this program knows, found `64`; take it out if it changes no result
    expected an object
    ");
}

/// Windows that nothing outgrows or that are switched off, and fields that are about something else.
#[test]
fn what_changes_nothing_is_let_through() {
    let plain = Config::from_json(&config("qwen2")).unwrap();
    for changes in [
        json!({"sliding_window": 131072, "use_sliding_window": false, "max_window_layers": 2}),
        json!({"sliding_window": 512, "use_sliding_window": true, "max_window_layers": 0}),
        json!({"sliding_window": 16, "use_sliding_window": true, "max_window_layers": 3}),
        json!({"layer_types": "absent", "_attn_implementation": "sdpa", "clip_qkv": null, "qk_layernorm": false}),
        json!({"torch_dtype": "bfloat16", "auto_map": {"AutoModel": "model.Model"}, "transformers_version": "4.40.1"}),
    ] {
        let mut value = config("qwen2");
        for (field, change) in changes.as_object().unwrap() {
            value[field] = change.clone();
        }
        if value["layer_types"] == "absent" {
            value.as_object_mut().unwrap().remove("layer_types");
        }
        assert_eq!(Config::from_json(&value).unwrap(), plain, "{changes}");
    }
}

#[test]
fn a_configuration_of_qwen3_moe_says_which_layers_are_sparse() {
    let mut value = config("qwen3_moe");
    value["num_hidden_layers"] = json!(7);
    value["decoder_sparse_step"] = json!(2);
    value["mlp_only_layers"] = json!([3]);
    let config = Config::from_json(&value).unwrap();
    assert_eq!((0..7).filter(|layer| config.is_sparse(*layer)).collect::<Vec<_>>(), [1, 5]);
    assert_eq!(Config::from_json(&config.to_json()).unwrap(), config);
}

#[test]
fn a_saved_model_comes_back_bit_for_bit() {
    for name in FIXTURES {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let model = Transformer::load(&fixture(name)).unwrap();
        model.save(first.path()).unwrap();
        Transformer::load(first.path()).unwrap().save(second.path()).unwrap();
        for file in ["config.json", "generation_config.json", "model.safetensors"] {
            let read = |dir: &tempfile::TempDir| std::fs::read(dir.path().join(file)).unwrap();
            assert!(read(&first) == read(&second), "{name}: {file}");
        }
        let tensors = |dir: &Path| {
            let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let mut all: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
                .tensors()
                .into_iter()
                .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
                .collect();
            all.sort();
            all
        };
        assert!(tensors(first.path()) == tensors(&fixture(name)), "{name}");
    }
}

#[test]
fn a_fresh_model_is_a_function_of_its_seed() {
    let weight = |seed: u64, name: &str| {
        let model = Transformer::init(Config::read(&fixture("dsv3_group")).unwrap(), seed).unwrap();
        model.weight(name).unwrap().values
    };
    let expert = "model.layers.1.mlp.experts.3.up_proj.weight";
    assert_eq!(weight(1, expert), weight(1, expert));
    assert_ne!(weight(1, expert), weight(2, expert));
    assert_eq!(weight(1, "model.norm.weight"), vec![1.0; 64]);
    assert_eq!(weight(1, "model.layers.2.mlp.gate.e_score_correction_bias"), vec![0.0; 8]);
    let values = weight(1, "lm_head.weight");
    let deviation = (values.iter().map(|it| it * it).sum::<f32>() / values.len() as f32).sqrt();
    assert!((deviation - 0.02).abs() < 5e-4, "{deviation}");
}

#[test]
fn damaged_weights_are_refused_by_name() {
    let messages = [
        changed("llama", |mut bytes| {
            bytes.truncate(bytes.len() - 1);
            bytes
        }),
        changed("llama", |bytes| bytes[..4].to_vec()),
        changed("llama", |bytes| {
            with_header(&bytes, |header| {
                let norm = header.as_object_mut().unwrap().remove("model.norm.weight").unwrap();
                header["model.norms.weight"] = norm;
            })
        }),
        changed("llama", |bytes| {
            with_header(&bytes, |header| {
                header["model.norm.weight"]["shape"] = json!([8, 8]);
            })
        }),
        changed("llama", |bytes| {
            with_header(&bytes, |header| {
                header["model.norm.weight"]["dtype"] = json!("I32");
            })
        }),
        changed("dsv3_group", |bytes| only(&bytes, |name| !name.ends_with("gate.e_score_correction_bias"))),
        changed("llama", |bytes| only(&bytes, |name| name != "lm_head.weight")),
    ];
    let messages: Vec<String> = messages.into_iter().map(|(_, message)| message).collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    `DIR/model.safetensors` is truncated or not a safetensors file: incomplete metadata, file not fully covered
    `DIR/model.safetensors` is truncated or not a safetensors file: header too small
    `DIR/model.safetensors`: tensor `model.norms.weight`: is not part of this model
    `DIR/model.safetensors`: tensor `model.norm.weight`: expected shape [64], found [8, 8]
    `DIR/model.safetensors`: tensor `model.norm.weight`: expected numbers of F32, F16 or BF16, found I32
    `DIR`: missing tensor `model.layers.1.mlp.gate.e_score_correction_bias` and 1 more
    `DIR`: missing tensor `lm_head.weight`
    ");
}

#[test]
fn absent_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = || {
        let error = Transformer::load(dir.path()).err().unwrap().to_string();
        error.replace(&dir.path().display().to_string(), "DIR")
    };
    let first = error();
    std::fs::write(dir.path().join("config.json"), "{").unwrap();
    let second = error();
    std::fs::copy(fixture("llama").join("config.json"), dir.path().join("config.json")).unwrap();
    insta::assert_snapshot!([first, second, error()].join("\n"), @r"
    `DIR/config.json`: No such file or directory (os error 2)
    `DIR/config.json` is not JSON: EOF while parsing an object at line 1 column 1
    `DIR/model.safetensors`: No such file or directory (os error 2)
    ");
}

#[test]
fn weights_in_shards_are_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("llama").join("config.json"), dir.path().join("config.json")).unwrap();
    let bytes = std::fs::read(fixture("llama").join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    for (shard, layers) in [("a.safetensors", false), ("b.safetensors", true)] {
        let part: Vec<_> =
            tensors.tensors().into_iter().filter(|(name, _)| name.contains("layers") == layers).collect();
        part.iter().for_each(|(name, _)| {
            map.insert(name.clone(), json!(shard));
        });
        safetensors::serialize_to_file(part, None, &dir.path().join(shard)).unwrap();
    }
    let index = json!({"metadata": {}, "weight_map": map});
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let (whole, parts) = (Transformer::load(&fixture("llama")).unwrap(), Transformer::load(dir.path()).unwrap());
    let weight = |model: &Transformer, name: &str| model.weight(name).unwrap();
    for tensor in whole.plan().variables.iter().flat_map(|variable| &variable.tensors) {
        assert_eq!(weight(&whole, &tensor.name), weight(&parts, &tensor.name));
    }
    assert_eq!(whole.weight("nothing").unwrap_err().to_string(), "the model has no tensor `nothing`");
}
