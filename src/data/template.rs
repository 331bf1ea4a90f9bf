//! Chat templates: a conversation as the text that the model reads, rendered as transformers renders it.

use minijinja::{Environment, Error, ErrorKind, Value, context, filters, syntax::SyntaxConfig};

use crate::data::{DataError, python, rows::Message};

/// The template of tokenizers trained here: each turn opens with its own token, an answer closes with the end token.
///
/// Turns are parted by special tokens and not by words, which costs a prompt the fewest tokens, and makes the tokens of
/// a prompt and an answer together those of each alone, whatever the answer begins with.
pub const DEFAULT: &str = concat!(
    "{{ bos_token }}",
    "{% for message in messages %}",
    "{% if message['role'] == 'system' %}{{ message['content'] }}",
    "{% elif message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}",
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + eos_token }}",
    "{% else %}{{ raise_exception('expected the role system, user or assistant, found ' + message['role']) }}",
    "{% endif %}{% endfor %}",
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
);

/// A compiled chat template.
pub struct Template {
    environment: Environment<'static>,
    source: String,
}

/// Whether the text ends with the opening of the model's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    Answer,
    None,
}

impl Template {
    pub fn new(source: &str) -> Result<Self, DataError> {
        let mut environment = Environment::new();
        environment.set_syntax(blocks()?);
        environment.set_unknown_method_callback(python::call);
        environment.add_filter("html_json", filters::tojson);
        environment.add_filter("tojson", python::tojson);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned("chat", source.to_owned()).map_err(|error| fault(&error))?;
        Ok(Self { environment, source: source.to_owned() })
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text; the two tokens are what the template knows as `bos_token` and `eos_token`.
    pub fn render(&self, messages: &[Message], bos: &str, eos: &str, opening: Opening) -> Result<String, DataError> {
        let template = self.environment.get_template("chat").map_err(|error| fault(&error))?;
        let add_generation_prompt = opening == Opening::Answer;
        let messages = messages.iter().map(value).collect::<Vec<_>>();
        template
            .render(context! { messages, add_generation_prompt, bos_token => bos, eos_token => eos })
            .map_err(|error| fault(&error))
    }
}

/// The prompt of one question, up to where the answer begins.
pub fn prompt(template: &Template, question: &str, bos: &str, eos: &str) -> Result<String, DataError> {
    template.render(&[Message::new("user", question)], bos, eos, Opening::Answer)
}

fn value(message: &Message) -> Value {
    Value::from_pairs([("role", message.role.as_str()), ("content", message.content.as_str())])
}

/// Blocks take their line with them, as in transformers.
fn blocks() -> Result<SyntaxConfig, DataError> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| fault(&error))
}

fn fault(error: &Error) -> DataError {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    DataError::Template(error.line().map_or_else(|| detail.clone(), |line| format!("line {line}: {detail}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> String {
        let messages = [Message::new("user", "a</think> <b>"), Message::new("assistant", "it's\n")];
        match Template::new(source).and_then(|it| it.render(&messages, "<s>", "</s>", Opening::Answer)) {
            Ok(text) => text,
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_default_template_opens_and_closes_turns() {
        assert_eq!(render(DEFAULT), "<s><|user|>a</think> <b><|assistant|>it's\n</s><|assistant|>");
    }

    #[test]
    fn python_is_understood() {
        assert_eq!(render("{{ messages[0].content.split('</think>')[-1].strip() }}"), "<b>");
        assert_eq!(render("{{ messages[1]['content'].startswith(('x', 'it')) }}"), "True");
        assert_eq!(render("{{ messages[0].get('tool_calls', 'none') }}"), "none");
        assert_eq!(render("{{ 'a b  c'.split() | join('-') }}{{ 'abc'.replace('b', '') }}"), "a-b-cac");
        assert_eq!(
            render("{% for k, v in messages[0].items() %}{{ k }}={{ v | length }} {% endfor %}"),
            "content=13 role=4 "
        );
    }

    #[test]
    fn json_is_that_of_python() {
        assert_eq!(render("{{ {'a': [1, '<é>']} | tojson }}"), "{\"a\": [1, \"<é>\"]}");
        assert_eq!(render("{{ [1] | tojson(indent=2) }}"), "[\n  1\n]");
    }

    #[test]
    fn blocks_take_their_line_with_them() {
        assert_eq!(render("  {% if true %}\nx\n  {% endif %}\ny\n"), "x\ny");
    }

    #[test]
    fn a_template_that_refuses_or_breaks_says_why() {
        assert_eq!(render("\n{{ raise_exception('no system turn') }}"), "chat template: line 2: no system turn");
        assert_eq!(render("{% if %}"), "chat template: line 1: unexpected end of block");
    }
}
