//! Small files of JSON that say by themselves whether they are as they were written.

use crate::base::digest::Digest;

/// What stands before and behind the digest that such a file ends in.
const CHECK: (&str, &str) = (",\n  \"check\": \"", "\"\n}\n");

/// The text of a JSON object, set out on lines, with the digest of all that stands before it as its last member.
pub(super) fn with_check(text: &str) -> String {
    let text = text.strip_suffix("\n}").unwrap_or(text);
    format!("{text}{}{}{}", CHECK.0, Digest::of(text.as_bytes()), CHECK.1)
}

/// The bytes of such a file, where they are those that were written.
pub(super) fn unchanged(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_suffix(CHECK.1.as_bytes())?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let text = rest.strip_suffix(CHECK.0.as_bytes())?;
    (check == Digest::of(text).hex().as_bytes()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_byte_that_changes_or_is_lost_shows() {
        let text = with_check("{\n  \"rows\": 3\n}");
        let read: serde_json::Value = serde_json::from_slice(unchanged(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(read["rows"], 3);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 4;
            assert_eq!(unchanged(&bytes), None, "byte {at}");
            assert_eq!(unchanged(&text.as_bytes()[..at]), None, "cut off at {at}");
        }
    }
}
