//! Failures that only the files of a recipe tell of, found before anything runs: at `plan`, and so at `run`.

use std::fs;

use crate::harness::Test;

const PREFILLED: &str =
    "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<think>\\n{% endif %}";

#[test]
fn a_format_reward_against_a_prefilled_template() {
    let test = Test::new();
    let recipe = |template: &str, reward: &str| {
        format!(
            "train = problems(rows = 20 rows)\ntext = documents(train)\n\
             base = init(tokenizer(text, template = \"{template}\"), hidden = 32, layers = 2)\n\
             zero = grpo(base, train, reward = {reward}, budget = 1 step)\n"
        )
    };
    test.write("recipe.rgm", &recipe(PREFILLED, "accuracy + format"));
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @r#"
    exit 1
    --- stderr
    error: the prompt already opens `<think>`, so no answer can have the form that `format` asks for
       ,-[ recipe.rgm:4:35 ]
       |
     4 | zero = grpo(base, train, reward = accuracy + format, budget = 1 step)
       |                                   ^^^^^^^^^^^^^^^^^
       |
       |-[ recipe.rgm:4:35 ]
       |
     3 | base = init(tokenizer(text, template = "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}"), hidden = 32, layers = 2)
       |                                        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |                                                                                            `------------------------------------------------------ the chat template comes from here
       = hint: leave `<think>` out of the template's last lines, or `format` out of the reward
    "#);
    // Without the format, or with a template that closes what it opens, there is nothing to refuse.
    test.write("recipe.rgm", &recipe(PREFILLED, "accuracy"));
    test.done("plan recipe.rgm");
    test.write("recipe.rgm", &recipe(&format!("{PREFILLED}</think>"), "format"));
    test.done("plan recipe.rgm");
}

#[test]
fn answers_that_the_verifier_cannot_confirm() {
    let test = Test::new();
    let rows = [
        r#"{"question": "1 + 1", "answer": "2"}"#,
        r#"{"question": "a half", "answer": "so it is <answer>0.5</answer>"}"#,
        r#"{"question": "long", "answer": "LONG"}"#,
    ];
    test.write("math.jsonl", &rows.join("\n").replace("LONG", &"very ".repeat(300)));
    let recipe = "input math: Dataset<problem> = \"math.jsonl\"\ntext = documents(math)\n\
                  base = init(tokenizer(text), hidden = 32, layers = 2)\nscore = eval(base, math)\n";
    test.write("recipe.rgm", recipe);
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @r#"
    exit 1
    --- stderr
    error: 1 of 3 answers cannot be confirmed by the verifier
       ,-[ recipe.rgm:1:32 ]
       |
     1 | input math: Dataset<problem> = "math.jsonl"
       |                                ^^^^^^^^^^^^
       = note: line 3: "very very very very very very very very "..
       = hint: give the bare answer, such as `72` or `\frac{1}{2}`, in the column `answer`
    "#);
    // `run` finds it as well, before it writes anything.
    assert!(test.run("run recipe.rgm").stderr.contains("1 of 3 answers cannot be confirmed by the verifier"));
    assert!(fs::read_dir(test.path(".regimen")).is_err());
}

#[test]
fn prompts_longer_than_the_context() {
    let test = Test::new();
    test.write(
        "math.jsonl",
        &format!(
            "{{\"question\": \"{}\", \"answer\": \"1\"}}\n{{\"question\": \"1\", \"answer\": \"1\"}}\n",
            "1 + ".repeat(100)
        ),
    );
    let made = "output vocab\nvocab = tokenizer(documents(problems(rows = 50 rows)), vocab = 280)\n";
    test.write("vocab.rgm", made);
    let outputs = test.done("run vocab.rgm --json").outputs();
    let digest = &outputs[0].1;
    let folder = format!(".regimen/objects/{}/{digest}", &digest[..2]);
    assert!(test.path(&folder).join("tokenizer.json").exists());
    let recipe = |context: usize, longest: usize| {
        format!(
            "input vocab: Tokenizer = \"{folder}\"\ninput math: Dataset<problem> = \"math.jsonl\"\n\
             base = init(vocab, hidden = 32, layers = 2, max_length = {context} tokens)\n\
             score = eval(base, take(math, rows = 2 rows), max_length = {longest} tokens)\n"
        )
    };
    test.write("recipe.rgm", &recipe(64, 16));
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @r#"
    exit 1
    --- stderr
    error: 1 of 2 prompts are longer than the 64 tokens that the model reads
       ,-[ recipe.rgm:4:20 ]
       |
     4 | score = eval(base, take(math, rows = 2 rows), max_length = 16 tokens)
       |                    ^^^^^^^^^^^^^^^^^^^^^^^^^
       = note: the longest has 403 tokens
       = hint: shorten or drop these problems, or give the model a larger `max_length`
    "#);
    test.write("recipe.rgm", &recipe(4096, 4096));
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @"
    exit 1
    --- stderr
    error: no prompt leaves room for an answer of 4096 tokens in the 4096 that the model reads
       ,-[ recipe.rgm:4:20 ]
       |
     4 | score = eval(base, take(math, rows = 2 rows), max_length = 4096 tokens)
       |                    ^^^^^^^^^^^^^^^^^^^^^^^^^
       = note: the longest prompt has 403 tokens
       = hint: lower `max_length` here, or give the model a larger one
    ");
    test.write("recipe.rgm", &recipe(4096, 64));
    test.done("plan recipe.rgm");
}

#[test]
fn answers_that_would_never_stop() {
    let test = Test::new();
    let made = "text = documents(problems(rows = 50 rows))\n\
                base = init(tokenizer(text, vocab = 280), hidden = 32, layers = 2)\noutput base\n";
    test.write("base.rgm", made);
    let outputs = test.done("run base.rgm --json").outputs();
    let digest = &outputs[0].1;
    let folder = test.path(&format!(".regimen/objects/{}/{digest}", &digest[..2]));
    fs::create_dir(test.path("base")).unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), test.path("base").join(file.file_name())).unwrap();
    }
    let config = fs::read_to_string(test.path("base/tokenizer_config.json")).unwrap();
    let ends_with = |token: &str| {
        test.write("base/tokenizer_config.json", &config.replace("\"eos_token\": \"<|eos|>\"", token));
    };
    let asked = "base = load(\"base\")\nscore = eval(base, problems(rows = 2 rows), max_length = 16 tokens)\n";
    test.write("recipe.rgm", asked);
    test.done("plan recipe.rgm");
    // The tokenizer has no such token.
    ends_with("\"eos_token\": \"</s>\"");
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @r#"
    exit 1
    --- stderr
    error: tokenizer: `eos_token` is `</s>` in tokenizer_config.json, but tokenizer.json has no such token
       ,-[ recipe.rgm:1:13 ]
       |
     1 | base = load("base")
       |             ^^^^^^
     2 | score = eval(base, problems(rows = 2 rows), max_length = 16 tokens)
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |                                      `------------------------------- this step draws answers
    "#);
    // It has, but the model's configuration says that it ends its texts with another.
    ends_with("\"eos_token\": \"<|pad|>\"");
    insta::assert_snapshot!(test.run("plan recipe.rgm"), @r#"
    exit 1
    --- stderr
    error: answers would not stop: the model ends them with `<|eos|>`, the tokenizer with `<|pad|>`
       ,-[ recipe.rgm:1:13 ]
       |
     1 | base = load("base")
       |             ^^^^^^
     2 | score = eval(base, problems(rows = 2 rows), max_length = 16 tokens)
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |                                      `------------------------------- this step draws answers
       = hint: let `eos_token` in tokenizer_config.json name the token that `eos_token_id` in config.json does
    "#);
    // A text of one's own to stop at will do, and so will training, which teaches the tokenizer's end.
    test.write(
        "recipe.rgm",
        "base = load(\"base\")\ndrawn = sample(base, problems(rows = 2 rows), stop = [\"</answer>\"])\n",
    );
    test.done("plan recipe.rgm");
    let trained = "base = load(\"base\")\ntaught = pretrain(base, documents(problems(rows = 9 rows)), budget = 1 step)\n\
                   score = eval(taught, problems(rows = 2 rows), max_length = 16 tokens)\n";
    test.write("recipe.rgm", trained);
    test.done("plan recipe.rgm");
}
