//! What Python has and minijinja has not: the methods of strings and dictionaries that chat templates call.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{ValueKind, from_args},
};

/// Calls a Python method on a value; the callback for methods that minijinja does not know.
pub fn call(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string(value.as_str().unwrap_or_default(), method, arguments),
        ValueKind::Map => map(state, value, method, arguments),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// JSON as `json.dumps(value, ensure_ascii=False)` writes it, which is the filter `tojson` of transformers.
pub fn tojson(state: &mut State, value: Value, options: minijinja::value::Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Python's other options only repeat what is done anyway.
    let _: (Option<Value>, Option<Value>) = (options.get("ensure_ascii")?, options.get("separators")?);
    options.assert_all_used()?;
    let indent = indent.map_or(Value::from(false), Value::from);
    let html = state.apply_filter("html_json", &[value, indent])?;
    Ok(Value::from(without_html_escapes(html.as_str().unwrap_or_default())))
}

/// minijinja writes JSON that is safe inside HTML; a prompt is not HTML.
fn without_html_escapes(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let html = [("\\u003c", '<'), ("\\u003e", '>'), ("\\u0026", '&'), ("\\u0027", '\'')];
        match html.iter().find(|(code, _)| escape.starts_with(code)) {
            Some((code, character)) => {
                text.push(*character);
                rest = escape.get(code.len()..).unwrap_or_default();
            }
            None => {
                // A backslash and what it escapes, such as `\\` and `\n`, stay as they are.
                let (kept, after) = escape.split_at_checked(2).unwrap_or((escape, ""));
                text.push_str(kept);
                rest = after;
            }
        }
    }
    text + rest
}

fn string(text: &str, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    Ok(match method {
        "strip" => Value::from(text.trim_matches(stripped(arguments)?)),
        "lstrip" => Value::from(text.trim_start_matches(stripped(arguments)?)),
        "rstrip" => Value::from(text.trim_end_matches(stripped(arguments)?)),
        "lower" => Value::from(text.to_lowercase()),
        "upper" => Value::from(text.to_uppercase()),
        "title" => Value::from(title(text)),
        "capitalize" => {
            let mut characters = text.chars();
            let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
            Value::from(first + &characters.as_str().to_lowercase())
        }
        "isdigit" => Value::from(!text.is_empty() && text.chars().all(char::is_numeric)),
        "startswith" => Value::from(any_affix(arguments, |affix| text.starts_with(affix))?),
        "endswith" => Value::from(any_affix(arguments, |affix| text.ends_with(affix))?),
        "replace" => {
            let (from, to, count): (&str, &str, Option<usize>) = from_args(arguments)?;
            Value::from(count.map_or_else(|| text.replace(from, to), |count| text.replacen(from, to, count)))
        }
        "find" => {
            let (needle,): (&str,) = from_args(arguments)?;
            let at = text.find(needle).and_then(|at| text.get(..at)).map(|before| before.chars().count() as i64);
            Value::from(at.unwrap_or(-1))
        }
        "count" => {
            let (needle,): (&str,) = from_args(arguments)?;
            Value::from(text.matches(needle).count())
        }
        "split" => {
            let (separator, most) = splitting(arguments)?;
            Value::from_iter(match (separator, most) {
                (Some(separator), Some(most)) => text.splitn(most + 1, separator).collect(),
                (Some(separator), None) => text.split(separator).collect(),
                (None, _) => text.split_whitespace().collect::<Vec<&str>>(),
            })
        }
        "rsplit" => {
            let (separator, most) = splitting(arguments)?;
            let mut parts: Vec<&str> = match (separator, most) {
                (Some(separator), Some(most)) => text.rsplitn(most + 1, separator).collect(),
                (Some(separator), None) => text.rsplit(separator).collect(),
                (None, _) => text.split_whitespace().rev().collect(),
            };
            parts.reverse();
            Value::from_iter(parts)
        }
        "splitlines" => {
            let () = from_args(arguments)?;
            Value::from_iter(text.lines().collect::<Vec<_>>())
        }
        "join" => {
            let (parts,): (Vec<String>,) = from_args(arguments)?;
            Value::from(parts.join(text))
        }
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn map(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Result<Value, Error> {
    match method {
        "items" => {
            let () = from_args(arguments)?;
            state.apply_filter("items", std::slice::from_ref(value))
        }
        "keys" => {
            let () = from_args(arguments)?;
            Ok(Value::from_iter(value.try_iter()?.collect::<Vec<_>>()))
        }
        "values" => {
            let () = from_args(arguments)?;
            let values = value.try_iter()?.map(|key| value.get_item(&key)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::from_iter(values))
        }
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(arguments)?;
            let found = value.get_item(&key)?;
            Ok(if found.is_undefined() { default.unwrap_or(Value::from(())) } else { found })
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// Which characters `strip` takes away: whitespace unless it is told others.
fn stripped(arguments: &[Value]) -> Result<impl Fn(char) -> bool + Copy + '_, Error> {
    let (characters,): (Option<&str>,) = from_args(arguments)?;
    Ok(move |it: char| characters.map_or_else(|| it.is_whitespace(), |set| set.contains(it)))
}

/// The separator and the largest number of cuts.
fn splitting(arguments: &[Value]) -> Result<(Option<&str>, Option<usize>), Error> {
    let (separator, most): (Option<&str>, Option<i64>) = from_args(arguments)?;
    if separator == Some("") {
        return Err(Error::new(ErrorKind::InvalidOperation, "expected a separator, found an empty string"));
    }
    Ok((separator, most.and_then(|it| usize::try_from(it).ok())))
}

/// Python takes one affix, or several of which any will do.
fn any_affix(arguments: &[Value], holds: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let (affix,): (Value,) = from_args(arguments)?;
    match affix.as_str() {
        Some(affix) => Ok(holds(affix)),
        None => Ok(affix.try_iter()?.any(|it| it.as_str().is_some_and(&holds))),
    }
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if inside {
            result.extend(character.to_lowercase());
        } else {
            result.extend(character.to_uppercase());
        }
        inside = character.is_alphabetic();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_escapes_of_html_are_undone() {
        assert_eq!(without_html_escapes(r#""a \u003c b \\u003c \n""#), r#""a < b \\u003c \n""#);
    }
}
