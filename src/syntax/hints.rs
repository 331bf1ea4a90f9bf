//! Recognises common mistakes and says how to mend them.

use crate::{
    base::{suggest, units::Unit},
    syntax::{
        ITEM_WORDS,
        complaints::Place,
        grammar::Rule,
        tokens::{Kind, Token},
    },
};

/// What the writer may have meant.
pub fn hint(place: &Place<'_>) -> Option<String> {
    let found = place.found();
    found
        .and_then(foreign)
        .or_else(|| found.and_then(|it| keyword(place, it)))
        .or_else(|| item(place))
        .or_else(|| found.and_then(|it| after_value(place, it)))
        .or_else(|| part(place))
}

/// Things that no recipe holds, whatever stands around them.
fn foreign(found: &Token<'_>) -> Option<String> {
    let hint = match (found.kind, found.text) {
        (Kind::Number, text) => return number(text),
        (Kind::Stray, "\u{201c}" | "\u{201d}" | "\u{201e}" | "\u{ab}" | "\u{bb}") => {
            "texts are written between straight double quotes, `\"`"
        }
        (Kind::Stray, "'" | "`" | "\u{2018}" | "\u{2019}") => "texts are written between double quotes, `\"`",
        (Kind::Stray, "\u{a0}") => "replace it with an ordinary space",
        (Kind::Stray, "\u{200b}" | "\u{feff}") => "remove it",
        (Kind::Stray, "\u{2013}" | "\u{2014}" | "\u{2212}") => "write `-` for minus",
        (Kind::Symbol, ";") => "remove it: every item stands on its own line",
        (Kind::Symbol, "&&") => "write `and`",
        (Kind::Symbol, "||") => "write `or`",
        (Kind::Symbol, "!") => "write `not`",
        (Kind::Symbol, "//") => "comments start with `#`",
        (Kind::Symbol, "**" | "^") => "there is no power operator; multiply, or write the number out",
        (Kind::Symbol, ":=") => "write `=`",
        (Kind::Symbol, "+=" | "-=") => "a name is given its value once; use a new name",
        (Kind::Word, text) if !text.is_ascii() => "names are written with the letters a to z, digits and `_`",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// A number that is not one: `20Mtokens`, `5K`.
fn number(text: &str) -> Option<String> {
    let digits_end = text.find(|it: char| !(it.is_ascii_digit() || matches!(it, '_' | '.'))).unwrap_or(text.len());
    let (digits, rest) = (text.get(..digits_end)?, text.get(digits_end..)?);
    let suffix = rest.chars().next().filter(|it| matches!(it, 'k' | 'M' | 'G' | 'T'));
    let after_suffix = rest.get(1..).unwrap_or_default();
    if Unit::parse(rest).is_some() {
        return Some(format!("write a space before the unit: `{digits} {rest}`"));
    }
    if let Some(suffix) = suffix
        && Unit::parse(after_suffix).is_some()
    {
        return Some(format!("write a space before the unit: `{digits}{suffix} {after_suffix}`"));
    }
    match rest {
        "" if text.contains("__") || text.ends_with('_') => Some("`_` stands between two digits: `10_000`".to_owned()),
        "K" | "m" | "g" | "t" | "b" | "B" => Some("the suffixes are `k`, `M`, `G` and `T`".to_owned()),
        "" => None,
        _ => Some(format!("a name cannot start with a digit, and a unit needs a space: `{digits} {rest}`")),
    }
}

fn keyword(place: &Place<'_>, found: &Token<'_>) -> Option<String> {
    let wants_name = place.expects_value() || place.expects(Rule::name) || place.expects(Rule::word);
    if found.is_reserved() && wants_name {
        return Some(format!("`{}` is a word of the language; choose another name", found.text));
    }
    let before = place.nearby(-1)?;
    let is_named_so = before.is_item_word() && place.nearby(-2).is_none() && found.is_symbol("=");
    let is_value = before.is_reserved() && place.is_argument_name() && place.expects(Rule::assign);
    (is_named_so || is_value).then(|| format!("`{}` is a word of the language; choose another name", before.text))
}

/// Mistakes at the start of an item.
fn item(place: &Place<'_>) -> Option<String> {
    let (first, found) = (place.first()?, place.found());
    if place.expects(Rule::item) {
        if let Some(value) = found.and_then(|it| as_value(it.text)) {
            return Some(value.to_owned());
        }
        let words = ITEM_WORDS.map(|it| format!("`{it}`")).join(", ");
        return Some(format!("a line starts with {words} or `name = ..`"));
    }
    let is_second = place.nearby(-1) == Some(first);
    if !(is_second && place.expects(Rule::assign)) {
        return None;
    }
    let found = found?;
    match found.text {
        "==" => Some("a result is named with one `=`".to_owned()),
        ":" => Some(format!("declare it: `param {0}: ..` or `input {0}: ..`", first.text)),
        "-" => {
            let next = place.nearby(1).filter(|it| it.kind == Kind::Word)?;
            Some(format!("names are joined with `_`: `{}_{}`", first.text, next.text))
        }
        "(" => Some(format!("give the result a name: `name = {}(..)`", first.text)),
        _ if found.kind == Kind::Word => match first.text {
            "def" if place.nearby(1).is_some_and(|it| it.text == "(") => {
                Some("stages are defined with `stage name(..) -> Type { .. }`".to_owned())
            }
            "let" | "const" | "var" | "val" | "def" | "set" | "local" => {
                Some(format!("leave `{}` away: `{} = ..`", first.text, found.text))
            }
            "import" | "include" | "from" | "load" => {
                Some("write `use`: `use std.r1` for a library, `use ./other.rgm as other` for a recipe".to_owned())
            }
            "return" | "result" | "export" => Some("results are named with `output`".to_owned()),
            "assert" | "check" | "ensure" => Some("conditions are written with `require`".to_owned()),
            "fn" | "func" | "function" | "task" | "step" | "rule" | "process" | "workflow" => {
                Some("stages are defined with `stage name(..) -> Type { .. }`".to_owned())
            }
            first => suggest::did_you_mean(first, ITEM_WORDS),
        },
        _ => None,
    }
}

/// Statements of other languages that are values here.
fn as_value(word: &str) -> Option<&'static str> {
    match word {
        "for" => Some("a fan-out is a value with a name: `name = for x in values { .. }`"),
        "if" => Some("an `if` is a value with a name: `name = if condition { a } else { b }`"),
        _ => None,
    }
}

/// Mistakes after a complete expression.
fn after_value(place: &Place<'_>, found: &Token<'_>) -> Option<String> {
    if !place.follows_value() {
        return None;
    }
    let starts_value = matches!(found.kind, Kind::Word | Kind::Number | Kind::Text) || found.text == "{";
    match (found.text, place.bracket()) {
        (":", Some("(")) if place.is_argument_name() => {
            place.nearby(-1).map(|name| format!("arguments are given with `=`: `{} = ..`", name.text))
        }
        // A name after a number reads as its unit.
        ("=", Some("(")) if place.nearby(-2).is_some_and(|it| it.kind == Kind::Number) => {
            place.nearby(-1).map(|name| format!("separate arguments with `,`: `, {} = ..`", name.text))
        }
        ("=", Some("{")) => Some("the braces hold one value; several steps make a `stage`".to_owned()),
        ("=", _) => Some("compare with `==`".to_owned()),
        ("if", _) => Some("an `if` is a value: `if condition { a } else { b }`".to_owned()),
        ("for", Some("[")) => Some("a fan-out stands alone, without brackets: `for x in values { .. }`".to_owned()),
        ("=>", _) => Some("write `>=` for greater or equal".to_owned()),
        ("<" | "<=" | ">" | ">=" | "==" | "!=", _) => Some("join two comparisons with `and`".to_owned()),
        ("?", _) => Some("choose with `if condition { a } else { b }`".to_owned()),
        ("%", _) => Some("there is no `%` operator; write percentages as `0.05`".to_owned()),
        (_, _) if place.expects(Rule::kw_after) || place.expects(Rule::kw_from) => None,
        (_, Some("(")) if starts_value && place.expects(Rule::comma) => Some("separate arguments with `,`".to_owned()),
        (_, Some("[")) if starts_value && place.expects(Rule::comma) => {
            Some("separate the parts of a list with `,`".to_owned())
        }
        _ => None,
    }
}

/// Parts that an item or expression lacks.
fn part(place: &Place<'_>) -> Option<String> {
    let found = place.found();
    let hint = if place.expects(Rule::kw_as) && place.first().is_some_and(|it| it.is_word("use")) {
        "a recipe is used under a name: `use ./other.rgm as other`"
    } else if place.expects(Rule::kw_from) {
        "a chain is written `repeat i in 1..3 from model { .. }`"
    } else if place.expects(Rule::kw_after) && found.is_some_and(|it| it.is_word("else")) {
        "an `if` has its values in braces: `if condition { a } else { b }`"
    } else if place.expects(Rule::kw_after) {
        "a change is written `A then B after 100 steps`"
    } else if place.expects(Rule::bound_dots) {
        "bounds are written `in 2..64`"
    } else if place.expects(Rule::kw_else) {
        "an `if` is a value, so it needs both branches: `if condition { a } else { b }`"
    } else if place.expects(Rule::brace_open) && place.follows_value() {
        "the value stands in braces: `{ value }`"
    } else if place.expects(Rule::clause) || is_clause(place) {
        "a fan-out is written `for x in values { .. }`"
    } else if place.expects(Rule::arrow) && !place.follows_value() {
        "the type of the result follows the parameters: `-> Model`"
    } else if is_default(place) {
        "a default follows `=`"
    } else if place.expects(Rule::colon) {
        return Some(colon(place));
    } else if place.expects_value() && found.is_some_and(|it| it.is_symbol(".")) {
        "numbers start with a digit: `0.5`"
    } else if place.expects_value() && place.nearby(-1).is_some_and(|it| it.is_symbol("..")) {
        "a range has both its ends: `1..3`"
    } else if place.expects_value() && found.is_some_and(|it| it.is_symbol("=")) {
        "compare with `==`, name a result with one `=`"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// Whether the `in` of a fan-out is missing, and not that of bounds, which can be left away.
fn is_clause(place: &Place<'_>) -> bool {
    place.expects(Rule::kw_in) && !place.expects(Rule::EOI) && !place.expects(Rule::comma)
}

/// Whether a default stands where its `=` should.
fn is_default(place: &Place<'_>) -> bool {
    let is_value = place.found().is_some_and(|it| matches!(it.kind, Kind::Number | Kind::Text));
    is_value && (place.expects(Rule::default) || place.expects(Rule::assign))
}

/// A parameter or input without its type; a default tells which it may be.
fn colon(place: &Place<'_>) -> String {
    let name = place.nearby(-1).map_or("name", |it| it.text);
    let default = place.found().filter(|it| it.is_symbol("=")).and_then(|_| place.nearby(1));
    let ty = match default {
        Some(it) if it.kind == Kind::Text => "str",
        Some(it) if it.is_word("true") || it.is_word("false") => "bool",
        Some(it) if it.kind == Kind::Number && it.text.contains(['.', 'e']) => "float",
        Some(it) if it.kind == Kind::Number => "int",
        _ => "Type",
    };
    format!("write its type after the name: `{name}: {ty}`")
}
