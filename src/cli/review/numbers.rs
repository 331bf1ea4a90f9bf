//! Which rows are meant: `1-20,25`, `open` or `all`.

use std::str::FromStr;

use super::case::Case;
use crate::cli::CliError;

/// Rows of a review, as the command line names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbers {
    All,
    /// Those on which nobody has decided.
    Open,
    /// Ranges, both ends included.
    Some(Vec<(usize, usize)>),
}

impl Numbers {
    /// The numbers, each once and in rising order.
    pub fn of(&self, case: &Case) -> Result<Vec<usize>, CliError> {
        let ranges = match self {
            Self::All => return Ok(case.all()),
            Self::Open => return Ok(case.open()),
            Self::Some(ranges) => ranges,
        };
        let rows = case.rows.len();
        let mut numbers = Vec::new();
        for (first, last) in ranges {
            if *last > rows {
                return Err(CliError::Unknown {
                    message: format!("`{}` has no row {last}", case.address),
                    hint: Some(format!("its rows are 1 to {rows}")),
                });
            }
            numbers.extend(*first..=*last);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "all" => return Ok(Self::All),
            "open" => return Ok(Self::Open),
            _ => {}
        }
        let number = |text: &str| text.trim().parse().ok().filter(|it| *it > 0);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
            range.ok_or_else(|| format!("expected rows such as `1-20,25`, `open` or `all`, found `{part}`"))
        };
        Ok(Self::Some(text.split(',').map(range).collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbers_ranges_or_a_word() {
        assert_eq!("1-20, 25".parse(), Ok(Numbers::Some(vec![(1, 20), (25, 25)])));
        assert_eq!(["all", "open"].map(str::parse), [Ok(Numbers::All), Ok(Numbers::Open)]);
        for text in ["", "0", "3-1", "1-", "-2", "x", "1,,2"] {
            assert!(text.parse::<Numbers>().unwrap_err().starts_with("expected rows such as"), "{text}");
        }
    }
}
