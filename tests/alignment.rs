//! Preferences from end to end: pairs with a known rule, what is learnt from them, and a kill in the middle.

use std::{fs, process::Stdio};

use serde_json::Value;

use crate::harness::Test;

/// A short answer is the better one. What is held out is of questions that nothing was learnt from.
const RULE: &str = r#"
param seed: int = 17
facts  = problems(rows = 1_000 rows, terms_min = 2, terms_max = 2, digits = 2, seed)
text   = documents(facts, worked = 0.5, seed)
vocab  = tokenizer(text, vocab = 280)
raw    = init(vocab, hidden = 32, layers = 2, heads = 2, experts = 4, kv_rank = 16, max_length = 96 tokens, std = 0.06, seed)
base   = pretrain(raw, text, budget = 120 steps, batch = 2k tokens, lr = cosine(5e-3 to 5e-4), seed)
drafts = sample(base, take(facts, rows = 300 rows), n = 8, max_length = 48 tokens, seed)
all    = pairs(drafts, prefer = brevity(48 tokens), margin = 0.1)
learnt = split(all, part = "train", share = 0.75, seed)
held   = split(all, part = "test", share = 0.75, seed) as eval
taste  = reward_model(base, learnt, budget = 1 epoch, batch = 16, lr = 2e-3, seed)
tuned  = dpo(base, learnt, budget = 1 epoch, batch = 16, lr = 3e-4, seed)
sharp  = grpo(base, facts, reward = preference(taste), budget = 12 steps, group = 8, lr = 1e-3, max_length = 48 tokens, seed)
test   = problems(rows = 60 rows, terms_min = 2, terms_max = 2, digits = 2, split = "test", seed) as eval
scores = for model in [base, sharp] { eval(model, test, max_length = 48 tokens, seed) }
rewards = eval_reward(taste, held)
likely  = eval_pairs(tuned, held, base)
require rewards.accuracy >= 0.9
require likely.accuracy >= 0.9
require scores[sharp].mean_length <= 0.7 * scores[base].mean_length
output scores, rewards, likely
"#;

#[test]
fn a_known_rule_is_learnt_and_rl_on_the_reward_model_follows_it() {
    let test = Test::new().file("a.rgm", RULE);
    let run = test.run("run a.rgm --json");
    assert_eq!(run.status, 0, "{run}");
}

const SMALL: &str = r#"
facts  = problems(rows = 40 rows, terms_min = 2, terms_max = 2, seed = 7)
text   = documents(facts, worked = 0.5, seed = 7)
vocab  = tokenizer(text, vocab = 270)
raw    = init(vocab, hidden = 16, layers = 2, heads = 2, experts = 4, kv_rank = 8, max_length = 64 tokens, seed = 7)
base   = pretrain(raw, text, budget = 60 steps, batch = 400 tokens, lr = 3e-3, seed = 7)
drafts = sample(base, take(facts, rows = 20 rows), n = 4, max_length = 24 tokens, seed = 7)
best   = pairs(drafts, prefer = brevity(24 tokens))
good   = labels(drafts, where = length < 10 tokens)
"#;

const STAGES: [&str; 5] = [
    "reward_model(base, best, budget = 12 steps, batch = 4, lr = 1e-3, center = 0.01)",
    "reward_model(base, good, budget = 12 steps, batch = 8, lr = 1e-3, scores = \"answer\")",
    "dpo(base, best, budget = 12 steps, batch = 4, lr = 1e-3)",
    "dpo(base, best, budget = 12 steps, batch = 4, lr = 1e-3, loss = \"orpo\")",
    "dpo(base, good, budget = 12 steps, batch = 8, lr = 1e-3, loss = \"kto\", reference = raw)",
];

/// Killed when the state has been renamed into its place for the n-th time, at several n.
#[test]
fn killed_and_gone_on_with_every_stage_makes_the_same_bytes() {
    let mut resumed = 0;
    let calls: Vec<String> =
        STAGES.iter().enumerate().map(|(at, call)| format!("made{at} = {call}\noutput made{at}\n")).collect();
    let test = Test::new().file("a.rgm", &format!("{SMALL}{}", calls.concat()));
    let quiet = test.done("run a.rgm --json --store quiet --threads 1 --checkpoint-every never");
    for rename in [60, 75, 90, 110, 130] {
        let run = format!("run a.rgm --json --store killed{rename} --checkpoint-every 0s");
        let mut killed = test.command(&run);
        killed.env("REGIMEN_FAILPOINT", format!("rename:after:{rename}=kill"));
        let status = killed.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.code().is_none(), "the run was at its end before {rename} renames");
        let end = test.done(&run);
        resumed += end.json().iter().filter(|it| it["event"] == "step_resumed").count();
        assert_eq!(end.outputs(), quiet.outputs(), "{rename}");
    }
    assert!(resumed > 2, "{resumed} steps went on inside themselves");
}

#[test]
fn a_training_tells_trls_figures_and_the_folder_is_transformers_own() {
    let test = Test::new().file(
        "a.rgm",
        &format!(
            "{SMALL}taste = {}\ntuned = {}\nliked = {}\noutput taste, tuned, liked\n",
            STAGES[0], STAGES[2], STAGES[4]
        ),
    );
    let events = test.done("run a.rgm --json").json();
    let outputs = &events.last().unwrap()["outputs"];
    let folder = |name: &str| test.path(outputs[name]["path"].as_str().unwrap());
    let names = |name: &str| {
        let lines = fs::read_to_string(folder(name).join("metrics.jsonl")).unwrap();
        let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        let names = last.as_object().unwrap().keys().filter(|it| !it.starts_with("router/")).cloned();
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names("taste"),
        "step loss learning_rate grad_norm expert_imbalance accuracy margin min_reward mean_reward max_reward"
    );
    assert_eq!(
        names("tuned"),
        "step loss learning_rate grad_norm expert_imbalance rewards/chosen rewards/rejected rewards/accuracies \
         rewards/margins logps/chosen logps/rejected"
    );
    assert!(names("liked").starts_with("step loss learning_rate grad_norm expert_imbalance kl"), "{}", names("liked"));
    let config: Value =
        serde_json::from_str(&fs::read_to_string(folder("taste").join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "DeepseekV3ForSequenceClassification");
    assert_eq!(config["num_nextn_predict_layers"], 0);
    assert!(config["pad_token_id"].is_u64());
    let mut files: Vec<String> =
        fs::read_dir(folder("taste")).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(
        files.join(" "),
        "README.md config.json metrics.jsonl model.safetensors reward_model.json tokenizer.json tokenizer_config.json"
    );
}

#[test]
fn a_reward_model_scores_a_file() {
    let test = Test::new().file("a.rgm", &format!("{SMALL}taste = {}\noutput taste\n", STAGES[0])).file(
        "answers.jsonl",
        "{\"question\": \"1+1=?\", \"answer\": \"2\", \"completion\": \"<answer>2</answer>\"}\n",
    );
    let events = test.done("run a.rgm --json").json();
    fs::rename(test.path(events.last().unwrap()["outputs"]["taste"]["path"].as_str().unwrap()), test.path("taste"))
        .unwrap();
    let score = |reward: &str| {
        let mut command = test.command("score answers.jsonl --json");
        let output = command.args(["--reward", reward]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (out, error) = score("accuracy + 2 * preference(\"taste\")");
    let row: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
    let (total, terms) = (row["reward"].as_f64().unwrap(), &row["rewards"]);
    assert_eq!(total, terms["accuracy"].as_f64().unwrap() + 2.0 * terms["preference"].as_f64().unwrap());
    assert!(score("preference(\"nowhere\")").1.contains("nowhere"));
    let (_, error) = score("preference(reward_model(\"taste\", dataset(\"pairs.jsonl\", kind = \"pair\")))");
    assert!(error.contains("`preference` asks a model that only a run of a recipe would make"), "{error}");
}

#[test]
fn what_does_not_fit_is_said() {
    let test = Test::new();
    let failed = |call: &str| {
        test.write("a.rgm", &format!("{SMALL}made = {call}\noutput made\n"));
        let run = test.run("run a.rgm --json");
        assert_ne!(run.status, 0, "{call}");
        let events = run.json();
        let failed = events.iter().find(|it| it["event"] == "step_failed");
        failed.unwrap_or_else(|| panic!("{run}"))["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        failed("dpo(base, good)"),
        "expected pairs for this loss, found labels; `loss = \"kto\"` learns from labels"
    );
    assert_eq!(
        failed("dpo(base, best, loss = \"hinge\", label_smoothing = 0.1)"),
        "`label_smoothing` has no effect on this loss; leave it out"
    );
    assert_eq!(
        failed("reward_model(base, good, center = 0.1)"),
        "`center` is for pairs; labels say by themselves where nought is"
    );
    let long = failed("reward_model(base, best, max_length = 10 tokens)");
    assert!(long.contains("rows are longer than 10 tokens"), "{long}");
    let none = failed("pairs(drafts, prefer = brevity(24 tokens), margin = 2.0)");
    assert!(none.contains("not better or worse by more than the margin"), "{none}");
}
