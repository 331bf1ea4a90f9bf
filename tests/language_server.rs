//! The language server as an editor meets it: a program that is spoken to over standard input and output.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

/// An editor.
struct Client {
    server: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    fn start() -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_regimen"))
            .args(["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (server.stdin.take().unwrap(), BufReader::new(server.stdout.take().unwrap()));
        let mut client = Self { server, input, output, next: 0 };
        let answer = client.ask("initialize", json!({"capabilities": {}}));
        assert_eq!(answer["capabilities"]["hoverProvider"], true);
        client.tell("initialized", json!({}));
        client
    }

    fn send(&mut self, message: &Value) {
        let body = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.input.flush().unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the server has gone away");
            match line.trim().split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }

    /// The whole answer to a request.
    fn request(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": self.next, "method": method, "params": params}));
        let answer = self.receive();
        assert_eq!(answer["id"], self.next);
        answer
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.request(method, params);
        assert_eq!(answer["error"], Value::Null);
        answer["result"].clone()
    }

    /// Opens a text, and what is wrong with it.
    fn open(&mut self, uri: &str, text: &str) -> Vec<String> {
        let document = json!({"uri": uri, "languageId": "rgm", "version": 1, "text": text});
        self.tell("textDocument/didOpen", json!({"textDocument": document}));
        self.diagnostics(uri)
    }

    fn change(&mut self, uri: &str, text: &str) -> Vec<String> {
        let params = json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": text}]});
        self.tell("textDocument/didChange", params);
        self.diagnostics(uri)
    }

    fn diagnostics(&mut self, uri: &str) -> Vec<String> {
        let told = self.receive();
        assert_eq!(told["method"], "textDocument/publishDiagnostics");
        assert_eq!(told["params"]["uri"], uri);
        let all = told["params"]["diagnostics"].as_array().unwrap();
        all.iter().map(|it| format!("{} {}", span(&it["range"]), it["message"].as_str().unwrap())).collect()
    }

    /// Asks about the place of the `^` in a line under the one meant.
    fn at(&mut self, method: &str, uri: &str, (line, character): (usize, usize)) -> Value {
        let position = json!({"line": line, "character": character});
        self.ask(method, json!({"textDocument": {"uri": uri}, "position": position}))
    }

    fn end(mut self) {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.tell("exit", Value::Null);
        assert!(self.server.wait().unwrap().success());
    }
}

fn span(range: &Value) -> String {
    let at = |it: &Value| format!("{}:{}", it["line"], it["character"]);
    format!("{}-{}", at(&range["start"]), at(&range["end"]))
}

/// Where a word stands, the `nth` time.
fn place(text: &str, word: &str, nth: usize) -> (usize, usize) {
    let at = text.match_indices(word).nth(nth).unwrap().0;
    let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    (text[..at].matches('\n').count(), at - start)
}

const TEXT: &str = r#"use ./parts.rgm as parts
## The seed of everything.
param seed: int = 17
train = problems(rows = 200 rows, seed)
text  = documents(train, seed)
model = pretrain(init(tokenizer(text), seed), text, budget = 2 epochs, seed)
zero  = grpo(model, train, reward = accuracy, budget = 3 steps, loss = "token", seed)
small = parts(text)
soup  = merge.linear([model, zero])
scores = for m in [model, zero] { eval(m, train, seed) }
require scores[zero].pass1 > 0.5
output soup, small
"#;

#[test]
fn an_editor_is_served() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("parts.rgm"), "## A part.\n\ninput text: Dataset<text>\noutput text\n").unwrap();
    let uri = &format!("file://{}/main.rgm", folder.path().display());
    let mut client = Client::start();

    // Open, edit, and edit back: mistakes come and go.
    assert_eq!(client.open(uri, TEXT), Vec::<String>::new());
    let wrong = TEXT.replace("budget = 3 steps", "bugdet = 3 steps");
    insta::assert_snapshot!(client.change(uri, &wrong).join("\n"), @r"
    6:46-6:52 `grpo` has no argument `bugdet`
    hint: did you mean `budget`?
    ");
    assert_eq!(client.change(uri, TEXT), Vec::<String>::new());

    // Hover.
    let mut hover = |word: &str, nth| {
        let shown = client.at("textDocument/hover", uri, place(TEXT, word, nth));
        shown["contents"]["value"].as_str().unwrap_or_default().to_owned()
    };
    insta::assert_snapshot!(hover("seed", 4), @r"
    ```rgm
    param seed: int = 17
    ```

    The seed of everything.

    Its value is `17`.
    ");
    insta::assert_snapshot!(hover("zero", 1), @r"
    ```rgm
    zero: Model = grpo(..)
    ```
    ");
    insta::assert_snapshot!(hover("loss", 0), @r#"
    ```rgm
    loss: "token" | "rollout" | "sequence" | "constant" | "sum" = "token"
    ```

    What weighs the same in the loss (TRL's `loss_type`): each `token` of a minibatch (bnpo), each token of the
    `rollout` (dapo), each answer (`sequence`: grpo), each token by the longest answer allowed (`constant`: dr_grpo), or
    each token of each answer (`sum`: luspo).
    "#);
    assert!(hover("merge.linear", 0).starts_with("```rgm\nstage merge.linear(\n    models: list<Model>,"));
    assert!(hover("parts(", 0).contains("recipe parts(text: Dataset<text>)\n```\n\nA part."));
    assert_eq!(hover("= 17", 0), "");

    // Completion.
    let mut complete = |word: &str, after: usize| {
        let (line, character) = place(TEXT, word, 0);
        let items = client.at("textDocument/completion", uri, (line, character + after));
        items.as_array().unwrap().iter().map(|it| it["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(complete("\"token\"", 0), ["\"token\"", "\"rollout\"", "\"sequence\"", "\"constant\"", "\"sum\""]);
    let arguments = complete("seed)\ntext", 0);
    assert!(arguments.contains(&"digits = ".to_owned()) && arguments.contains(&"train".to_owned()), "{arguments:?}");
    assert!(!arguments.contains(&"rows = ".to_owned()));
    assert_eq!(complete("scores[zero]", 7), ["model", "zero"]);
    assert_eq!(complete("pass1", 0).first().unwrap(), "pass1");
    assert_eq!(
        complete("linear(", 0),
        [
            "arcee_fusion",
            "breadcrumbs",
            "breadcrumbs_ties",
            "dare_linear",
            "dare_ties",
            "della",
            "della_linear",
            "ema",
            "from",
            "karcher",
            "linear",
            "model_stock",
            "multislerp",
            "nearswap",
            "nuslerp",
            "passthrough",
            "ram",
            "ramplus_tl",
            "sce",
            "slerp",
            "task_arithmetic",
            "ties"
        ]
    );
    assert!(complete("output soup", 0).contains(&"require".to_owned()));

    // Definitions: here, in another recipe, in the library.
    let mut define = |word: &str, nth| {
        let place = client.at("textDocument/definition", uri, place(TEXT, word, nth));
        let file = place["uri"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        (file, place["uri"].as_str().unwrap_or_default().to_owned(), span(&place["range"]))
    };
    let (file, _, range) = define("train", 1);
    assert_eq!((file.as_str(), range.as_str()), ("main.rgm", "3:0-3:5"));
    let (file, _, range) = define("parts(", 0);
    assert_eq!((file.as_str(), range.as_str()), ("parts.rgm", "0:0-0:0"));
    let (file, address, range) = define("grpo", 0);
    assert_eq!(file, "train.rgm");
    let library = fs::read_to_string(address.strip_prefix("file://").unwrap()).unwrap();
    let line: usize = range.split(':').next().unwrap().parse().unwrap();
    assert!(library.lines().nth(line).unwrap().starts_with("stage grpo("));

    // Renaming: every use, and what stood for an argument and its value.
    let (line, character) = place(TEXT, "seed", 1);
    let at = json!({"line": line, "character": character});
    let edit =
        client.ask("textDocument/rename", json!({"textDocument": {"uri": uri}, "position": at, "newName": "luck"}));
    let edits = edit["documentChanges"][0]["edits"].as_array().unwrap();
    let renamed = apply(TEXT, edits);
    insta::assert_snapshot!(renamed, @r#"
    use ./parts.rgm as parts
    ## The seed of everything.
    param luck: int = 17
    train = problems(rows = 200 rows, seed = luck)
    text  = documents(train, seed = luck)
    model = pretrain(init(tokenizer(text), seed = luck), text, budget = 2 epochs, seed = luck)
    zero  = grpo(model, train, reward = accuracy, budget = 3 steps, loss = "token", seed = luck)
    small = parts(text)
    soup  = merge.linear([model, zero])
    scores = for m in [model, zero] { eval(m, train, seed = luck) }
    require scores[zero].pass1 > 0.5
    output soup, small
    "#);
    let refused =
        client.request("textDocument/rename", json!({"textDocument": {"uri": uri}, "position": at, "newName": "for"}));
    assert_eq!(
        refused["error"]["message"],
        "`for` cannot be a name: letters, digits and `_`, and no word of the language"
    );

    // The renamed text is a recipe, and the server brings it into form.
    assert_eq!(client.change(uri, &renamed), Vec::<String>::new());
    let options = json!({"tabSize": 4, "insertSpaces": true});
    let edits = client.ask("textDocument/formatting", json!({"textDocument": {"uri": uri}, "options": options}));
    let formatted = apply(&renamed, edits.as_array().unwrap());
    assert!(formatted.contains("small  = parts(text)\nsoup   = merge.linear([model, zero])\nscores = for m in"));

    // Symbols.
    let symbols = client.ask("textDocument/documentSymbol", json!({"textDocument": {"uri": uri}}));
    let names: Vec<&str> = symbols.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["luck", "train", "text", "model", "zero", "small", "soup", "scores"]);

    let unknown = client.request("textDocument/nothing", json!({}));
    assert_eq!(unknown["error"]["message"], "unknown request `textDocument/nothing`");
    client.end();
}

/// A text with edits applied, from the last to the first.
fn apply(text: &str, edits: &[Value]) -> String {
    let byte = |at: &Value| {
        let line = at["line"].as_u64().unwrap() as usize;
        let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        start + at["character"].as_u64().unwrap() as usize
    };
    let mut edited = text.to_owned();
    for edit in edits.iter().rev() {
        let range = byte(&edit["range"]["start"])..byte(&edit["range"]["end"]);
        edited.replace_range(range, edit["newText"].as_str().unwrap());
    }
    edited
}

#[test]
fn the_flagship_opens_without_a_mistake() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/r1.rgm");
    let mut client = Client::start();
    let uri = format!("file://{}", path.display());
    assert_eq!(client.open(&uri, &fs::read_to_string(&path).unwrap()), Vec::<String>::new());
    client.end();
}
