//! `init`: a model with random weights, shaped for a tokenizer.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    base::{
        argument::{self, Argument},
        named::Named,
        units::Amount,
    },
    data::tokenizer::Tokenizer,
    model::{Config, Transformer},
    stages::{Context, Stage, StageError, card},
};

pub const STAGE: Stage = Stage { name: "init", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    architecture: String,
    hidden: u64,
    layers: u64,
    heads: u64,
    experts: u64,
    experts_per_token: u64,
    shared_experts: u64,
    dense_layers: u64,
    intermediate: u64,
    expert_intermediate: u64,
    q_rank: Option<u64>,
    kv_rank: u64,
    nope_dim: u64,
    rope_dim: u64,
    value_dim: u64,
    groups: u64,
    top_groups: u64,
    routed_scale: f64,
    kv_heads: Option<u64>,
    head_dim: Option<u64>,
    tied: bool,
    mtp: u64,
    max_length: Amount,
    std: f64,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let tokenizer = Tokenizer::load(context.input("tokenizer")?)?;
    let special = (tokenizer.bos(), tokenizer.eos());
    let config = Config::from_json(&config_json(&arguments, tokenizer.vocabulary(), special)?)?;
    let model = context.pool.install(|| Transformer::init(config, arguments.seed))?;
    model.save(&context.out)?;
    card::finish(context, context.input("tokenizer")?)
}

/// The configuration that a step's arguments describe, for a tokenizer of so many tokens; None where they describe none.
pub(super) fn config(arguments: &Named<Argument>, vocabulary: usize) -> Option<Config> {
    let arguments = Arguments::deserialize(argument::object(arguments)).ok()?;
    Config::from_json(&config_json(&arguments, vocabulary, (None, 0)).ok()?).ok()
}

/// The `config.json` that the arguments describe, in the hub's spelling.
fn config_json(arguments: &Arguments, vocabulary: usize, (bos, eos): (Option<u32>, u32)) -> Result<Value, StageError> {
    let mut config = json!({
        "vocab_size": vocabulary,
        "hidden_size": arguments.hidden,
        "intermediate_size": arguments.intermediate,
        "num_hidden_layers": arguments.layers,
        "num_attention_heads": arguments.heads,
        "max_position_embeddings": arguments.max_length.count(),
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": false,
        "tie_word_embeddings": arguments.tied,
        "initializer_range": arguments.std,
        "bos_token_id": bos,
        "eos_token_id": eos,
    });
    let kv_heads = arguments.kv_heads.unwrap_or(arguments.heads);
    let head_dim = arguments.head_dim.unwrap_or(arguments.hidden / arguments.heads.max(1));
    let specific = match arguments.architecture.as_str() {
        "deepseek_v3" => json!({
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": "deepseek_v3",
            "num_key_value_heads": arguments.heads,
            "first_k_dense_replace": arguments.dense_layers,
            "n_routed_experts": arguments.experts,
            "num_experts_per_tok": arguments.experts_per_token,
            "n_shared_experts": arguments.shared_experts,
            "moe_intermediate_size": arguments.expert_intermediate,
            "moe_layer_freq": 1,
            "n_group": arguments.groups,
            "topk_group": arguments.top_groups,
            "norm_topk_prob": true,
            "routed_scaling_factor": arguments.routed_scale,
            "scoring_func": "sigmoid",
            "topk_method": "noaux_tc",
            "q_lora_rank": arguments.q_rank,
            "kv_lora_rank": arguments.kv_rank,
            "qk_nope_head_dim": arguments.nope_dim,
            "qk_rope_head_dim": arguments.rope_dim,
            "v_head_dim": arguments.value_dim,
            "num_nextn_predict_layers": arguments.mtp,
        }),
        "llama" => json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
        }),
        "qwen2" => json!({
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
            // The biases of queries, keys and values belong to the architecture.
            "attention_bias": true,
        }),
        "qwen3_moe" => json!({
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "num_key_value_heads": kv_heads,
            "head_dim": head_dim,
            "num_experts": arguments.experts,
            "num_experts_per_tok": arguments.experts_per_token,
            "moe_intermediate_size": arguments.expert_intermediate,
            "mlp_only_layers": (0..arguments.dense_layers.min(arguments.layers)).collect::<Vec<_>>(),
            "decoder_sparse_step": 1,
            "norm_topk_prob": true,
        }),
        other => {
            return Err(StageError::Arguments(format!(
                "expected an architecture `deepseek_v3`, `llama`, `qwen2` or `qwen3_moe`, found `{other}`"
            )));
        }
    };
    if let (Value::Object(config), Value::Object(specific)) = (&mut config, specific) {
        config.extend(specific);
    }
    Ok(config)
}
