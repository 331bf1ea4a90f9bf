//! `filler`: rows of made-up words, to price and to try a recipe with before its data is there.

use serde::Deserialize;

use crate::{
    base::{rng::Stream, units::Amount},
    data::{
        dataset::Writer,
        rows::{Chat, Kind, Label, Message, Pair, Problem, Text},
    },
    stages::{Context, Stage, StageError},
};

pub const STAGE: Stage = Stage { name: "filler", version: 1, run, check: None, extends: None };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    kind: Kind,
    rows: Amount,
    question: Amount,
    answer: Amount,
    worked: Option<Amount>,
    seed: u64,
}

fn run(context: &Context) -> Result<(), StageError> {
    let arguments: Arguments = context.arguments()?;
    let words = Words(Stream::new(arguments.seed, "filler"));
    let [question, answer] = [arguments.question, arguments.answer].map(Amount::count);
    let mut writer = Writer::create(&context.out, arguments.kind)?;
    for row in 0..arguments.rows.count() {
        context.check_cancelled()?;
        let text = |column, length| words.text(row, column, length);
        match arguments.kind {
            Kind::Text => writer.push(&Text { text: text(0, question + answer) })?,
            Kind::Problem => writer.push(&Problem {
                question: text(0, question),
                // Verifiers read numbers, and so a number of so many digits it is.
                answer: words.number(row, answer),
                solution: arguments.worked.as_ref().map(|worked| text(2, worked.count())),
                ..Problem::default()
            })?,
            Kind::Chat => {
                let messages =
                    vec![Message::new("user", text(0, question)), Message::new("assistant", text(1, answer))];
                writer.push(&Chat { messages })?;
            }
            Kind::Pair => {
                writer.push(&Pair {
                    prompt: text(0, question),
                    chosen: text(1, answer),
                    rejected: text(2, answer),
                    margin: None,
                })?;
            }
            Kind::Label => {
                writer.push(&Label { prompt: text(0, question), completion: text(1, answer), label: row % 2 == 0 })?
            }
            Kind::Sample => {
                return Err(StageError::Arguments(
                    "expected a kind of rows that no model draws, found `sample`".to_owned(),
                ));
            }
        }
    }
    writer.finish()?;
    Ok(())
}

/// Words out of nothing; each is about a token to a tokenizer of usual size.
struct Words(Stream);

impl Words {
    fn text(&self, row: u64, column: u64, length: u64) -> String {
        let words = (0..length).map(|at| {
            let bits = self.0.bits(row, column << 48 | at);
            let letters = (0..2 + bits % 4).map(|letter| char::from(b'a' + (bits >> (8 + 5 * letter)) as u8 % 26));
            letters.collect::<String>()
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn number(&self, row: u64, digits: u64) -> String {
        let digits = (0..digits.max(1)).map(|at| {
            let digit = self.0.below(if at == 0 { 9 } else { 10 }, row, 1 << 48 | at) as u8;
            char::from(b'0' + digit + u8::from(at == 0))
        });
        digits.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_by_their_place_alone() {
        let words = Words(Stream::new(1, "filler"));
        assert_eq!(words.text(0, 0, 3), words.text(0, 0, 9).split(' ').take(3).collect::<Vec<_>>().join(" "));
        assert_ne!(words.text(0, 0, 3), words.text(1, 0, 3));
        assert_eq!(words.text(7, 1, 500).split(' ').count(), 500);
        assert_eq!(words.number(3, 4).len(), 4);
    }
}
