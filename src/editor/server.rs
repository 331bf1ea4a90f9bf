//! The Language Server Protocol: requests in, answers and diagnostics out, one at a time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use lsp_server::{Connection, ErrorCode, Message, Notification, ProtocolError, Request, Response};
use lsp_types::{
    CompletionOptions, DiagnosticRelatedInformation, DiagnosticSeverity, DocumentChanges, DocumentSymbol,
    GotoDefinitionResponse, Hover, HoverContents, HoverProviderCapability, Location, MarkupContent, MarkupKind, OneOf,
    OptionalVersionedTextDocumentIdentifier, PublishDiagnosticsParams, ServerCapabilities, SymbolKind,
    TextDocumentEdit, TextDocumentSyncCapability, TextDocumentSyncKind, TextEdit, Uri, WorkspaceEdit,
    notification::{self, Notification as _},
    request::{self, Request as _},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    base::{
        diagnostic::{Diagnostic, Severity},
        span::Span,
    },
    editor::{analysis::Analysis, complete, hover, lines},
    lang::imports::Unreadable,
    syntax::{self, RESERVED, ast::Item},
};

/// Why the server ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    #[error("the editor has gone away")]
    Gone,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Serves one editor until it says goodbye. `read` gives the text of files that are not open; `library` is a folder that
/// holds the texts of the standard library, for an editor to show.
///
/// # Errors
/// Where the editor breaks the protocol or goes away.
pub fn serve(
    connection: &Connection,
    library: &Path,
    read: &mut dyn FnMut(&Path) -> Result<String, Unreadable>,
) -> Result<(), ServerError> {
    connection.initialize(serde_json::to_value(capabilities())?)?;
    let mut server = Server { connection, library: library.to_owned(), read, open: BTreeMap::new() };
    for message in &connection.receiver {
        match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request)? {
                    return Ok(());
                }
                let response = server.answer(request);
                connection.sender.send(Message::Response(response)).map_err(|_| ServerError::Gone)?;
            }
            Message::Notification(notification) => server.notice(notification)?,
            Message::Response(_) => {}
        }
    }
    Ok(())
}

fn capabilities() -> ServerCapabilities {
    let triggers = ["(", ".", "[", ",", "="].map(str::to_owned).to_vec();
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        completion_provider: Some(CompletionOptions { trigger_characters: Some(triggers), ..Default::default() }),
        definition_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Left(true)),
        document_formatting_provider: Some(OneOf::Left(true)),
        document_symbol_provider: Some(OneOf::Left(true)),
        ..ServerCapabilities::default()
    }
}

struct Server<'a> {
    connection: &'a Connection,
    library: PathBuf,
    read: &'a mut dyn FnMut(&Path) -> Result<String, Unreadable>,
    /// The recipes that the editor has open, as it has them.
    open: BTreeMap<PathBuf, Analysis>,
}

/// A request that cannot be fulfilled, said in words.
struct Refused(String);

type Answer<T> = Result<T, Refused>;

impl Server<'_> {
    fn notice(&mut self, it: Notification) -> Result<(), ServerError> {
        match it.method.as_str() {
            notification::DidOpenTextDocument::METHOD => {
                let params: lsp_types::DidOpenTextDocumentParams = serde_json::from_value(it.params)?;
                self.take_in(&params.text_document.uri, &params.text_document.text)
            }
            notification::DidChangeTextDocument::METHOD => {
                let params: lsp_types::DidChangeTextDocumentParams = serde_json::from_value(it.params)?;
                match params.content_changes.last() {
                    Some(change) => self.take_in(&params.text_document.uri, &change.text),
                    None => Ok(()),
                }
            }
            notification::DidCloseTextDocument::METHOD => {
                let params: lsp_types::DidCloseTextDocumentParams = serde_json::from_value(it.params)?;
                self.open.remove(&path_of(&params.text_document.uri));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks a text as the editor has it now, and says what is wrong with it.
    fn take_in(&mut self, uri: &Uri, text: &str) -> Result<(), ServerError> {
        let path = path_of(uri);
        let (open, read) = (&self.open, &mut self.read);
        let mut files = |path: &Path| open.get(path).map_or_else(|| read(path), |it| Ok(it.text().to_owned()));
        let analysis = Analysis::new(&path, text, &mut files);
        let own = analysis.diagnostics.iter().filter(|it| it.span.is_none_or(|it| it.source == analysis.source));
        let diagnostics = own.map(|it| self.diagnostic(&analysis, it)).collect();
        self.open.insert(path, analysis);
        let params = PublishDiagnosticsParams { uri: uri.clone(), diagnostics, version: None };
        let notification = Notification::new(notification::PublishDiagnostics::METHOD.to_owned(), params);
        self.connection.sender.send(Message::Notification(notification)).map_err(|_| ServerError::Gone)
    }

    fn diagnostic(&self, analysis: &Analysis, it: &Diagnostic) -> lsp_types::Diagnostic {
        let mut message = it.message.clone();
        it.notes.iter().for_each(|note| message += &format!("\nnote: {note}"));
        it.hint.iter().for_each(|hint| message += &format!("\nhint: {hint}"));
        let related = it.labels.iter().filter_map(|(span, label)| {
            Some(DiagnosticRelatedInformation { location: self.location(analysis, *span)?, message: label.clone() })
        });
        let (start, end) = it.span.map_or((0, 0), |it| (it.start as usize, it.end as usize));
        lsp_types::Diagnostic {
            range: lines::range(analysis.text(), start, end),
            severity: Some(match it.severity {
                Severity::Error => DiagnosticSeverity::ERROR,
                Severity::Warning => DiagnosticSeverity::WARNING,
            }),
            source: Some("regimen".to_owned()),
            message,
            related_information: Some(related.collect::<Vec<_>>()).filter(|it| !it.is_empty()),
            ..lsp_types::Diagnostic::default()
        }
    }

    fn answer(&self, it: Request) -> Response {
        let result = match it.method.as_str() {
            request::HoverRequest::METHOD => handle(it.params, |params| self.hover(&params)),
            request::Completion::METHOD => handle(it.params, |params| self.complete(&params)),
            request::GotoDefinition::METHOD => handle(it.params, |params| self.define(&params)),
            request::Rename::METHOD => handle(it.params, |params| self.rename(&params)),
            request::Formatting::METHOD => handle(it.params, |params| self.format(&params)),
            request::DocumentSymbolRequest::METHOD => handle(it.params, |params| self.symbols(&params)),
            other => Err((ErrorCode::MethodNotFound, format!("unknown request `{other}`"))),
        };
        match result {
            Ok(value) => Response::new_ok(it.id, value),
            Err((code, message)) => Response::new_err(it.id, code as i32, message),
        }
    }

    fn analysis(&self, uri: &Uri) -> Answer<&Analysis> {
        self.open.get(&path_of(uri)).ok_or_else(|| Refused("the file is not open".to_owned()))
    }

    fn hover(&self, params: &lsp_types::HoverParams) -> Answer<Option<Hover>> {
        let at = &params.text_document_position_params;
        let analysis = self.analysis(&at.text_document.uri)?;
        let Some(name) = analysis.index().at(lines::offset(analysis.text(), at.position)) else { return Ok(None) };
        let Some(value) = hover::text(analysis, name.definition) else { return Ok(None) };
        let contents = HoverContents::Markup(MarkupContent { kind: MarkupKind::Markdown, value });
        let range = lines::range(analysis.text(), name.span.start as usize, name.span.end as usize);
        Ok(Some(Hover { contents, range: Some(range) }))
    }

    fn complete(&self, params: &lsp_types::CompletionParams) -> Answer<Vec<lsp_types::CompletionItem>> {
        let at = &params.text_document_position;
        let analysis = self.analysis(&at.text_document.uri)?;
        Ok(complete::at(analysis, lines::offset(analysis.text(), at.position)))
    }

    fn define(&self, params: &lsp_types::GotoDefinitionParams) -> Answer<Option<GotoDefinitionResponse>> {
        let at = &params.text_document_position_params;
        let analysis = self.analysis(&at.text_document.uri)?;
        let name = analysis.index().at(lines::offset(analysis.text(), at.position));
        let location = name.and_then(|it| self.location(analysis, it.definition));
        Ok(location.map(GotoDefinitionResponse::Scalar))
    }

    fn rename(&self, params: &lsp_types::RenameParams) -> Answer<WorkspaceEdit> {
        let at = &params.text_document_position;
        let analysis = self.analysis(&at.text_document.uri)?;
        let text = analysis.text();
        let index = analysis.index();
        let name =
            index.at(lines::offset(text, at.position)).ok_or_else(|| Refused("there is no name here".to_owned()))?;
        let new = params.new_name.as_str();
        let is_word = new.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        if !is_word || new.starts_with(|it: char| it.is_ascii_digit()) || new.is_empty() || RESERVED.contains(&new) {
            return Err(Refused(format!(
                "`{new}` cannot be a name: letters, digits and `_`, and no word of the language"
            )));
        }
        let is_recipe = name.definition.start == name.definition.end;
        if name.definition.source != analysis.source && !is_recipe {
            return Err(Refused("this name is defined in another file".to_owned()));
        }
        let edits = index.of(name.definition).filter(|it| !(is_recipe && text_of(analysis, it.span).starts_with('.')));
        let mut edits: Vec<TextEdit> = edits
            .map(|it| TextEdit {
                range: lines::range(text, it.span.start as usize, it.span.end as usize),
                // What stood for an argument and its value goes on naming the argument.
                new_text: if it.is_both { format!("{} = {new}", text_of(analysis, it.span)) } else { new.to_owned() },
            })
            .collect();
        edits.sort_by_key(|it| (it.range.start, it.range.end));
        edits.dedup();
        let text_document =
            OptionalVersionedTextDocumentIdentifier { uri: at.text_document.uri.clone(), version: None };
        let edits = edits.into_iter().map(OneOf::Left).collect();
        let changes = DocumentChanges::Edits(vec![TextDocumentEdit { text_document, edits }]);
        Ok(WorkspaceEdit { document_changes: Some(changes), ..WorkspaceEdit::default() })
    }

    /// The whole text anew; nothing where it has mistakes, which are shown already.
    fn format(&self, params: &lsp_types::DocumentFormattingParams) -> Answer<Vec<TextEdit>> {
        let analysis = self.analysis(&params.text_document.uri)?;
        let text = analysis.text();
        Ok(match syntax::format(analysis.source, text) {
            Ok(new_text) if new_text != text => {
                vec![TextEdit { range: lines::range(text, 0, text.len()), new_text }]
            }
            Ok(_) | Err(_) => Vec::new(),
        })
    }

    fn symbols(&self, params: &lsp_types::DocumentSymbolParams) -> Answer<Vec<DocumentSymbol>> {
        let analysis = self.analysis(&params.text_document.uri)?;
        Ok(analysis.file.items.iter().filter_map(|it| symbol(analysis, it)).collect())
    }

    /// A place as the editor can open it.
    fn location(&self, analysis: &Analysis, span: Span) -> Option<Location> {
        let source = analysis.sources.get(span.source)?;
        let path = if span.source.is_library() {
            self.library.join(source.path.strip_prefix("std").unwrap_or(&source.path))
        } else {
            source.path.clone()
        };
        let range = lines::range(&source.text, span.start as usize, span.end as usize);
        Some(Location { uri: uri_of(&path)?, range })
    }
}

fn handle<P: DeserializeOwned, T: Serialize>(
    params: Value,
    answer: impl FnOnce(P) -> Answer<T>,
) -> Result<Value, (ErrorCode, String)> {
    let params = serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))?;
    let answer = answer(params).map_err(|Refused(message)| (ErrorCode::RequestFailed, message))?;
    serde_json::to_value(answer).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}

fn text_of(analysis: &Analysis, span: Span) -> &str {
    analysis.sources.slice(span)
}

#[expect(deprecated, reason = "the protocol's type still has the field `deprecated`")]
fn symbol(analysis: &Analysis, item: &Item) -> Option<DocumentSymbol> {
    let (name, span, kind, detail) = match item {
        Item::Param(it) => (it.name.text.clone(), it.name.span, SymbolKind::CONSTANT, text_of(analysis, it.ty.span)),
        Item::Input(it) => (it.name.text.clone(), it.name.span, SymbolKind::VARIABLE, text_of(analysis, it.ty.span)),
        Item::Binding(it) => (it.name.text.clone(), it.name.span, SymbolKind::VARIABLE, ""),
        Item::Stage(it) => {
            let span = it.path.iter().map(|it| it.span).reduce(Span::to)?;
            (text_of(analysis, span).to_owned(), span, SymbolKind::FUNCTION, text_of(analysis, it.returns.span))
        }
        Item::Test(it) => (it.name.text.clone(), it.name.span, SymbolKind::EVENT, "test"),
        Item::Use(_) | Item::Require(_) | Item::Output(_) => return None,
    };
    let range = |span: Span| lines::range(analysis.text(), span.start as usize, span.end as usize);
    Some(DocumentSymbol {
        name,
        detail: Some(detail.to_owned()).filter(|it| !it.is_empty()),
        kind,
        tags: None,
        deprecated: None,
        range: range(item.span()),
        selection_range: range(span),
        children: None,
    })
}

/// The path that a `file:` address names.
fn path_of(uri: &Uri) -> PathBuf {
    let text = uri.as_str();
    let path = text.strip_prefix("file://").unwrap_or(text);
    let bytes = path.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let coded = path.get(at + 1..at + 3).and_then(|it| u8::from_str_radix(it, 16).ok());
        match (byte, coded) {
            (b'%', Some(value)) => {
                plain.push(value);
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    PathBuf::from(String::from_utf8_lossy(&plain).into_owned())
}

fn uri_of(path: &Path) -> Option<Uri> {
    let mut text = String::from("file://");
    for byte in path.to_str()?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => text.push(byte as char),
            other => text += &format!("%{other:02X}"),
        }
    }
    Uri::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_paths() {
        let path = Path::new("/a b/ß.rgm");
        let uri = uri_of(path).unwrap();
        assert_eq!(uri.as_str(), "file:///a%20b/%C3%9F.rgm");
        assert_eq!(path_of(&uri), path);
    }
}
