//! BLAKE3 digests, the names by which the store knows content.

use std::{fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// The BLAKE3 digest of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of one run of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest whose 32 bytes these are.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// All 64 hexadecimal digits, the form used for file names.
    #[must_use]
    pub fn hex(&self) -> String {
        self.to_string()
    }

    fn text(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        text
    }

    /// The first twelve digits, enough for a person to tell two digests apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.text().iter().take(12).map(|digit| char::from(*digit)).collect()
    }
}

/// Digests a sequence of named fields. Names and values carry their length, so that no two sequences share an encoding.
#[derive(Default)]
pub struct FieldHasher(blake3::Hasher);

impl FieldHasher {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        for bytes in [name.as_bytes(), value] {
            self.0.update(&(bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
        self
    }

    /// A field whose name is made of two parts.
    pub fn member(&mut self, group: &str, name: &str, value: &[u8]) -> &mut Self {
        self.0.update(&((group.len() + name.len()) as u64).to_le_bytes());
        self.0.update(group.as_bytes());
        self.0.update(name.as_bytes());
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// Digests a stream of bytes, such as a file too large to hold.
#[derive(Default)]
pub struct StreamHasher(blake3::Hasher);

impl StreamHasher {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits are ASCII.
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", self.short())
    }
}

/// What no digit is worth.
const NONE: u8 = 0x80;

/// What each byte is worth as a hexadecimal digit. Records of a large plan hold millions of digits.
const VALUES: [u8; 256] = {
    let (mut values, mut digit) = ([NONE; 256], 0);
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseDigestError(text.to_owned());
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return Err(error());
        }
        let value = |digit: u8| VALUES.get(usize::from(digit)).copied().unwrap_or(NONE);
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = digits else { return Err(error()) };
            let (high, low) = (value(*high), value(*low));
            if (high | low) & NONE != 0 {
                return Err(error());
            }
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Hexadecimal;
        impl Visitor<'_> for Hexadecimal {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest of 64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Hexadecimal)
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("expected a digest of 64 hexadecimal digits, found `{0}`")]
pub struct ParseDigestError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_text() {
        let digest = Digest::of(b"regimen");
        assert_eq!(digest.hex().parse::<Digest>().unwrap(), digest);
        assert!("beef".parse::<Digest>().is_err());
    }

    #[test]
    fn moving_bytes_between_fields_changes_the_digest() {
        let one = FieldHasher::new().field("a", b"bc").finish();
        let other = FieldHasher::new().field("ab", b"c").finish();
        assert_ne!(one, other);
    }
}
