//! How long an editor waits for the language server on the flagship recipe: a server in a process of its own, spoken to as
//! editors do.
//!
//! `cargo bench --bench editor` prints the median and the longest of a hundred answers of each kind.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads the clock, and ends where anything fails"
)]

#[path = "../tests/editor.rs"]
mod editor;

use std::{fs, path::Path, time::Instant};

use editor::{Client, place};
use serde_json::json;

const TIMES: usize = 100;

fn main() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/r1.rgm");
    let text = fs::read_to_string(&path).unwrap();
    let uri = &format!("file://{}", path.display());
    let mut client = Client::start();
    let start = Instant::now();
    assert_eq!(client.open(uri, &text), Vec::<String>::new());
    println!("{:<12} {:>6.2} ms", "open", 1e3 * start.elapsed().as_secs_f64());

    let wrong = text.replacen("budget", "bugdet", 1);
    measure("edit", |at| {
        let complaints = client.change(uri, if at % 2 == 0 { &wrong } else { &text });
        assert_eq!(complaints.is_empty(), at % 2 == 1);
    });
    let (line, character) = place(&text, "grpo", 0);
    let position = json!({"line": line, "character": character});
    let document = json!({"uri": uri});
    let asked = json!({"textDocument": document, "position": position});
    let named = place(&text, "zero", 0);
    let mut rename = asked.clone();
    rename["position"] = json!({"line": named.0, "character": named.1});
    rename["newName"] = json!("infant_model");
    let whole = json!({"textDocument": document, "options": {"tabSize": 4, "insertSpaces": true}});
    for (what, method, params) in [
        ("hover", "textDocument/hover", &asked),
        ("complete", "textDocument/completion", &asked),
        ("define", "textDocument/definition", &asked),
        ("rename", "textDocument/rename", &rename),
        ("format", "textDocument/formatting", &whole),
        ("symbols", "textDocument/documentSymbol", &whole),
    ] {
        measure(what, |_| assert!(!client.ask(method, params.clone()).is_null(), "{method}"));
    }
    client.end();
}

/// Prints how long something takes.
fn measure(what: &str, mut act: impl FnMut(usize)) {
    let mut millis: Vec<f64> = Vec::with_capacity(TIMES);
    for at in 0..TIMES {
        let start = Instant::now();
        act(at);
        millis.push(1e3 * start.elapsed().as_secs_f64());
    }
    millis.sort_by(f64::total_cmp);
    println!("{what:<12} {:>6.2} ms in the middle, {:.2} ms at most", millis[TIMES / 2], millis[TIMES - 1]);
}
