//! Generates verifiable arithmetic problems, each with its solution worked step by step, and with its number of terms as
//! its level.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    base::{digest::FieldHasher, rng::Stream},
    data::{DataError, rows::Problem},
};

/// What problems to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exercise {
    pub rows: usize,
    pub terms_min: usize,
    pub terms_max: usize,
    /// How many digits a term has at most.
    pub digits: u32,
    /// Some of `+` and `-`.
    pub operators: String,
    pub part: Part,
    pub seed: u64,
}

/// Which problems: those to learn from, or those to examine with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Train,
    Test,
}

impl Part {
    /// The part that a question belongs to, whatever the seed: no training set can hold a test question.
    ///
    /// One question in ten is a test question.
    #[must_use]
    pub fn of(question: &str) -> Self {
        if share_of("problems", question) < 0.1 { Self::Test } else { Self::Train }
    }
}

/// A number in `[0, 1)` that a text always has for a purpose; it serves to divide texts into parts.
#[must_use]
pub fn share_of(purpose: &str, text: &str) -> f64 {
    let digest = FieldHasher::new().field("purpose", purpose.as_bytes()).field("text", text.as_bytes()).finish();
    let bits = digest.hex().get(..13).and_then(|it| u64::from_str_radix(it, 16).ok()).unwrap_or_default();
    bits as f64 / (1u64 << 52) as f64
}

/// The problems of an exercise, all with different questions.
pub fn generate(exercise: &Exercise) -> Result<Vec<Problem>, DataError> {
    check(exercise)?;
    let stream = Stream::new(exercise.seed, "problems");
    let mut questions = BTreeSet::new();
    let mut problems = Vec::with_capacity(exercise.rows);
    // Draws that repeat a question or fall into the other part are passed over; the limit ends a search that is
    // hopeless because fewer questions exist than were asked for.
    let draws = 1_000 + 200 * exercise.rows as u64;
    for draw in 0..draws {
        if problems.len() == exercise.rows {
            break;
        }
        let problem = problem(exercise, &stream, draw);
        if Part::of(&problem.question) == exercise.part && questions.insert(problem.question.clone()) {
            problems.push(problem);
        }
    }
    if problems.len() < exercise.rows {
        return Err(DataError::Request(format!(
            "expected {} different problems, found {}; allow more terms or more digits, or ask for fewer rows",
            exercise.rows,
            problems.len()
        )));
    }
    Ok(problems)
}

fn check(exercise: &Exercise) -> Result<(), DataError> {
    let Exercise { terms_min, terms_max, digits, operators, .. } = exercise;
    let wrong = |message: String| Err(DataError::Request(message));
    if *terms_min < 2 || terms_max < terms_min || *terms_max > 64 {
        return wrong(format!("expected 2 <= `terms_min` <= `terms_max` <= 64, found {terms_min} and {terms_max}"));
    }
    if !(1..=9).contains(digits) {
        return wrong(format!("expected `digits` from 1 to 9, found {digits}"));
    }
    if operators.is_empty() || operators.chars().any(|it| !"+-".contains(it)) {
        return wrong(format!("expected `operators` out of `+-`, found `{operators}`"));
    }
    Ok(())
}

/// The problem of one draw: a function of the exercise and the draw's number alone.
fn problem(exercise: &Exercise, stream: &Stream, draw: u64) -> Problem {
    let operators: Vec<char> = exercise.operators.chars().collect();
    // Nought is no term: adding it asks nothing.
    let largest = 10u64.pow(exercise.digits) - 1;
    let term = |place: u64| 1 + stream.below(largest, draw, 2 * place) as i64;
    let choices = (exercise.terms_max - exercise.terms_min + 1) as u64;
    let terms = exercise.terms_min as u64 + stream.below(choices, draw, u64::MAX);

    let mut total = term(0);
    let mut question = total.to_string();
    let mut steps = Vec::new();
    for place in 1..terms {
        let next = term(place);
        let choice = stream.below(operators.len() as u64, draw, 2 * place + 1) as usize;
        let operator = operators.get(choice).copied().unwrap_or('+');
        let sum = if operator == '-' { total - next } else { total + next };
        question.push_str(&format!("{operator}{next}"));
        steps.push(format!("{total}{operator}{next}={sum}"));
        total = sum;
    }
    question.push_str("=?");
    let level = Some(terms.to_string());
    Problem { question, answer: total.to_string(), solution: Some(steps.join(" ")), source: None, level }
}
