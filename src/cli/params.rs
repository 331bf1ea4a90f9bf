//! Files of parameters: what `--params values.yaml` sets, each value with its place in the file.

use std::{fs, path::Path};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Sources, Span},
    },
    cli::CliError,
    lang::Param,
};

/// Every value in the file; what is nested is joined by dots, so that `dev1: {lr: 1e-5}` sets `dev1.lr`.
pub fn read(path: &Path, sources: &mut Sources) -> Result<(Vec<Param>, Diagnostics), CliError> {
    let text = fs::read_to_string(path).map_err(|error| CliError::File { path: path.to_owned(), error })?;
    let source = sources.add(path, text.as_str());
    Ok(parse(source, &text))
}

fn parse(source: SourceId, text: &str) -> (Vec<Param>, Diagnostics) {
    let offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut reader = Reader { source, text, offsets, params: Vec::new(), complaints: Diagnostics::default() };
    match MarkedYaml::load_from_str(text) {
        Ok(documents) => documents.iter().for_each(|it| reader.document(it)),
        Err(error) => {
            let at = reader.offset(error.marker().index());
            reader.complain(Span::new(source, at, at), error.info());
        }
    }
    (reader.params, reader.complaints)
}

/// What was found in the file so far.
struct Reader<'a> {
    source: SourceId,
    text: &'a str,
    /// Where each character begins, since YAML's places count characters.
    offsets: Vec<usize>,
    params: Vec<Param>,
    complaints: Diagnostics,
}

impl Reader<'_> {
    fn document(&mut self, node: &MarkedYaml<'_>) {
        match &node.data {
            YamlData::Mapping(_) => self.value("", Span::default(), node),
            YamlData::BadValue | YamlData::Value(Scalar::Null) => {}
            _ => self.complain(self.span(node), "expected names with values, `lr: 1e-5`"),
        }
    }

    fn value(&mut self, target: &str, target_span: Span, node: &MarkedYaml<'_>) {
        if let YamlData::Mapping(members) = &node.data {
            for (key, value) in members {
                match &key.data {
                    YamlData::Value(Scalar::String(name)) if target.is_empty() => {
                        self.value(name, self.span(key), value);
                    }
                    YamlData::Value(Scalar::String(name)) => {
                        self.value(&format!("{target}.{name}"), self.span(key), value);
                    }
                    _ => self.complain(self.span(key), "expected a name"),
                }
            }
            return;
        }
        let value_span = self.span(node);
        match self.expression(node) {
            Some(value) => self.params.push(Param { target: target.to_owned(), target_span, value, value_span }),
            None => self.complain(value_span, "expected a value, found something nested"),
        }
    }

    /// The value as a recipe would write it. A text stands as it is, so that `2 epochs` is an amount, and a number keeps
    /// its spelling.
    fn expression(&self, node: &MarkedYaml<'_>) -> Option<String> {
        let span = self.span(node);
        Some(match &node.data {
            YamlData::Value(Scalar::Null) => "none".to_owned(),
            YamlData::Value(Scalar::Boolean(value)) => value.to_string(),
            YamlData::Value(Scalar::Integer(_) | Scalar::FloatingPoint(_)) => self.slice(span).to_owned(),
            YamlData::Value(Scalar::String(text)) => text.to_string(),
            // A list that a recipe would spell in the same way stays as it is.
            YamlData::Sequence(parts)
                if parts.iter().all(|it| self.is_spelt_alike(it)) && self.slice(span).starts_with('[') =>
            {
                self.slice(span).to_owned()
            }
            YamlData::Sequence(parts) => {
                let parts = parts.iter().map(|it| match &it.data {
                    YamlData::Value(Scalar::String(text)) => Some(format!("{text:?}")),
                    _ => self.expression(it),
                });
                format!("[{}]", parts.collect::<Option<Vec<_>>>()?.join(", "))
            }
            _ => return None,
        })
    }

    /// Whether a part of a list is a number, `true` or `false`, or a text between double quotes without escapes.
    fn is_spelt_alike(&self, node: &MarkedYaml<'_>) -> bool {
        match &node.data {
            YamlData::Value(Scalar::Integer(_) | Scalar::FloatingPoint(_)) => true,
            YamlData::Value(Scalar::Boolean(value)) => self.slice(self.span(node)) == value.to_string(),
            YamlData::Value(Scalar::String(text)) => {
                let span = self.span(node);
                let before = (span.start as usize).checked_sub(1).and_then(|at| self.text.as_bytes().get(at));
                before == Some(&b'"') && self.slice(span) == text
            }
            _ => false,
        }
    }

    fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Where a node stands, without its quotes.
    fn span(&self, node: &MarkedYaml<'_>) -> Span {
        let [start, end] = [node.span.start, node.span.end].map(|it| self.offset(it.index()));
        // The mark at which a list ends stands before its bracket.
        let rest = self.text.get(start..).unwrap_or_default();
        let end =
            end + usize::from(rest.starts_with('[') && self.text.get(end..).is_some_and(|it| it.starts_with(']')));
        let inner = self.text.get(start..end).and_then(|it| {
            let quote = it.chars().next().filter(|it| matches!(it, '"' | '\''))?;
            it.strip_prefix(quote)?.strip_suffix(quote)
        });
        match inner {
            Some(inner) => Span::new(self.source, start + 1, start + 1 + inner.len()),
            None => Span::new(self.source, start, end),
        }
    }

    fn offset(&self, character: usize) -> usize {
        self.offsets.get(character).copied().unwrap_or(self.text.len())
    }

    fn complain(&mut self, span: Span, message: &str) {
        self.complaints.push(Diagnostic::error(span, message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<String>, Vec<String>) {
        let (params, complaints) = parse(SourceId(0), text);
        let place = |span: Span| text[span.start as usize..span.end as usize].to_owned();
        let sets = params.iter().map(|it| format!("{}={} at `{}`", it.target, it.value, place(it.value_span)));
        let complaints = complaints.iter().map(|it| format!("{} at {}", it.message, it.span.unwrap_or_default().start));
        (sets.collect(), complaints.collect())
    }

    #[test]
    fn values_become_the_text_of_sets() {
        let text = "ß: quick\ndev1:\n  lr: 1e-5\n  budget: '2 epochs'\nrows: [1, \"a\"]\nproblems: null\n";
        let expected = [
            "ß=quick at `quick`",
            "dev1.lr=1e-5 at `1e-5`",
            "dev1.budget=2 epochs at `2 epochs`",
            "rows=[1, \"a\"] at `[1, \"a\"]`",
            "problems=none at `null`",
        ];
        assert_eq!(told(text), (expected.map(str::to_owned).to_vec(), vec![]));
        assert_eq!(told("# nothing\n"), (vec![], vec![]));
    }

    #[test]
    fn what_sets_nothing_is_told_in_its_place() {
        for (text, expected) in [
            ("[1]", "expected names with values, `lr: 1e-5` at 0"),
            ("a: 1\n2: 3\n", "expected a name at 5"),
            ("a: [{b: 1}]\n", "expected a value, found something nested at 3"),
            ("a: 1\na: 2\n", "duplicated key in mapping at 5"),
        ] {
            assert_eq!(told(text).1, [expected], "{text}");
        }
    }
}
