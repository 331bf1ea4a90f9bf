//! What the configurations of all kinds of model have in common.

use serde_json::{Value, json};

use super::SpecialTokens;
use super::fields::Fields;
use crate::model::error::ModelError;

impl SpecialTokens {
    /// One token, a list of several, or null: as the hub writes it.
    #[must_use]
    pub fn eos_to_json(&self) -> Value {
        match self.eos.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            several => json!(several),
        }
    }
}

/// Refuses the fields, common to all kinds of model, that would change the result.
pub(super) fn refuse_what_is_not_computed(fields: &Fields<'_>) -> Result<(), ModelError> {
    fields.only("hidden_act", &[json!("silu")])?;
    fields.only("attention_dropout", &[json!(0.0)])?;
    fields.only("partial_rotary_factor", &[json!(1.0)])?;
    fields.only("tie_encoder_decoder", &[json!(false)])?;
    fields.only("is_causal", &[json!(true)])?;
    fields.only("quantization_config", &[])
}

/// Refuses a window of attention that a sequence could outgrow; without one, layers attend to all that went before.
pub(super) fn refuse_sliding_window(fields: &Fields<'_>, layers: usize, positions: usize) -> Result<(), ModelError> {
    fields.only_items("layer_types", "full_attention")?;
    let used = fields.optional_flag("use_sliding_window")?;
    let window = fields.optional_size("sliding_window")?;
    let first = fields.optional_size("max_window_layers")?;
    let Some(window) = window.filter(|window| used != Some(false) && *window < positions) else { return Ok(()) };
    if first.is_some_and(|first| first >= layers) {
        return Ok(());
    }
    let text = format!(
        "expected no window, or one of at least `max_position_embeddings` {positions}, found {window}; \
         this program attends to all that went before"
    );
    Err(fields.error("sliding_window", &text))
}

/// Checks that heads of queries share those of keys evenly, and that a head can be turned.
pub(super) fn check_heads(
    fields: &Fields<'_>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
) -> Result<(), ModelError> {
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        let text = format!("expected a divisor of `num_attention_heads` {heads}, found {kv_heads}");
        return Err(fields.error("num_key_value_heads", &text));
    }
    if head_dim == 0 || !head_dim.is_multiple_of(2) {
        return Err(fields.error("head_dim", &format!("expected an even number above 0, found {head_dim}")));
    }
    Ok(())
}
