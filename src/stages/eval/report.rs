//! The figures of `report.json`: flat, under names that a recipe can read, such as `scores[r1].pass1_level_4`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::tally::Tally;
use crate::{
    data::rows::Problem,
    reward::{
        intervals::{Interval, interval},
        passes::pass_at,
    },
};

/// The most sources, or levels, that are told apart; beyond, the column is a name of each problem and no group.
const MOST_GROUPS: usize = 100;

/// All figures of some problems, each asked `samples` times.
#[must_use]
pub fn report(problems: &[Problem], tallies: &[Tally], samples: usize, passes: &[usize]) -> Map<String, Value> {
    let mut report = Map::new();
    let mut put = |name: &str, value: Value| _ = report.insert(name.to_owned(), value);
    let answers = tallies.iter().map(Tally::answers).sum::<usize>();
    let sum = |of: &dyn Fn(&Tally) -> f64| tallies.iter().map(of).sum::<f64>();
    let mean = |of: &dyn Fn(&Tally) -> f64| sum(of) / answers.max(1) as f64;
    let count = |of: &dyn Fn(&Tally) -> usize| Value::from(tallies.iter().map(of).sum::<usize>());

    spread(&mut put, "pass1", "", interval(&tallies.iter().map(Tally::share).collect::<Vec<_>>(), samples));
    for k in passes {
        let each = tallies.iter().map(|it| pass_at(*k, it.correct, it.answers()).unwrap_or_default());
        put(&format!("pass_at_{k}"), (each.sum::<f64>() / tallies.len().max(1) as f64).into());
    }
    let elected: Vec<f64> = tallies.iter().map(|it| f64::from(u8::from(it.majority))).collect();
    spread(&mut put, "majority", "", interval(&elected, 1));
    put("rows", tallies.len().into());
    put("answers", answers.into());
    put("correct", count(&|it| it.correct));
    put("wrong", count(&|it| it.wrong));
    put("unparseable", count(&|it| it.unparseable));
    put("truncated", count(&|it| it.truncated));
    put("format", mean(&|it| it.formatted as f64).into());
    put("language", mean(&|it| it.language).into());
    put("mixed", mean(&|it| it.mixed as f64).into());
    put("mean_length", mean(&|it| it.tokens as f64).into());

    for (column, of) in [("level", (|it| &it.level) as fn(&Problem) -> &Option<String>), ("source", |it| &it.source)] {
        let mut groups: BTreeMap<(u64, String), Vec<f64>> = BTreeMap::new();
        for (problem, tally) in problems.iter().zip(tallies) {
            let Some(name) = of(problem).as_deref().map(|it| identifier(it, column)) else { continue };
            // Levels that are numbers stand in their order.
            groups.entry((name.parse().unwrap_or(u64::MAX), name)).or_default().push(tally.share());
        }
        if groups.len() > MOST_GROUPS {
            continue;
        }
        for ((_, name), shares) in &groups {
            let tail = format!("_{column}_{name}");
            spread(&mut put, "pass1", &tail, interval(shares, samples));
            put(&format!("rows{tail}"), shares.len().into());
        }
    }
    report
}

fn spread(put: &mut dyn FnMut(&str, Value), name: &str, tail: &str, interval: Interval) {
    put(&format!("{name}{tail}"), interval.mean.into());
    put(&format!("{name}_low{tail}"), interval.low.into());
    put(&format!("{name}_high{tail}"), interval.high.into());
}

/// A source or a level as a part of a name: letters and digits, with `_` between; `Level 5` is the level `5`.
fn identifier(text: &str, column: &str) -> String {
    let lowered = text.to_lowercase();
    let words: Vec<&str> = lowered.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
    let words = match words.as_slice() {
        [first, rest @ ..] if *first == column && !rest.is_empty() => rest,
        all => all,
    };
    if words.is_empty() { "other".to_owned() } else { words.join("_") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(source: Option<&str>, level: Option<&str>) -> Problem {
        let text = |it: Option<&str>| it.map(str::to_owned);
        Problem { source: text(source), level: text(level), ..Problem::default() }
    }

    fn tally(correct: usize, wrong: usize) -> Tally {
        let answers = correct + wrong;
        Tally {
            correct,
            wrong,
            majority: correct > wrong,
            formatted: answers,
            language: 0.5,
            tokens: 10,
            ..Tally::default()
        }
    }

    #[test]
    fn figures_are_flat_and_grouped_by_level_and_source() {
        let problems = [
            problem(Some("GSM-8k (main)"), Some("Level 10")),
            problem(None, Some("2")),
            problem(Some("aime"), Some("2")),
        ];
        let report = report(&problems, &[tally(4, 0), tally(1, 3), tally(2, 2)], 4, &[1, 2, 4]);
        let text: Vec<String> = report.iter().map(|(name, it)| format!("{name} {:.3}", it.as_f64().unwrap())).collect();
        let expected = [
            "pass1 0.583",
            "pass1_low 0.075",
            "pass1_high 0.960",
            "pass_at_1 0.583",
            "pass_at_2 0.778",
            "pass_at_4 1.000",
            "majority 0.333",
            "majority_low 0.061",
            "majority_high 0.792",
            "rows 3.000",
            "answers 12.000",
            "correct 7.000",
            "wrong 5.000",
            "unparseable 0.000",
            "truncated 0.000",
            "format 1.000",
            "language 0.125",
            "mixed 0.000",
            "mean_length 2.500",
            "pass1_level_2 0.375",
            "pass1_low_level_2 0.007",
            "pass1_high_level_2 0.981",
            "rows_level_2 2.000",
            "pass1_level_10 1.000",
            "pass1_low_level_10 0.207",
            "pass1_high_level_10 1.000",
            "rows_level_10 1.000",
            "pass1_source_aime 0.500",
            "pass1_low_source_aime 0.055",
            "pass1_high_source_aime 0.945",
            "rows_source_aime 1.000",
            "pass1_source_gsm_8k_main 1.000",
            "pass1_low_source_gsm_8k_main 0.207",
            "pass1_high_source_gsm_8k_main 1.000",
            "rows_source_gsm_8k_main 1.000",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn a_column_that_names_each_problem_is_no_group() {
        let problems: Vec<Problem> = (0..101).map(|it| problem(Some(&format!("page {it}")), None)).collect();
        let report = report(&problems, &vec![tally(1, 0); 101], 1, &[]);
        assert!(report.keys().all(|it| !it.contains("source")), "{report:?}");
    }
}
