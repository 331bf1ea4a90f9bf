//! Rotary position embeddings: how fast each pair of numbers turns.

use serde_json::{Value, json};

use super::fields::Fields;
use crate::model::error::ModelError;

/// The base of the frequencies, and what is done for contexts longer than the model was first trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// The base of the frequencies.
    pub theta: f64,
    /// How the frequencies are changed for long contexts.
    pub scaling: Scaling,
}

/// How the frequencies are changed for long contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// YaRN, as DeepSeek-V3 uses it.
    Yarn {
        /// How many times longer the context is.
        factor: f64,
        /// The length of context before.
        original: usize,
        /// Pairs that turn more often than this over the context keep their frequency.
        beta_fast: f64,
        /// Pairs that turn less often than this are slowed down by the whole factor.
        beta_slow: f64,
        /// The temperature of the cosines.
        mscale: Option<f64>,
        /// The temperature of the attention.
        mscale_all_dim: Option<f64>,
    },
    /// The scaling of Llama 3.1.
    Llama3 {
        /// How many times longer the context is.
        factor: f64,
        /// The length of context before.
        original: usize,
        /// Wavelengths above `original / low` are stretched by the whole factor.
        low: f64,
        /// Wavelengths below `original / high` are kept.
        high: f64,
    },
}

impl Rope {
    /// Reads either spelling: `rope_parameters`, or `rope_theta` with `rope_scaling`.
    pub(super) fn from_fields(fields: &Fields<'_>) -> Result<Self, ModelError> {
        let theta = fields.optional_number("rope_theta")?;
        let scaling = match fields.inner("rope_scaling")? {
            Some(scaling) => Some(Scaling::from_fields(&scaling)?),
            None => None,
        };
        let Some(parameters) = fields.inner("rope_parameters")? else {
            return Ok(Self { theta: fields.number("rope_theta")?, scaling: scaling.unwrap_or(Scaling::None) });
        };
        let own = parameters.optional_number("rope_theta")?;
        let rope = Self {
            theta: own.or(theta).map_or_else(|| parameters.number("rope_theta"), Ok)?,
            scaling: Scaling::from_fields(&parameters)?,
        };
        // A file may have both spellings; it must mean one thing.
        if theta.is_some_and(|theta| theta != rope.theta) {
            return Err(fields.error("rope_theta", "expected what `rope_parameters` says, found another number"));
        }
        if scaling.is_some_and(|scaling| scaling != rope.scaling) {
            return Err(fields.error("rope_scaling", "expected what `rope_parameters` says, found another scaling"));
        }
        Ok(rope)
    }

    /// The value of `rope_scaling` in the hub's spelling.
    pub(super) fn scaling_to_json(&self) -> Value {
        match &self.scaling {
            Scaling::None => Value::Null,
            Scaling::Yarn { factor, original, beta_fast, beta_slow, mscale, mscale_all_dim } => {
                let mut value = json!({
                    "rope_type": "yarn", "type": "yarn", "factor": factor,
                    "original_max_position_embeddings": original, "beta_fast": beta_fast, "beta_slow": beta_slow,
                });
                for (name, number) in [("mscale", mscale), ("mscale_all_dim", mscale_all_dim)] {
                    if let (Some(object), Some(number)) = (value.as_object_mut(), number) {
                        object.insert(name.to_owned(), json!(number));
                    }
                }
                value
            }
            Scaling::Llama3 { factor, original, low, high } => json!({
                "rope_type": "llama3", "type": "llama3", "factor": factor,
                "original_max_position_embeddings": original, "low_freq_factor": low, "high_freq_factor": high,
            }),
        }
    }

    /// The angle per position of each of `dimension / 2` pairs, rounded as transformers rounds it.
    #[must_use]
    pub fn frequencies(&self, dimension: usize) -> Vec<f32> {
        let plain = (0..dimension / 2).map(|at| self.theta.powf(-((2 * at) as f64) / dimension as f64));
        match &self.scaling {
            Scaling::None => plain.map(|it| it as f32).collect(),
            Scaling::Yarn { factor, original, beta_fast, beta_slow, .. } => {
                let turns = |rotations: f64| {
                    dimension as f64 * (*original as f64 / (rotations * std::f64::consts::TAU)).ln()
                        / (2.0 * self.theta.ln())
                };
                let low = turns(*beta_fast).floor().max(0.0);
                let high = turns(*beta_slow).ceil().min(dimension as f64 - 1.0);
                let high = if low == high { high + 0.001 } else { high };
                let scaled = plain.enumerate().map(|(at, it)| {
                    let ramp = ((at as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    (it / factor * ramp + it * (1.0 - ramp)) as f32
                });
                scaled.collect()
            }
            Scaling::Llama3 { factor, original, low, high } => {
                let original = *original as f64;
                let scaled = plain.map(|it| {
                    let wavelength = std::f64::consts::TAU / it;
                    if wavelength < original / high {
                        it as f32
                    } else if wavelength > original / low {
                        (it / factor) as f32
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        ((1.0 - smooth) * it / factor + smooth * it) as f32
                    }
                });
                scaled.collect()
            }
        }
    }

    /// What the cosines and sines are multiplied by.
    #[must_use]
    pub fn amplitude(&self) -> f64 {
        match &self.scaling {
            Scaling::Yarn { factor, mscale, mscale_all_dim, .. } => match (mscale, mscale_all_dim) {
                (Some(mscale), Some(all)) if *mscale != 0.0 && *all != 0.0 => {
                    temperature(*factor, *mscale) / temperature(*factor, *all)
                }
                _ => temperature(*factor, 1.0),
            },
            _ => 1.0,
        }
    }

    /// What DeepSeek's attention scores are multiplied by, beside the root of the head's width.
    #[must_use]
    pub fn attention_scale(&self) -> f64 {
        match &self.scaling {
            Scaling::Yarn { factor, mscale_all_dim: Some(all), .. } if *all != 0.0 => {
                temperature(*factor, *all).powi(2)
            }
            _ => 1.0,
        }
    }
}

impl Scaling {
    fn from_fields(fields: &Fields<'_>) -> Result<Self, ModelError> {
        let name = match fields.optional_text("rope_type")? {
            Some(name) => Some(name),
            None => fields.optional_text("type")?,
        };
        // Both spellings of the name may be there, and the base lies beside them in the newer one.
        fields.optional_text("type")?;
        fields.optional_number("rope_theta")?;
        fields.only("partial_rotary_factor", &[json!(1.0)])?;
        let scaling = Self::named(fields, name.as_deref())?;
        fields.finish()?;
        Ok(scaling)
    }

    fn named(fields: &Fields<'_>, name: Option<&str>) -> Result<Self, ModelError> {
        match name {
            None | Some("default") => Ok(Self::None),
            Some("yarn") => {
                fields.only("attention_factor", &[])?;
                fields.only("truncate", &[json!(true)])?;
                Ok(Self::Yarn {
                    factor: fields.number("factor")?,
                    original: fields.positive("original_max_position_embeddings")?,
                    beta_fast: fields.optional_number("beta_fast")?.unwrap_or(32.0),
                    beta_slow: fields.optional_number("beta_slow")?.unwrap_or(1.0),
                    mscale: fields.optional_number("mscale")?,
                    mscale_all_dim: fields.optional_number("mscale_all_dim")?,
                })
            }
            Some("llama3") => Ok(Self::Llama3 {
                factor: fields.number("factor")?,
                original: fields.positive("original_max_position_embeddings")?,
                low: fields.number("low_freq_factor")?,
                high: fields.number("high_freq_factor")?,
            }),
            Some(other) => {
                Err(fields.error("rope_type", &format!("expected `default`, `yarn` or `llama3`, found `{other}`")))
            }
        }
    }
}

fn temperature(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}
