//! Bad input gets a clear error and exit code 1, and nothing is written, not even the folder of the store.

use std::fs;

use crate::harness::{Said, Test};

/// Runs a recipe that cannot run, in a folder that looks the same afterwards.
fn refused(test: &Test) -> Said {
    let before = test.entries();
    let said = test.run("run a.rgm");
    assert_eq!(test.entries(), before, "something was written");
    said
}

#[test]
fn a_recipe_that_is_not_there() {
    insta::assert_snapshot!(refused(&Test::new()), @"
    exit 1
    --- stderr
    error: a.rgm: there is no such file
    ");
}

#[test]
fn data_files_that_are_not_there_are_all_named() {
    let recipe =
        "math = dataset(\"math.jsonl\")\nmore = dataset(\"more.jsonl\")\nboth = mix([math, more])\noutput both\n";
    insta::assert_snapshot!(refused(&Test::new().file("a.rgm", recipe)), @r#"
    exit 1
    --- stderr
    error: cannot read `math.jsonl`: there is no such file
       ,-[ a.rgm:1:16 ]
       |
     1 | math = dataset("math.jsonl")
       |                ^^^^^^^^^^^^

    error: cannot read `more.jsonl`: there is no such file
       ,-[ a.rgm:2:16 ]
       |
     2 | more = dataset("more.jsonl")
       |                ^^^^^^^^^^^^
    "#);
}

#[test]
fn a_malformed_row_is_named_by_file_and_line() {
    let test = Test::new()
        .file("a.rgm", "math = dataset(\"data/math.jsonl\")\nfew = take(math, rows = 1 row)\noutput few\n")
        .file("data/math.jsonl", "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n{\"question\": \"1 + 2\",\n");
    insta::assert_snapshot!(refused(&test), @r#"
    exit 1
    --- stderr
    error: data/math.jsonl:2: expected a JSON object, found `eof while parsing a value` at column 21
       ,-[ a.rgm:1:16 ]
       |
     1 | math = dataset("data/math.jsonl")
       |                ^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_row_without_its_column_is_named_by_file_and_line() {
    let test = Test::new().file("a.rgm", "math = dataset(\"math.jsonl\")\noutput math\n").file(
        "math.jsonl",
        "{\"question\": \"1 + 1\", \"answer\": \"2\"}\n{\"problem\": \"1 + 2\", \"answer\": \"3\"}\n",
    );
    insta::assert_snapshot!(refused(&test), @r#"
    exit 1
    --- stderr
    error: math.jsonl:2: expected a column `question`, found `problem`, `answer`; say which holds it with `question = ".."`
       ,-[ a.rgm:1:16 ]
       |
     1 | math = dataset("math.jsonl")
       |                ^^^^^^^^^^^^
    "#);
}

#[test]
fn a_model_of_an_unknown_architecture() {
    let test = Test::new()
        .file("a.rgm", "model = load(\"mamba\")\noutput model\n")
        .file("mamba/config.json", "{\"architectures\": [\"MambaForCausalLM\"], \"model_type\": \"mamba\"}");
    insta::assert_snapshot!(refused(&test), @r#"
    exit 1
    --- stderr
    error: `mamba/config.json`: field `model_type`: expected `deepseek_v3`, `llama`, `qwen2` or `qwen3_moe`, found `mamba`; this program computes no other kind of model
       ,-[ a.rgm:1:14 ]
       |
     1 | model = load("mamba")
       |              ^^^^^^^
    "#);
}

/// The weights of a model made here, cut off at every quarter.
#[test]
fn a_truncated_model() {
    let test = Test::new().file(
        "init.rgm",
        "text = documents(problems(rows = 20 rows))\nmodel = init(tokenizer(text, vocab = 270), hidden = 16, layers = 2)\noutput model\n",
    );
    let made = test.done("run init.rgm --store made --json").json();
    let object = test.path(made.last().unwrap()["outputs"]["model"]["path"].as_str().unwrap());
    fs::create_dir(test.path("cut")).unwrap();
    for entry in fs::read_dir(&object).unwrap() {
        let entry = entry.unwrap();
        let copy = test.path("cut").join(entry.file_name());
        fs::write(copy, fs::read(entry.path()).unwrap()).unwrap();
    }
    test.write("a.rgm", "model = load(\"cut\")\noutput model\n");
    let weights = fs::read(object.join("model.safetensors")).unwrap();
    let mut found = String::new();
    for quarter in 0..4 {
        fs::write(test.path("cut/model.safetensors"), &weights[..weights.len() / 4 * quarter]).unwrap();
        found += &refused(&test).to_string();
    }
    insta::assert_snapshot!(found, @r#"
    exit 1
    --- stderr
    error: `cut/model.safetensors` is truncated or not a safetensors file: header too small
       ,-[ a.rgm:1:14 ]
       |
     1 | model = load("cut")
       |              ^^^^^
    exit 1
    --- stderr
    error: `cut/model.safetensors` is truncated or not a safetensors file: incomplete metadata, file not fully covered
       ,-[ a.rgm:1:14 ]
       |
     1 | model = load("cut")
       |              ^^^^^
    exit 1
    --- stderr
    error: `cut/model.safetensors` is truncated or not a safetensors file: incomplete metadata, file not fully covered
       ,-[ a.rgm:1:14 ]
       |
     1 | model = load("cut")
       |              ^^^^^
    exit 1
    --- stderr
    error: `cut/model.safetensors` is truncated or not a safetensors file: incomplete metadata, file not fully covered
       ,-[ a.rgm:1:14 ]
       |
     1 | model = load("cut")
       |              ^^^^^
    "#);

    fs::write(test.path("cut/model.safetensors"), weights).unwrap();
    test.done("run a.rgm");
}

#[test]
fn five_mistakes_are_shown_at_once() {
    let recipe = r#"facts = problems(rows = 10)
text  = documents(fact)
vocab = tokenizer(text, size = 280)
base  = pretrain(init(vocab), facts)
zero  = grpo(base, facts, reward = acuracy, budget = 2 steps)
output zero
"#;
    let test = Test::new().file("a.rgm", recipe);
    insta::assert_snapshot!(refused(&test), @"
    exit 1
    --- stderr
    error: expected rows, found int
       ,-[ a.rgm:1:25 ]
       |
     1 | facts = problems(rows = 10)
       |                         ^^
       = hint: add the unit: `10 rows`

    error: unknown name `fact`
       ,-[ a.rgm:2:19 ]
       |
     2 | text  = documents(fact)
       |                   ^^^^
       = hint: did you mean `facts`?

    error: `tokenizer` has no argument `size`
       ,-[ a.rgm:3:25 ]
       |
     3 | vocab = tokenizer(text, size = 280)
       |                         ^^^^
       = hint: it takes text, vocab, template

    error: expected Dataset<text>, found Dataset<problem>
       ,-[ a.rgm:4:31 ]
       |
     4 | base  = pretrain(init(vocab), facts)
       |                               ^^^^^
       = hint: `documents` makes it of a Dataset<problem>

    error: unknown name `acuracy`
       ,-[ a.rgm:5:36 ]
       |
     5 | zero  = grpo(base, facts, reward = acuracy, budget = 2 steps)
       |                                    ^^^^^^^
       = hint: did you mean `accuracy`?
    ");
    // Every command that plans says the same.
    for command in ["plan", "why", "graph"] {
        assert_eq!(test.run(&format!("{command} a.rgm")).stderr, test.run("run a.rgm").stderr);
    }
}

/// What is wrong with one file keeps the whole run from starting, also where a store is there already.
#[test]
fn a_store_that_is_there_gets_no_record_of_a_run_that_cannot_start() {
    let test = Test::new().file("ok.rgm", "facts = problems(rows = 10 rows)\noutput facts\n");
    test.done("run ok.rgm");
    let records = || fs::read_dir(test.path(".regimen/records")).unwrap().count();
    let runs = || fs::read_dir(test.path(".regimen/runs")).unwrap().count();
    let before = (records(), runs());
    test.write("a.rgm", "more = problems(rows = 20 rows)\nmath = dataset(\"math.jsonl\")\noutput more, math\n");
    test.write("math.jsonl", "{}\n");
    assert_eq!(refused(&test).status, 1);
    assert_eq!((records(), runs()), before);
}
