//! `--budget 2h --budget 10GiB`: what a run may cost at most.

use std::str::FromStr;

use crate::{
    base::{suggest::did_you_mean, units::Unit},
    run::Budget,
};

/// The flags that limit a run's cost.
#[derive(clap::Args)]
pub struct BudgetArguments {
    /// Refuse a plan that costs more: a time such as `2h`, or a size such as `10GiB`; both may be given
    #[arg(long = "budget", value_name = "AMOUNT")]
    limits: Vec<Limit>,
}

/// One limit, in seconds or bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit(f64, Unit);

impl BudgetArguments {
    /// The limits together; of two of a kind the last counts.
    pub fn budget(&self) -> Budget {
        let mut budget = Budget::default();
        for Limit(value, unit) in &self.limits {
            match unit {
                Unit::Bytes => budget.bytes = Some(*value as u64),
                _ => budget.seconds = Some(*value),
            }
        }
        budget
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
        let (number, word) = text.split_at(end);
        let word = word.trim();
        let number: f64 = number
            .replace('_', "")
            .parse()
            .map_err(|_| format!("expected a number and a unit, such as `2h` or `10GiB`, found `{text}`"))?;
        match Unit::parse(word) {
            Some((unit @ (Unit::Seconds | Unit::Bytes), factor)) => Ok(Self(number * factor, unit)),
            Some((unit, _)) => Err(format!("expected a time or a size, found an amount of {}", unit.name())),
            None if word.is_empty() => Err("expected a unit after the number, such as `2h` or `10GiB`".to_owned()),
            None => {
                let hint = did_you_mean(word, Unit::WORDS).map(|hint| format!("; {hint}"));
                Err(format!("there is no unit `{word}`{}", hint.unwrap_or_default()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_time_or_a_size() {
        let limit = |text: &str| text.parse::<Limit>();
        assert_eq!(limit("2h"), Ok(Limit(7_200.0, Unit::Seconds)));
        assert_eq!(limit("1.5 min"), Ok(Limit(90.0, Unit::Seconds)));
        assert_eq!(limit("10GiB"), Ok(Limit(10.0 * 1024.0 * 1024.0 * 1024.0, Unit::Bytes)));
        assert_eq!(limit("3 tokens"), Err("expected a time or a size, found an amount of tokens".to_owned()));
        assert_eq!(limit("3"), Err("expected a unit after the number, such as `2h` or `10GiB`".to_owned()));
        assert_eq!(
            limit("2hous").unwrap_err(),
            "there is no unit `2hous`".replace("2hous", "hous") + "; did you mean `hours`?"
        );
    }

    #[test]
    fn limits_of_both_kinds_go_together() {
        let limits = ["1h", "2h", "3GB"].map(|text| text.parse().unwrap()).to_vec();
        let budget = BudgetArguments { limits }.budget();
        assert_eq!(budget, Budget { seconds: Some(7_200.0), bytes: Some(3_000_000_000) });
    }
}
