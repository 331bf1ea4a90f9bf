//! What each stage will do, foretold from its arguments and from what is known of its inputs.
//!
//! The constants are seconds on one core of a server of 2024 (3 GHz, AVX-512) and bytes as measured there; what was
//! measured on the machine at hand takes their place as soon as there is any.

mod data;
mod machine;
mod preference;
mod sampling;
mod shape;
mod training;

use serde::Deserialize;
use serde_json::Value;

use crate::base::{
    schedule::Schedule,
    units::{Amount, Unit},
    work::{Estimate, Known, Made, Rows, Shape, Work},
};

pub use machine::measure;

/// Foretells a step of the stage of that name; None where nothing can be said.
#[must_use]
pub fn of(stage: &str, known: Known) -> Option<Estimate> {
    match stage {
        "problems" => data::problems(known),
        "dataset" => data::dataset(known),
        "documents" => data::documents(known),
        "decontaminate" | "dedupe" => data::weed(known),
        "filler" => data::filler(known),
        "filter" => data::filter(known),
        "mix" => data::mix(known),
        "review" => data::review(known),
        "split" => data::split(known),
        "take" => data::take(known),
        "tokenizer" => data::tokenizer(known),
        "load_tokenizer" => data::load_tokenizer(known),
        "init" => shape::init(known),
        "load" | "load_reward_model" => shape::load(known),
        "pretrain" => training::pretrain(known),
        "grpo" => training::grpo(known),
        "dpo" | "reward_model" => preference::train(known),
        "eval_pairs" | "eval_reward" => preference::eval(known),
        "labels" => preference::labels(known),
        "pairs" => preference::pairs(known),
        "sample" | "reject" => sampling::draw(known),
        "eval" => sampling::eval(known),
        "rewrite" => sampling::rewrite(known),
        "judge" => sampling::judge(known),
        "best" => shape::best(known),
        "cast" => shape::cast(known),
        _ if stage.starts_with("merge.") => shape::merge(known),
        // A stage that is not listed is told by what it takes: a budget is for training.
        _ if known.arguments.contains_key("budget") => training::sft(known),
        _ => None,
    }
}

/// Bytes that a step holds whatever it does: stacks of its threads, readers, and the index that is opened meanwhile.
const ROOM: f64 = 16e6;

/// Memory is foretold on the wide side, as a plan that does not fit is a run that is killed.
const MARGIN: f64 = 1.3;

/// Seconds to open, write and close the files of any step.
const FILES: f64 = 0.3e-3;

/// A step of plain work on one core.
fn plain(seconds: f64, memory: f64, bytes: f64, made: Made) -> Estimate {
    let work = Work { plain: FILES + seconds, width: 1.0, ..Work::default() };
    Estimate { work, memory: ROOM + MARGIN * memory, memory_per_thread: 0.0, bytes, state: 0.0, made }
}

fn number(known: Known, name: &str) -> Option<f64> {
    known.arguments.get(name)?.as_f64()
}

fn amount(known: Known, name: &str) -> Option<Amount> {
    Amount::deserialize(&**known.arguments.get(name)?).ok()
}

/// An amount of one unit, such as `rows`.
fn counted(known: Known, name: &str, unit: Unit) -> Option<f64> {
    amount(known, name).filter(|it| it.unit == unit).map(|it| it.value)
}

/// The mean of a schedule of amounts over so many steps.
fn mean(value: &Value, steps: f64) -> Option<f64> {
    let schedule: Schedule<Amount> = serde_json::from_value(value.clone()).ok()?;
    // A few hundred points tell as much as all.
    let points = steps.clamp(1.0, 400.0) as u64;
    let at = |point: u64| schedule.constant_at((point as f64 * steps / points as f64) as u64).map(|it| it.value);
    let values = (0..points).map(at).collect::<Option<Vec<f64>>>()?;
    Some(values.iter().sum::<f64>() / points as f64)
}

/// The largest amount that a schedule takes anywhere.
fn largest(value: &Value) -> Option<f64> {
    match value {
        Value::Object(members) if members.contains_key("unit") => members.get("value")?.as_f64(),
        Value::Object(members) => {
            members.values().filter_map(largest).fold(None, |a, b| Some(a.map_or(b, |a| b.max(a))))
        }
        _ => None,
    }
}

fn model(known: Known) -> Option<Shape> {
    known.inputs.values().flatten().find_map(|made| match made {
        Made::Model(shape) => Some(*shape),
        _ => None,
    })
}

fn rows(known: Known, port: &str) -> Option<Rows> {
    match known.inputs.get(port)?.first()? {
        Made::Rows(rows) => Some(*rows),
        _ => None,
    }
}

/// The rows of whichever port holds some.
fn any_rows(known: Known) -> Option<Rows> {
    known.inputs.values().flatten().find_map(|made| match made {
        Made::Rows(rows) => Some(*rows),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::REGISTRY;

    #[test]
    fn every_stage_that_makes_something_of_nothing_can_be_foretold() {
        let arguments = [
            ("rows", serde_json::json!({"value": 100.0, "unit": "rows"})),
            ("terms_min", 2.into()),
            ("terms_max", 4.into()),
            ("digits", 1.into()),
        ];
        let arguments = arguments.into_iter().map(|(name, value)| (name, value.into())).collect();
        let (inputs, files) = Default::default();
        let known = Known { arguments: &arguments, inputs: &inputs, files: &files };
        let estimate = of("problems", known).unwrap();
        let Made::Rows(rows) = estimate.made else { panic!("{estimate:?}") };
        assert_eq!((rows.rows, rows.exact), (100.0, true));
        assert!(REGISTRY.iter().any(|stage| stage.name == "problems"));
    }
}
