//! What a row of any kind is about, by which rows are divided, compared and held against evaluation data.

use serde_json::{Map, Value};

/// The question of a row, its text, its prompt, or what the person says first.
#[must_use]
pub fn topic(row: &Map<String, Value>) -> String {
    let field = |name: &str| row.get(name).and_then(Value::as_str);
    let turns = row.get("messages").and_then(Value::as_array);
    let first = || {
        let said = |turn: &Value| turn.get("content").and_then(Value::as_str).map(str::to_owned);
        let person = turns?.iter().find(|it| it.get("role").and_then(Value::as_str) == Some("user"));
        person.or(turns?.first()).and_then(said)
    };
    let text = field("question").or_else(|| field("text")).or_else(|| field("prompt"));
    text.map(str::to_owned).or_else(first).unwrap_or_default()
}

/// All that a row says, without where it comes from: two rows that say the same are one.
#[must_use]
pub fn content(row: &Map<String, Value>) -> String {
    const SAID: [&str; 8] = ["question", "answer", "solution", "completion", "text", "prompt", "chosen", "rejected"];
    // What a sample was prompted with says nothing that its question does not.
    let is_sample = row.contains_key("completion");
    let fields = SAID.iter().filter(|name| !(is_sample && **name == "prompt"));
    let mut parts: Vec<&str> = fields.filter_map(|name| row.get(*name)?.as_str()).collect();
    let turns = row.get("messages").and_then(Value::as_array);
    let said = |turn: &'_ Value, name: &str| turn.get(name).and_then(Value::as_str).map(str::to_owned);
    let turns: Vec<String> =
        turns.into_iter().flatten().flat_map(|it| [said(it, "role"), said(it, "content")]).flatten().collect();
    parts.extend(turns.iter().map(String::as_str));
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_every_kind_have_a_topic_and_a_content() {
        let of = |text: &str| {
            let row: Map<String, Value> = serde_json::from_str(text).unwrap();
            (topic(&row), content(&row))
        };
        let is = |topic: &str, content: &str| (topic.to_owned(), content.to_owned());
        assert_eq!(of(r#"{"question":"q","answer":"a","level":"3"}"#), is("q", "q\na"));
        assert_eq!(of(r#"{"question":"q","answer":"a","prompt":"p","completion":"c"}"#), is("q", "q\na\nc"));
        assert_eq!(of(r#"{"prompt":"p","chosen":"c","rejected":"r"}"#), is("p", "p\nc\nr"));
        let chat = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}]}"#;
        assert_eq!(of(chat), is("u", "system\ns\nuser\nu"));
    }
}
