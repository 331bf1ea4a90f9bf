//! How often a long step keeps its state: `30s`, `5 min`, or `never`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};

use crate::base::units::Unit;

/// An interval as a person writes it; None is `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(pub Option<Duration>);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let expected = || format!("expected a duration such as `30s` or `5 min`, or `never`, found `{text}`");
        let end = text.find(|it: char| it.is_alphabetic()).ok_or_else(expected)?;
        let (number, word) = text.split_at(end);
        let number: f64 = number.trim().parse().map_err(|_| expected())?;
        match Unit::parse(word) {
            Some((Unit::Seconds, seconds)) => {
                Duration::try_from_secs_f64(number * seconds).map(|it| Self(Some(it))).map_err(|_| expected())
            }
            _ => Err(expected()),
        }
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(every) => write!(f, "{}s", every.as_secs_f64()),
            None => f.write_str("never"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_has_a_unit() {
        let read = |text: &str| text.parse::<Interval>().map(|it| it.to_string());
        assert_eq!(read("90 s"), Ok("90s".to_owned()));
        assert_eq!(read("1.5min"), Ok("90s".to_owned()));
        assert_eq!(read("0s"), Ok("0s".to_owned()));
        assert_eq!(read("never"), Ok("never".to_owned()));
        for wrong in ["90", "s", "-1 s", "3 steps", "soon", "1e400 s"] {
            assert!(read(wrong).unwrap_err().ends_with(&format!("found `{wrong}`")));
        }
    }
}
