//! The score table: every report side by side, in the shape of Table 2 of the R1 paper.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::format::{Align, columns};
use crate::{plan::StepId, run::Output};

/// Reports side by side, a row each.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// One report: what it is of, and its figures.
#[derive(Clone, Debug)]
struct Row {
    label: String,
    /// Under which settings the recipe was, where there are several.
    variant: String,
    figures: Map<String, Value>,
}

/// The reports among what a run made of a plan's outcomes; None where there are none.
#[must_use]
pub fn scores(outcomes: &[(String, String, StepId)], outputs: &BTreeMap<String, Output>) -> Option<String> {
    let named = outcomes.iter().filter_map(|(name, address, _)| Some((address.as_str(), &outputs.get(name)?.path)));
    // Models and data are outputs as well, and take no label.
    let reports: Vec<(&str, &PathBuf)> = named.filter(|(_, path)| is_scored(path)).collect();
    let labels = labels(reports.iter().map(|(address, _)| *address));
    let mut table = Table::default();
    labels.into_iter().zip(&reports).for_each(|(label, (_, path))| table.add(label, "", path));
    table.screen()
}

/// What each report is of: the key of a member of a collection where no other has it, else the whole address. A key that
/// is no name tells nothing where there are several collections.
pub fn labels<'a>(addresses: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let parts = |address: &'a str| address.strip_suffix(']')?.split_once('[');
    let key = |address: &'a str| parts(address).map(|(_, key)| key);
    let addresses: Vec<&str> = addresses.collect();
    let collections: BTreeSet<&str> = addresses.iter().filter_map(|it| parts(it)).map(|(name, _)| name).collect();
    let tells = |key: &str| collections.len() < 2 || key.starts_with(|it: char| it.is_alphabetic());
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    addresses.iter().for_each(|address| *taken.entry(key(address).unwrap_or(address)).or_default() += 1);
    let short =
        |address: &'a str| key(address).filter(|key| taken.get(key) == Some(&1) && tells(key)).unwrap_or(address);
    addresses.iter().map(|address| short(address)).collect()
}

/// Whether an artifact is a report of scores.
#[must_use]
pub fn is_scored(artifact: &Path) -> bool {
    figures(artifact).is_some()
}

/// The figures of a report of scores.
fn figures(artifact: &Path) -> Option<Map<String, Value>> {
    let text = fs::read(artifact.join("report.json")).ok()?;
    serde_json::from_slice(&text).ok().filter(|it: &Map<String, Value>| it.contains_key("pass1"))
}

impl Table {
    /// Adds the report of an artifact, where there is one in it.
    pub fn add(&mut self, label: &str, variant: &str, artifact: &Path) {
        figures(artifact).into_iter().for_each(|it| self.push(label, variant, it));
    }

    /// Adds figures. Those of one label stand together.
    pub fn push(&mut self, label: &str, variant: &str, figures: Map<String, Value>) {
        let row = Row { label: label.to_owned(), variant: variant.to_owned(), figures };
        let last = self.rows.iter().rposition(|it| it.label == label && !variant.is_empty());
        self.rows.insert(last.map_or(self.rows.len(), |at| at + 1), row);
    }

    /// The table in columns, the mean over the variants of a label above them; None where it has no rows.
    #[must_use]
    pub fn screen(&self) -> Option<String> {
        let mut rows: Vec<(String, Map<String, Value>)> = Vec::new();
        for group in self.rows.chunk_by(|one, other| one.label == other.label && !one.variant.is_empty()) {
            match group {
                [row] => rows.push((row.name(), row.figures.clone())),
                group => {
                    rows.extend(group.first().map(|it| (it.label.clone(), mean(group))));
                    rows.extend(group.iter().map(|it| (format!("  {}", it.variant), it.figures.clone())));
                }
            }
        }
        let columns_of = self.columns();
        let head = std::iter::once(String::new()).chain(columns_of.iter().map(Column::head));
        let body = rows.iter().map(|(label, figures)| {
            std::iter::once(label.clone()).chain(columns_of.iter().map(|it| it.cell(figures))).collect()
        });
        let lines: Vec<Vec<String>> = std::iter::once(head.collect()).chain(body).collect();
        let aligns = [vec![Align::Left], vec![Align::Right; columns_of.len()]].concat();
        (!rows.is_empty()).then(|| columns(&lines, &aligns))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The same for programs: an object for each report.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let variant = (!row.variant.is_empty()).then_some(&row.variant);
            json!({"report": row.label, "variant": variant, "figures": row.figures})
        });
        rows.collect()
    }

    /// The columns that any of the reports fills, in a fixed order, those of levels and sources in the reports' own.
    fn columns(&self) -> Vec<Column> {
        let mut found: Vec<Column> = Vec::new();
        for name in self.rows.iter().flat_map(|row| row.figures.keys()) {
            let column = Column::of(name);
            found.extend(column.filter(|it| !found.contains(it)));
        }
        found.sort_by_key(|it| it.rank());
        found
    }
}

impl Row {
    fn name(&self) -> String {
        if self.variant.is_empty() { self.label.clone() } else { format!("{} {}", self.label, self.variant) }
    }
}

/// The mean of each figure over some reports; an interval is that of the mean of independent ones.
fn mean(rows: &[Row]) -> Map<String, Value> {
    let number = |row: &Row, name: &str| row.figures.get(name).and_then(Value::as_f64);
    let count = rows.len() as f64;
    let mut figures = Map::new();
    let names = rows.first().map(|row| row.figures.keys()).into_iter().flatten();
    for name in names {
        let values: Option<Vec<f64>> = rows.iter().map(|row| number(row, name)).collect();
        figures.extend(values.map(|values| (name.clone(), Value::from(values.iter().sum::<f64>() / count))));
    }
    for name in figures.keys().cloned().collect::<Vec<_>>() {
        let Some((base, end)) = bound(&name) else { continue };
        let Some(centre) = figures.get(&base).and_then(Value::as_f64) else { continue };
        let gaps: Option<f64> =
            rows.iter().map(|row| Some((number(row, &name)? - number(row, &base)?).powi(2))).sum::<Option<f64>>();
        let Some(gap) = gaps.map(|it| it.sqrt() / count) else { continue };
        figures.insert(name, Value::from(if end == Bound::Low { centre - gap } else { centre + gap }));
    }
    figures
}

/// Which end of an interval a figure is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Low,
    High,
}

/// The figure that another is an end of the interval of: `pass1_low_level_4` bounds `pass1_level_4`.
fn bound(name: &str) -> Option<(String, Bound)> {
    let of = |mark: &str| name.find(mark).map(|at| format!("{}{}", &name[..at], &name[at + mark.len()..]));
    of("_low").map(|base| (base, Bound::Low)).or_else(|| of("_high").map(|base| (base, Bound::High)))
}

/// A column of the table, by the figure that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    /// A share with its interval.
    Pass,
    /// A share.
    Share(String),
    /// The share at a level or of a source.
    Group(String),
    /// A count of tokens.
    Length,
}

/// The shares that are shown, in their order; `pass_at_` stands for all that begin so.
const SHARES: [&str; 5] = ["pass_at_", "majority", "format", "language", "mixed"];

impl Column {
    /// The column that a figure belongs to; None for counts, and for the ends of intervals.
    fn of(name: &str) -> Option<Self> {
        if bound(name).is_some() {
            return None;
        }
        match name {
            "pass1" => Some(Self::Pass),
            "mean_length" => Some(Self::Length),
            _ if name.starts_with("pass1_") => Some(Self::Group(name.to_owned())),
            _ if name.starts_with("pass_at_") || SHARES.contains(&name) => Some(Self::Share(name.to_owned())),
            _ => None,
        }
    }

    fn rank(&self) -> usize {
        match self {
            Self::Pass => 0,
            Self::Group(_) => 3,
            Self::Share(name) => {
                let at = SHARES.iter().position(|it| name.starts_with(it)).unwrap_or(SHARES.len());
                if at < 2 { 1 + at } else { 2 + at }
            }
            Self::Length => usize::MAX,
        }
    }

    fn head(&self) -> String {
        match self {
            Self::Pass => "pass@1".to_owned(),
            Self::Length => "length".to_owned(),
            Self::Share(name) => name.strip_prefix("pass_at_").map_or_else(|| name.clone(), |k| format!("pass@{k}")),
            Self::Group(name) => name.trim_start_matches("pass1_").replace('_', " "),
        }
    }

    fn cell(&self, figures: &Map<String, Value>) -> String {
        let number = |name: &str| figures.get(name).and_then(Value::as_f64);
        let percent = |name: &str| number(name).map(|share| format!("{:.1}", share * 100.0));
        let cell = match self {
            Self::Pass => percent("pass1").map(|share| match percent("pass1_low").zip(percent("pass1_high")) {
                Some((low, high)) => format!("{share} [{low}, {high}]"),
                None => share,
            }),
            Self::Share(name) | Self::Group(name) => percent(name),
            Self::Length => number("mean_length").map(|length| format!("{length:.1}")),
        };
        cell.unwrap_or_else(|| "-".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures_of(pass1: f64, spread: f64) -> Map<String, Value> {
        let figures = json!({
            "pass1": pass1, "pass1_low": pass1 - spread, "pass1_high": pass1 + spread, "pass_at_4": 0.9, "majority": 0.8,
            "majority_low": 0.7, "rows": 10, "correct": 5, "format": 1.0, "language": 0.25, "mixed": 0.0,
            "mean_length": 31.25, "pass1_level_4": 0.75, "pass1_low_level_4": 0.5, "rows_level_4": 5,
        });
        figures.as_object().unwrap().clone()
    }

    #[test]
    fn reports_stand_side_by_side_and_variants_below_their_mean() {
        let mut table = Table::default();
        for (label, variant, pass1) in [("zero", "seed=1", 0.5), ("r1", "seed=1", 0.9), ("zero", "seed=2", 0.7)] {
            table.push(label, variant, figures_of(pass1, 0.05));
        }
        insta::assert_snapshot!(table.screen().unwrap(), @r"
                              pass@1  pass@4  majority  level 4  format  language  mixed  length
        zero       60.0 [56.5, 63.5]    90.0      80.0     75.0   100.0      25.0    0.0    31.2
          seed=1   50.0 [45.0, 55.0]    90.0      80.0     75.0   100.0      25.0    0.0    31.2
          seed=2   70.0 [65.0, 75.0]    90.0      80.0     75.0   100.0      25.0    0.0    31.2
        r1 seed=1  90.0 [85.0, 95.0]    90.0      80.0     75.0   100.0      25.0    0.0    31.2
        ");
    }

    #[test]
    fn a_key_that_two_collections_have_is_no_label() {
        let addresses = ["before[llama]", "after[llama]", "after[qwen2]", "first", "runs[r1, 2]"];
        assert_eq!(labels(addresses.into_iter()), ["before[llama]", "after[llama]", "qwen2", "first", "r1, 2"]);
        assert_eq!(labels(["rates[1e-3]", "seeds[2]"].into_iter()), ["rates[1e-3]", "seeds[2]"]);
        assert_eq!(labels(["rates[1e-3]", "rates[1e-4]"].into_iter()), ["1e-3", "1e-4"]);
    }

    #[test]
    fn the_ends_of_intervals_are_told_by_their_names() {
        assert!(bound("pass1_low_level_4") == Some(("pass1_level_4".to_owned(), Bound::Low)));
        assert!(bound("majority_high") == Some(("majority".to_owned(), Bound::High)));
        assert!(bound("pass1_level_4").is_none() && bound("mean_length").is_none());
    }
}
