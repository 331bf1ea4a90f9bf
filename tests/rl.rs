//! Reinforcement learning: what the presets come to, what a rollout tells, what a kill leaves, and what an ablation reruns.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use regimen::{
    base::{argument, span::Sources},
    lang::{self, Overrides},
    stages::formula,
    syntax,
};
use serde_json::{Value, json};

use crate::harness::Test;

/// The steps of a recipe: address, stage, arguments.
fn calls(recipe: &str) -> Vec<(String, String, Value)> {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", recipe);
    let (file, complaints) = syntax::parse(id, recipe);
    assert!(complaints.is_empty(), "{complaints:?}");
    let (program, complaints) = lang::check(&mut sources, &file, &Overrides::default());
    assert!(complaints.is_empty(), "{complaints:?}");
    program.calls.into_iter().map(|call| (call.address, call.stage, argument::object(&call.arguments))).collect()
}

/// The formulas of the steps of a recipe that have one, each under its address.
fn formulas(recipe: &str) -> String {
    let calls = calls(recipe);
    let told = calls.iter().filter_map(|(address, stage, arguments)| {
        let lines = formula::of(stage, arguments)?;
        Some((address, format!("{address}\n  {}\n", lines.join("\n  "))))
    });
    told.collect::<BTreeMap<_, _>>().into_values().collect()
}

const BASE: &str = r#"
facts = problems(rows = 40 rows, terms_min = 2, terms_max = 2)
text  = documents(facts, worked = 0.5)
vocab = tokenizer(text, vocab = 270)
raw   = init(vocab, hidden = 16, layers = 2, heads = 2, experts = 4, kv_rank = 8, max_length = 64 tokens)
base  = pretrain(raw, text, budget = 20 steps, batch = 400 tokens, lr = 3e-3)
"#;

#[test]
fn every_preset_says_what_it_minimises() {
    let presets = r#"
plain        = grpo(base, facts, reward = accuracy, budget = 9 steps)
r1           = grpo.r1(base, facts, reward = accuracy + format, budget = 9 steps)
r1_written   = grpo.r1(base, facts, reward = accuracy, budget = 9 steps, importance_sampling_level = "product")
deepseekmath = grpo.deepseekmath(base, facts, reward = accuracy, budget = 9 steps)
dapo         = grpo.dapo(base, facts, budget = 9 steps)
dr           = grpo.dr(base, facts, budget = 9 steps)
gspo         = grpo.gspo(base, facts, reward = accuracy, budget = 9 steps)
cispo        = grpo.cispo(base, facts, reward = accuracy, budget = 9 steps)
lite         = grpo.lite(base, facts, reward = accuracy, budget = 9 steps)
output plain, r1, r1_written, deepseekmath, dapo, dr, gspo, cispo, lite
"#;
    insta::assert_snapshot!(formulas(&format!("{BASE}{presets}")), @r"
    cispo.policy
      loss = -B/Σ|o| Σ_i Σ_t sg(clip(r, 0, 5)) A log π(o_t)
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group, B = minibatches
      128 questions of 16 answers in 16 minibatches of N = 128
    dapo.policy
      loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.28) A)
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group
      512 questions of 16 answers in 16 minibatches of N = 512;
      questions whose answers are worth the same are replaced, up to 10 times
    deepseekmath.policy
      loss = -1/N Σ_i 1/|o_i| Σ_t [min(r A, clip(r, 0.8, 1.2) A) - 0.04 k3]
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group, k3 = x - log x - 1, x = π_ref(o_t)/π(o_t)
      16 questions of 64 answers, N = 1024; π_ref is the model at the start
    dr.policy
      loss = -1/(N L) Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
      where r = π(o_t)/π_old(o_t), A = R - mean of the group, L = max_length
      128 questions of 8 answers, N = 1024
    gspo.policy
      loss = -1/N Σ_i min(s A, clip(s, 0.9997, 1.0004) A)
      where s = (π(o)/π_old(o))^(1/|o|), A = (R - mean)/std of the group
      128 questions of 8 answers in 4 minibatches of N = 256
    lite.policy
      loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
      where r = π(o_t)/π_old(o_t), A = (R - mean of the group)/std of the batch
      128 questions of 8 answers, N = 1024
    plain
      loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group
      8 questions of 16 answers, N = 128
    r1.policy
      loss = -1/N Σ_i 1/|o_i| Σ_t [min(r A, clip(r, 0, 11) A) - 0.001 k3]
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group, k3 = x - log x - 1, x = π_ref(o_t)/π(o_t)
      512 questions of 16 answers in 16 minibatches of N = 512; π_ref becomes π every 25 steps
    r1_written.policy
      loss = -1/N Σ_i [min(r A, clip(r, 0, 11) A) - 0.001 k3]
      where r = π(o)/π_old(o), A = (R - mean)/std of the group, k3 = x - log x - 1, x = π_ref(o)/π(o)
      512 questions of 16 answers in 16 minibatches of N = 512; π_ref becomes π every 25 steps
    ");
}

#[test]
fn every_option_stands_in_the_formula() {
    let options = r#"
all  = grpo(base, facts, reward = accuracy, budget = 9 steps, kl = 0.1, kl_estimator = "k2", reference = refresh(5 steps),
            use_bias_correction_kl = true, ref_model_mixup_alpha = 0.6, delta = 4.0, off_policy_mask_threshold = 0.5,
            loss = "constant", minibatches = 3, iterations = 2, dynamic_sampling = 4, mask_truncated_completions = true,
            entropy_coef = 1e-3, top_entropy_quantile = 0.2)
sapo = grpo(base, facts, reward = accuracy, budget = 9 steps, surrogate = "sapo", loss = "sum", normalize = "batch")
v32  = grpo(base, facts, reward = accuracy, budget = 9 steps, kl = 0.01, kl_estimator = "k1", loss = "rollout",
            importance_sampling_level = "sequence", use_bias_correction_kl = true)
output all, sapo, v32
"#;
    insta::assert_snapshot!(formulas(&format!("{BASE}{options}")), @r"
    all
      loss = -1/(N L) Σ_i Σ_t [min(min(r, 4) A, clip(r, 0.8, 1.2) A) - 0.1 r k2] - 0.001 mean H_t
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group, k2 = (log x)²/2, x = π_ref(o_t)/π(o_t), H_t = the entropy of π at o_t, L = max_length
      8 questions of 16 answers in 3 minibatches of N = 43, each 2 times;
      π_ref moves by 0.6 of the way to π every 5 steps;
      questions whose answers are worth the same are replaced, up to 4 times;
      answers that were cut off are left out;
      the policy learns from the 20 % of tokens with the most entropy;
      answers with A < 0 and a mean of log π_old/π above 0.5 are left out
    sapo
      loss = -1/N Σ_i Σ_t 4/τ sigmoid(τ (r - 1)) A
      where r = π(o_t)/π_old(o_t), A = (R - mean of the group)/std of the batch, τ = 1 where A > 0, else 1.05
      8 questions of 16 answers, N = 128
    v32
      loss = -B/Σ|o| Σ_i Σ_t [min(s A, clip(s, 0.8, 1.2) A) - 0.01 s k1]
      where s = (π(o)/π_old(o))^(1/|o|), A = (R - mean)/std of the group, k1 = -log x, x = π_ref(o_t)/π(o_t), B = minibatches
      8 questions of 16 answers, N = 128; π_ref is the model at the start
    ");
}

#[test]
fn plan_and_show_print_the_loss() {
    let recipe = format!(
        "{BASE}one = grpo(base, facts, reward = format, budget = 1 step, prompts = 2, group = 2, max_length = 4 tokens)\ntwo = grpo(base, facts, reward = format, budget = 2 steps, prompts = 2, group = 2, max_length = 4 tokens)\noutput one, two\n"
    );
    let test = Test::new().file("a.rgm", &recipe);
    let plan = test.done("plan a.rgm").stdout;
    let (_, printed) = plan.split_once("\none, two\n").unwrap();
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
    where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group
    2 questions of 2 answers, N = 4
    ");
    let json = test.done("plan a.rgm --json").json().remove(0);
    let told = json["steps"].as_array().unwrap().iter().find(|it| it["address"] == "one").unwrap();
    assert_eq!(told["formula"], json!(lines));
    test.done("run a.rgm");
    assert!(test.done("show one").stdout.ends_with(&format!("what it minimises\n{printed}")));
    // What is made already is not told of again.
    assert!(!test.done("plan a.rgm").stdout.contains("loss ="));
}

#[test]
fn arguments_that_do_not_go_together_are_found_before_anything_runs() {
    let recipe = format!(
        "{BASE}zero = grpo(base, facts, reward = format, budget = 1 step, clip_high = 0.5, delta = 1.25)\nsoft = grpo(base, facts, reward = format, budget = 1 step, surrogate = \"sapo\", delta = 3.0)\noutput zero, soft\n"
    );
    let test = Test::new().file("a.rgm", &recipe);
    insta::assert_snapshot!(test.run("plan a.rgm").stderr, @r#"
    error: expected a `delta` above 1 + `clip_high`, 1.5, found 1.25
       ,-[ a.rgm:7:85 ]
       |
     7 | zero = grpo(base, facts, reward = format, budget = 1 step, clip_high = 0.5, delta = 1.25)
       |                                                                                     ^^^^

    error: only the surrogate `clip` has a `delta`; leave it out
       ,-[ a.rgm:8:88 ]
       |
     8 | soft = grpo(base, facts, reward = format, budget = 1 step, surrogate = "sapo", delta = 3.0)
       |                                                                                        ^^^
    "#);
}

/// The lines of a training's figures.
fn metrics(test: &Test, run: &[Value], output: &str) -> Vec<BTreeMap<String, f64>> {
    let path = run.last().unwrap()["outputs"][output]["path"].as_str().unwrap();
    let text = fs::read_to_string(test.path(path).join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where no answer is worth more than another, others are drawn until the tries are over, and nothing is learnt.
#[test]
fn groups_of_equal_reward_are_drawn_anew_and_counted() {
    let recipe = format!(
        "{BASE}even = grpo(base, facts, reward = format, budget = 2 steps, prompts = 3, group = 2, max_length = 6 tokens, dynamic_sampling = 4)\nsome = grpo(base, facts, reward = brevity(6 tokens), budget = 2 steps, prompts = 3, group = 2, max_length = 6 tokens, dynamic_sampling = 4)\noutput even, some\n"
    );
    let test = Test::new().file("a.rgm", &recipe);
    let run = test.done("run a.rgm --json").json();
    let mut tokens = 0.0;
    for line in metrics(&test, &run, "even") {
        assert_eq!((line["dynamic_sampling/tries"], line["dynamic_sampling/groups"]), (4.0, 15.0));
        assert_eq!((line["dynamic_sampling/even_left"], line["frac_reward_zero_std"]), (3.0, 1.0));
        assert_eq!((line["loss"], line["grad_norm"]), (0.0, 0.0));
        assert!(line["num_tokens"] > tokens);
        tokens = line["num_tokens"];
    }
    for line in metrics(&test, &run, "some") {
        let (tries, groups) = (line["dynamic_sampling/tries"], line["dynamic_sampling/groups"]);
        assert_eq!(tries > 0.0, groups > 3.0, "{line:?}");
        assert_eq!(line["sampling/sampling_logp_difference/max"], 0.0);
    }
}

/// The names that TRL gives, beside those of our own.
#[test]
fn a_step_tells_its_figures_under_the_names_of_trl() {
    let recipe = format!(
        "{BASE}zero = grpo(base, facts, reward = accuracy + brevity(6 tokens), budget = 1 step, prompts = 2, group = 2, max_length = 6 tokens, kl = 0.1)\noutput zero\n"
    );
    let test = Test::new().file("a.rgm", &recipe);
    let run = test.done("run a.rgm --json").json();
    let names: Vec<String> = metrics(&test, &run, "zero").remove(0).into_keys().collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    accuracy
    clip_ratio/high_max
    clip_ratio/high_mean
    clip_ratio/low_mean
    clip_ratio/low_min
    clip_ratio/region_mean
    completions/clipped_ratio
    completions/max_length
    completions/max_terminated_length
    completions/mean_length
    completions/mean_terminated_length
    completions/min_length
    completions/min_terminated_length
    entropy
    expert_imbalance
    frac_reward_zero_std
    grad_norm
    kl
    learning_rate
    loss
    num_tokens
    policy_loss
    reward
    reward_std
    rewards/accuracy/mean
    rewards/accuracy/std
    rewards/brevity/mean
    rewards/brevity/std
    router/layer_1/bias_max
    router/layer_1/load_cv
    router/layer_1/load_max
    sampling/importance_sampling_ratio/max
    sampling/importance_sampling_ratio/mean
    sampling/importance_sampling_ratio/min
    sampling/sampling_logp_difference/max
    sampling/sampling_logp_difference/mean
    step
    ");
}

/// Everything that a training may have to remember at once: a reference that has moved, minibatches that are learnt from
/// twice, questions asked in the place of others, phases.
#[test]
fn a_killed_training_ends_in_the_same_bytes_with_all_it_has_to_remember() {
    let recipe = format!(
        "{BASE}zero = grpo(base, facts, reward = accuracy then accuracy + brevity(12 tokens) after 2 steps, budget = 24 steps,
     prompts = 3, group = 4, lr = cosine(1e-3 to 1e-4), temperature = 1.0 then 0.7 after 5 steps, kl = 0.05,
     max_length = 8 tokens then 12 tokens after 4 steps, reference = refresh(5 steps), ref_model_mixup_alpha = 0.6,
     minibatches = 2, iterations = 2, dynamic_sampling = 2, entropy_coef = 1e-3, top_entropy_quantile = 0.5)
output zero\n"
    );
    let test = Test::new().file("a.rgm", &recipe);
    let quiet = test.done("run a.rgm --json --store quiet --checkpoint-every never").outputs();
    let command = "run a.rgm --json --store killed --checkpoint-every 0s";
    let mut resumed = 0;
    for _ in 0..6 {
        let mut run = test.command(command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut steps = 0;
        // A few steps into the training, or where it goes on.
        for line in lines.by_ref() {
            resumed += usize::from(line.contains("\"event\":\"step_resumed\"") && line.contains("\"zero\""));
            steps += usize::from(line.contains("\"event\":\"progress\"") && line.contains("\"zero\""));
            if steps == 3 {
                break;
            }
        }
        run.kill().unwrap();
        run.wait().unwrap();
    }
    assert!(resumed > 0, "no training was killed in its midst");
    assert_eq!(test.done(command).outputs(), quiet);
}

#[test]
fn an_ablation_reruns_only_the_cone_below_what_varies() {
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/ablation.rgm");
    let test = Test::new();
    let command = |name: &str, variants: &str| {
        let mut command = test.command(name);
        command.arg(&recipe).args([
            "--json",
            "--set",
            "scale=quick",
            "--set",
            "rounds=1",
            "--set",
            "base.budget=10k tokens",
        ]);
        command.args(["--set", &format!("variants={variants}")]);
        command
    };
    let run = command("run", r#"["whole"]"#).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let all = r#"["whole", "no cold start", "no language reward", "clip 0.2", "fixed reference"]"#;
    let plan = command("plan", all).output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let with = |state: &str| -> Vec<&str> {
        let found = steps.iter().filter(|it| it["state"] == state);
        found.map(|it| it["address"].as_str().unwrap()).collect()
    };
    insta::assert_snapshot!(format!("hit: {}\nrun: {}", with("hit").join(", "), with("run").join(", ")), @r"
    hit: test, train, drafts.data, text, vocab, base.model, base, zero, drafts, cold, dev1, models[whole, 1].policy, scores[whole, 1]
    run: models[no cold start, 1].policy, scores[no cold start, 1], models[clip 0.2, 1].policy, models[fixed reference, 1].policy, models[no language reward, 1].policy, scores[clip 0.2, 1], scores[fixed reference, 1], scores[no language reward, 1]
    ");
}
