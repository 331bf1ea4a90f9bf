//! The language server as an editor meets it: a program that is spoken to over standard input and output.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::editor::{Client, place, span};

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
