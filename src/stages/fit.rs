//! What becomes of examples that are longer than a model is to learn from. Nothing is cut or dropped in silence.

use serde::Deserialize;

use crate::stages::{
    StageError,
    context::Metrics,
    part::{Example, Learn},
};

/// What becomes of an example that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlong {
    /// It ends the step.
    Error,
    Drop,
    /// It loses what is beyond the limit.
    Truncate,
}

/// The examples that are learnt from, and what happened to the others.
#[derive(Debug)]
pub struct Fitted {
    pub examples: Vec<Example>,
    policy: Overlong,
    dropped: usize,
    truncated: usize,
    /// Examples of which nothing is learnt, whether they came so or lost it when they were truncated.
    unlearnt: usize,
}

impl Fitted {
    /// Fits examples to a length; `limit` is the largest share of them that may be dropped or truncated.
    ///
    /// # Errors
    /// Where one is too long and may not be, where more than the limit are, and where nothing is left to learn.
    pub fn new(examples: Vec<Example>, longest: usize, policy: Overlong, limit: f64) -> Result<Self, StageError> {
        let rows = examples.len();
        if rows == 0 {
            return Err(StageError::Data("the data holds no rows to learn from".to_owned()));
        }
        let most = examples.iter().map(|it| it.ids.len()).max().unwrap_or_default();
        let over = examples.iter().filter(|it| it.ids.len() > longest).count();
        let long = format!("{over} of {rows} rows are longer than {longest} tokens (the longest has {most})");
        if over > 0 && policy == Overlong::Error {
            let hint = "raise `max_length`, filter by `length`, or say what becomes of them with `overlong`";
            return Err(StageError::Data(format!("{long}; {hint}")));
        }
        if over as f64 > limit * rows as f64 {
            let hint = "raise `max_length`, or `overlong_limit` if so many may go";
            return Err(StageError::Data(format!(
                "{long}, which is more than the {:.4} that `overlong_limit` allows; {hint}",
                limit
            )));
        }
        let mut fitted = Self { examples: Vec::with_capacity(rows), policy, dropped: 0, truncated: 0, unlearnt: 0 };
        for mut example in examples {
            if example.ids.len() > longest {
                if policy == Overlong::Drop {
                    fitted.dropped += 1;
                    continue;
                }
                fitted.truncated += 1;
                example.ids.truncate(longest);
                example.learnt.iter_mut().for_each(|it| *it = it.start.min(longest)..it.end.min(longest));
            }
            if example.targets() == 0 {
                fitted.unlearnt += 1;
            } else {
                fitted.examples.push(example);
            }
        }
        if fitted.examples.is_empty() {
            return Err(StageError::Data(format!(
                "no token of the {rows} rows is learnt: {} were dropped, and {} hold nothing of the assistant's{}",
                fitted.dropped,
                fitted.unlearnt,
                if fitted.truncated > 0 { " within `max_length`" } else { "" },
            )));
        }
        Ok(fitted)
    }

    /// How many rows were dropped, cut, or hold nothing to learn, where that can be.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::new();
        match self.policy {
            Overlong::Error => {}
            Overlong::Drop => metrics.push(("rows/dropped".into(), self.dropped as f64)),
            Overlong::Truncate => metrics.push(("rows/truncated".into(), self.truncated as f64)),
        }
        if self.unlearnt > 0 {
            metrics.push(("rows/unlearnt".into(), self.unlearnt as f64));
        }
        metrics
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts of two tokens with answers that bring them to these lengths.
    fn examples(lengths: &[usize]) -> Vec<Example> {
        let example = |length: &usize| Example { ids: vec![7; *length], learnt: std::iter::once(2..*length).collect() };
        lengths.iter().map(example).collect()
    }

    fn fit(lengths: &[usize], longest: usize, policy: Overlong, limit: f64) -> String {
        match Fitted::new(examples(lengths), longest, policy, limit) {
            Ok(fitted) => {
                let kept: Vec<usize> = fitted.examples.iter().map(|it| it.ids.len()).collect();
                let targets: Vec<usize> = fitted.examples.iter().map(Learn::targets).collect();
                format!("{kept:?} learn {targets:?} {:?}", fitted.metrics())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_long_example_is_an_error_unless_it_may_go() {
        assert_eq!(
            fit(&[4, 6, 9], 5, Overlong::Error, 1.0),
            "2 of 3 rows are longer than 5 tokens (the longest has 9); raise `max_length`, filter by `length`, or say what \
             becomes of them with `overlong`"
        );
        assert_eq!(fit(&[4, 6, 9], 9, Overlong::Error, 0.0), "[4, 6, 9] learn [2, 4, 7] []");
    }

    #[test]
    fn what_goes_is_counted_and_held_against_the_limit() {
        assert_eq!(fit(&[4, 6, 9], 5, Overlong::Drop, 0.7), "[4] learn [2] [(\"rows/dropped\", 2.0)]");
        assert_eq!(
            fit(&[4, 6, 9], 5, Overlong::Truncate, 0.7),
            "[4, 5, 5] learn [2, 3, 3] [(\"rows/truncated\", 2.0)]"
        );
        assert_eq!(
            fit(&[4, 6, 9], 5, Overlong::Drop, 0.5),
            "2 of 3 rows are longer than 5 tokens (the longest has 9), which is more than the 0.5000 that \
             `overlong_limit` allows; raise `max_length`, or `overlong_limit` if so many may go"
        );
    }

    #[test]
    fn an_example_of_which_nothing_is_learnt_is_counted_and_all_of_them_are_an_error() {
        assert_eq!(fit(&[2, 4], 5, Overlong::Error, 0.0), "[4] learn [2] [(\"rows/unlearnt\", 1.0)]");
        assert_eq!(
            fit(&[6, 9], 2, Overlong::Truncate, 1.0),
            "no token of the 2 rows is learnt: 0 were dropped, and 2 hold nothing of the assistant's within `max_length`"
        );
    }
}
