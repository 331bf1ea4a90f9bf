//! Text with places to fill: `python train.py --model {base} --out {out}`.

use std::ops::Range;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// A name in braces, and where the two stand in the text.
    Place {
        name: String,
        at: Range<usize>,
    },
}

/// The parts of a text, in order. `{name}` is a place, `{{name}}` stands for itself with one pair of braces, and every
/// other brace is text, so that JSON and shell functions need no escapes.
#[must_use]
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) {
        plain.push_str(text.get(at..open).unwrap_or_default());
        let rest = text.get(open..).unwrap_or_default();
        if let Some(name) = rest.strip_prefix("{{").and_then(name).filter(|it| closes(rest, it, "}}")) {
            plain.extend(["{", name, "}"]);
            at = open + name.len() + 4;
        } else if let Some(name) = rest.strip_prefix('{').and_then(name).filter(|it| closes(rest, it, "}")) {
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            at = open + name.len() + 2;
            pieces.push(Piece::Place { name: name.to_owned(), at: open..at });
        } else {
            plain.push('{');
            at = open + 1;
        }
    }
    plain.push_str(text.get(at..).unwrap_or_default());
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    pieces
}

/// The text with every place filled.
#[must_use]
pub fn fill(text: &str, value: &dyn Fn(&str) -> String) -> String {
    let filled = pieces(text).into_iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Place { name, .. } => value(&name),
    });
    filled.collect()
}

/// The name that a text starts with.
fn name(text: &str) -> Option<&str> {
    let end = text.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).unwrap_or(text.len());
    text.get(..end).filter(|it| it.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_'))
}

/// Whether as many braces close the name as opened it.
fn closes(text: &str, name: &str, braces: &str) -> bool {
    text.get(braces.len() + name.len()..).is_some_and(|rest| rest.starts_with(braces))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        let shown = pieces(text).into_iter().map(|piece| match piece {
            Piece::Text(text) => format!("'{text}'"),
            Piece::Place { name, at } => format!("{name}@{}-{}", at.start, at.end),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_a_name_in_braces_is_a_place() {
        let texts = [
            "train --model {base} --out={out}/x",
            "{a}{b_1}",
            "echo ${{HOME}} ${HOME}",
            "awk '{print $1}' '{\"a\": {\"b\": 1}}' {} { a } {1}",
            "{{a}",
            "open {",
            "",
        ];
        assert_eq!(
            texts.map(shown),
            [
                "'train --model ' base@14-20 ' --out=' out@27-32 '/x'",
                "a@0-3 b_1@3-8",
                "'echo ${HOME} $' HOME@16-22",
                "'awk '{print $1}' '{\"a\": {\"b\": 1}}' {} { a } {1}'",
                "'{' a@1-4",
                "'open {'",
                "",
            ]
        );
    }

    proptest! {
        #[test]
        fn every_place_is_where_it_says_and_nothing_is_lost(text in "[a{}é ]{0,24}") {
            let mut end = 0;
            for piece in pieces(&text) {
                if let Piece::Place { name, at } = piece {
                    let expected = format!("{{{name}}}");
                    prop_assert_eq!(&text[at.clone()], expected.as_str());
                    prop_assert!(at.start >= end);
                    end = at.end;
                }
            }
            let letters = |text: &str| text.chars().filter(|it| !"{}".contains(*it)).collect::<String>();
            prop_assert_eq!(letters(&fill(&text, &str::to_owned)), letters(&text));
        }
    }
}
