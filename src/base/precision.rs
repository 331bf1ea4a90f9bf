//! The kinds of numbers that files hold, and f32 in which all is computed.

use std::{fmt, str::FromStr};

use half::{
    bf16, f16,
    slice::{HalfBitsSliceExt, HalfFloatSliceExt},
};
use serde::{Deserialize, Serialize};

/// How a number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F64,
    F32,
    F16,
    BF16,
}

/// What weights are kept in, by the names that recipes and commands have for it. All is computed in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    #[default]
    F32,
    Bf16,
}

impl Dtype {
    #[must_use]
    pub fn precision(self) -> Precision {
        match self {
            Self::F32 => Precision::F32,
            Self::Bf16 => Precision::BF16,
        }
    }
}

impl FromStr for Dtype {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("expected `f32` or `bf16`, found `{text}`")),
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        })
    }
}

/// The names that YAML files, PyTorch and safetensors use.
const NAMES: [(&str, Precision); 8] = [
    ("float32", Precision::F32),
    ("float16", Precision::F16),
    ("bfloat16", Precision::BF16),
    ("float64", Precision::F64),
    ("F32", Precision::F32),
    ("F16", Precision::F16),
    ("BF16", Precision::BF16),
    ("F64", Precision::F64),
];

impl Precision {
    /// Reads `bfloat16`, `BF16` or `torch.bfloat16`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix("torch.").unwrap_or(word);
        NAMES.iter().find(|(name, _)| *name == word).map(|(_, precision)| *precision)
    }

    /// Bytes of one number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The name in a safetensors header.
    #[must_use]
    pub fn safetensors(self) -> &'static str {
        NAMES.iter().rev().find(|(_, precision)| *precision == self).map_or("F32", |(name, _)| name)
    }

    /// Reads numbers; `bytes` holds as many as `out`.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *out = f32::from_le_bytes(*bytes);
                }
            }
            Self::F64 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *out = f64::from_le_bytes(*bytes) as f32;
                }
            }
            Self::BF16 => {
                for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
                }
            }
            Self::F16 => {
                let bits: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|it| u16::from_le_bytes(*it)).collect();
                bits.reinterpret_cast::<f16>().convert_to_f32_slice(out);
            }
        }
    }

    /// The number that comes back from where this one is stored.
    #[must_use]
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::F64 | Self::F32 => value,
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::BF16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// Writes numbers, rounded to the nearest, to even where two are as near; `bytes` becomes as long as they need.
    pub fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        bytes.resize(values.len() * self.size(), 0);
        match self {
            Self::F32 => fill(bytes.as_chunks_mut::<4>().0, values, f32::to_le_bytes),
            Self::F64 => fill(bytes.as_chunks_mut::<8>().0, values, |value| f64::from(value).to_le_bytes()),
            Self::BF16 => fill(bytes.as_chunks_mut::<2>().0, values, |value| bf16::from_f32(value).to_le_bytes()),
            Self::F16 => fill(bytes.as_chunks_mut::<2>().0, values, |value| f16::from_f32(value).to_le_bytes()),
        }
    }
}

fn fill<const SIZE: usize>(bytes: &mut [[u8; SIZE]], values: &[f32], convert: impl Fn(f32) -> [u8; SIZE]) {
    for (bytes, value) in bytes.iter_mut().zip(values) {
        *bytes = convert(*value);
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, precision)| precision == self).map_or("float32", |(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_precision_that_holds_them() {
        let values = [0.0, 1.0, -2.5, 65504.0, 0.333_251_95];
        for precision in [Precision::F64, Precision::F32, Precision::F16] {
            let mut bytes = Vec::new();
            precision.encode(&values, &mut bytes);
            assert_eq!(bytes.len(), values.len() * precision.size());
            let mut back = [0.0; 5];
            precision.decode(&bytes, &mut back);
            assert_eq!(back, values, "{precision}");
        }
    }

    #[test]
    fn brain_floats_round_to_the_nearest_even() {
        let mut bytes = Vec::new();
        // One and a half steps, half a step, and a step and a half above one; a step is 2^-7.
        Precision::BF16.encode(&[1.0 + 1.0 / 128.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0], &mut bytes);
        let mut back = [0.0; 3];
        Precision::BF16.decode(&bytes, &mut back);
        assert_eq!(back, [1.0 + 1.0 / 128.0, 1.0, 1.0 + 2.0 / 128.0]);
    }

    /// Every pattern of sixteen bits comes back as the number that it stands for.
    #[test]
    fn halves_widen_exactly() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut found = vec![0.0; 1 << 16];
        Precision::BF16.decode(&bytes, &mut found);
        for (bits, found) in (0..=u16::MAX).zip(&found) {
            assert_eq!(found.to_bits(), u32::from(bits) << 16);
            let back = Precision::BF16.round(*found);
            assert!(back.to_bits() == found.to_bits() || found.is_nan() && back.is_nan());
        }
        Precision::F16.decode(&bytes, &mut found);
        for (bits, found) in (0..=u16::MAX).zip(&found) {
            let (sign, exponent) = (if bits >> 15 == 0 { 1.0 } else { -1.0 }, i32::from(bits >> 10 & 31));
            let fraction = f64::from(bits & 1023) / 1024.0;
            match exponent {
                31 if fraction == 0.0 => assert!(f64::from(*found) == sign * f64::INFINITY),
                31 => assert!(found.is_nan()),
                0 => assert!(f64::from(*found) == sign * fraction * 2.0_f64.powi(-14)),
                _ => assert!(f64::from(*found) == sign * (1.0 + fraction) * 2.0_f64.powi(exponent - 15)),
            }
        }
    }

    #[test]
    fn every_name_is_read() {
        assert_eq!(Precision::parse("torch.bfloat16"), Some(Precision::BF16));
        assert_eq!(Precision::parse("F8_E4M3"), None);
        assert_eq!((Precision::BF16.to_string().as_str(), Precision::BF16.safetensors()), ("bfloat16", "BF16"));
    }
}
