//! The parser that pest makes of `grammar/regimen.pest`.

use pest::{Parser as _, error::Error, iterators::Pair};

/// Holds the generated parser; its rules are [`Rule`].
#[derive(pest_derive::Parser)]
#[grammar = "grammar/regimen.pest"]
struct Generated;

pub type Node<'a> = Pair<'a, Rule>;

/// The first node that an entry rule makes of a whole text.
pub fn parse(entry: Rule, text: &str) -> Result<Option<Node<'_>>, Box<Error<Rule>>> {
    Generated::parse(entry, text).map(|mut nodes| nodes.next()).map_err(Box::new)
}
