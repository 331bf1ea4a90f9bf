//! What a plan costs: told before, shown after, limited by a budget, and compared between two recipes.

use regimen::{base::work::Machine, run::machine, store::Store};
use serde_json::Value;

use crate::harness::{TINY, Test};

/// The lines of a plan's or a comparison's screen without their prices.
fn without_prices(text: &str) -> String {
    let line = |line: &str| {
        let line = line.split("; ").next().unwrap_or(line);
        let words: Vec<&str> = line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect();
        let figure = |word: &&str| {
            let unit = word.rsplit(' ').next().unwrap_or("");
            ["ms", "s", "B", "KiB", "MiB", "GiB", "tokens"].contains(&unit) || unit.ends_with("FLOP")
        };
        words.into_iter().filter(|word| !figure(word)).collect::<Vec<_>>().join("  ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn json(test: &Test, arguments: &str) -> Value {
    test.done(arguments).json().remove(0)
}

#[test]
fn every_step_has_a_price_before_anything_has_run() {
    let test = Test::new().file("tiny.rgm", TINY);
    let plan = json(&test, "plan tiny.rgm --json");
    for step in plan["steps"].as_array().unwrap() {
        let estimate = &step["estimate"];
        assert_eq!(estimate["from"], "model", "{step}");
        assert!(estimate["memory"].as_u64().unwrap() > 0 && estimate["bytes"].as_u64().unwrap() > 0, "{step}");
        let trains = ["pretrain", "grpo", "sample", "eval"].contains(&step["stage"].as_str().unwrap());
        assert_eq!(estimate["flops"].as_f64().is_some_and(|it| it > 0.0), trains, "{step}");
    }
    let total = &plan["total"];
    assert_eq!(total["unknown"], 0);
    assert!(total["seconds"].as_f64().unwrap() > 0.0 && total["tokens"].as_f64().unwrap() > 4_000.0, "{total}");
    assert_eq!(test.entries(), ["tiny.rgm"], "a plan writes nothing");
}

#[test]
fn what_a_run_measured_is_what_the_next_plan_says() {
    let test = Test::new().file("tiny.rgm", TINY);
    test.done("run tiny.rgm");
    let status = json(&test, "status --json");
    let costs = status["costs"].as_array().unwrap();
    assert_eq!(costs.len(), 11);
    for cost in costs {
        assert!(cost["expected_seconds"].as_f64().unwrap() > 0.0 && cost["seconds"].as_f64().unwrap() > 0.0, "{cost}");
        if let Some(memory) = cost["memory"].as_u64() {
            assert!(memory <= cost["expected_memory"].as_u64().unwrap() + cost["beside"].as_u64().unwrap(), "{cost}");
        }
    }
    test.write("more.rgm", &TINY.replace("budget = 8 steps", "budget = 800 steps"));
    let step = |name: &str, plan: &Value| {
        plan["steps"].as_array().unwrap().iter().find(|step| step["address"] == name).unwrap().clone()
    };
    let more = step("base", &json(&test, "plan more.rgm --json"));
    assert_eq!((&more["estimate"]["from"], &more["why"]), (&"history".into(), &"budget 8 steps -> 800 steps".into()));
    let took = costs.iter().find(|cost| cost["address"] == "base").unwrap()["seconds"].as_f64().unwrap();
    let told = more["estimate"]["seconds"].as_f64().unwrap();
    assert!(told > 10.0 * took, "a hundred times the work took {took} s for eight steps, and is told to take {told} s");
}

#[test]
fn a_plan_over_its_budget_is_refused_with_the_figure() {
    let test = Test::new().file("tiny.rgm", TINY).file("long.rgm", &TINY.replace("8 steps", "8_000_000 steps"));
    for command in ["plan", "run"] {
        let said = test.run(&format!("{command} long.rgm --budget 2h"));
        assert_eq!(said.status, 7, "{said}");
        assert!(said.stderr.starts_with("error: the plan would take about "), "{said}");
        assert!(said.stderr.ends_with("more than the budget of 2 h 00 min\n"), "{said}");
        let said = test.run(&format!("{command} tiny.rgm --budget 10kB"));
        assert_eq!(said.status, 7, "{said}");
        assert!(said.stderr.ends_with("more than the budget of 9.8 KiB\n"), "{said}");
    }
    assert_eq!(test.entries(), ["long.rgm", "tiny.rgm"], "what is refused writes nothing");
    assert_eq!(test.done("plan tiny.rgm --budget 2h --budget 10GB").status, 0);
    let said = test.run("run tiny.rgm --budget 2houres");
    assert_eq!((said.status, said.stderr.contains("did you mean `hours`?")), (1, true), "{said}");
}

#[test]
fn a_model_too_large_for_the_machine_is_refused_before_it_starts() {
    let test = Test::new().file("large.rgm", &TINY.replace("hidden = 16, layers = 2", "hidden = 65_536, layers = 900"));
    let said = test.run("run large.rgm");
    assert_eq!(said.status, 7, "{said}");
    assert!(said.stderr.starts_with("error: `") && said.stderr.contains("would hold about "), "{said}");
    assert!(said.stderr.ends_with("are free\n"), "{said}");
    assert_eq!(test.entries(), ["large.rgm"]);
}

#[test]
fn a_machine_is_measured_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let told = Machine { training: [1.0, 2.0], ..Machine::usual(3) };
    let text = serde_json::json!({"format": 1, "machine": told}).to_string();
    std::fs::write(folder.path().join("machine.json"), text).unwrap();
    assert_eq!(machine(&store, 3), told);
    assert_ne!(machine(&store, 1).training, told.training, "another number of threads is another machine");
}

const CHANGED: &str = "\
## The same, said otherwise, but for the reward.
param seed: int = 7
test = problems(rows = 8 rows, terms_min = 2, terms_max = 2, split = \"test\", seed) as eval
facts = problems(seed = 7, terms_max = 2, rows = 120 rows, terms_min = 2) # turned round
text = documents(facts, worked = 0.5, seed)
words = tokenizer(text, vocab = 280)
raw = init(words, hidden = 16, layers = 2, heads = 2, experts = 4, kv_rank = 8, max_length = 128 tokens, seed)
base = pretrain(raw, text, budget = 8 steps, batch = 512 tokens, lr = 1e-3, seed)
zero = grpo(base, facts, reward = accuracy, budget = 2 steps, prompts = 2, group = 4, max_length = 16 tokens, seed)
answers = sample(zero, facts, max_length = 16 tokens, seed)
kept = filter(answers, where = length < 100 tokens)
score = eval(zero, test, max_length = 16 tokens, seed)
extra = take(facts, rows = 3 rows)
output zero, kept, score, extra
";

#[test]
fn a_diff_says_what_runs_anew_and_why() {
    let test = Test::new().file("a.rgm", TINY).file("b.rgm", CHANGED);
    let said = test.done("diff a.rgm b.rgm");
    assert!(said.stdout.contains("steps to run: about "), "{said}");
    insta::assert_snapshot!(without_prices(&said.stdout), @r"
    a.rgm -> b.rgm: 6 steps the same, 1 changed, 3 following, 1 new, 1 gone
    new  extra  take  b.rgm:13
    changed  zero  grpo  reward 2 * accuracy + format -> accuracy  a.rgm:9 -> b.rgm:9
    follows  answers  sample  after zero
    follows  kept  filter  after answers
    follows  score  eval  after zero
    gone  few  take  a.rgm:13
    ");
    assert_eq!(test.entries(), ["a.rgm", "b.rgm"], "a comparison writes nothing");
}

#[test]
fn names_places_and_comments_are_no_difference() {
    let moved: String = TINY.lines().rev().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let renamed = moved.replace("zero", "nought").replace("facts", "sums") + "\n# the end\n";
    let test = Test::new().file("a.rgm", TINY).file("b.rgm", &renamed);
    assert_eq!(test.done("diff a.rgm b.rgm").stdout, "a.rgm -> b.rgm: 11 steps the same\n");
}

#[test]
fn one_recipe_is_compared_with_what_set_makes_of_it() {
    let test = Test::new().file("a.rgm", TINY);
    test.done("run a.rgm --set zero.lr=2e-6");
    let said = json(&test, "diff a.rgm --set zero.lr=2e-6 --json");
    let step = |name: &str| said["steps"].as_array().unwrap().iter().find(|it| it["address"] == name).unwrap();
    let zero = step("zero");
    assert_eq!((&zero["change"], &zero["made"]), (&"changed".into(), &true.into()), "{zero}");
    assert_eq!(zero["differences"][0]["field"], "arguments.lr");
    assert_eq!((&step("base")["change"], &step("score")["after"][0]), (&"same".into(), &"zero".into()));
}

#[test]
fn why_answers_where_nothing_was_ever_made() {
    let test = Test::new().file("a.rgm", TINY);
    let said = test.done("why a.rgm facts");
    assert_eq!(said.stdout, "facts (problems) would run: never made: this store holds nothing of its stage\n");
    let said = test.done("why a.rgm zero");
    assert_eq!(
        said.stdout,
        "zero (grpo) would run: facts, base must be made first\n  needs   facts (problems): new\n  needs   base (pretrain): after raw, text\n"
    );
}

/// Device-hours of DeepSeek-R1 (arXiv 2501.12948v2, table 7) and of DeepSeek-V3's pretraining (arXiv 2412.19437, table 1).
const PUBLISHED: [(&str, &[&str], f64); 4] = [
    ("V3-Base", &["base"], 2_664e3),
    ("R1-Zero", &["zero"], 101e3),
    ("the data of the fine-tuning", &["drafts", "cold", "thoughts"], 5e3),
    ("R1", &["dev1", "dev2", "dev3", "r1"], 41e3),
];

#[test]
fn the_paper_costs_what_it_says_within_a_factor_of_two() {
    let root = env!("CARGO_MANIFEST_DIR");
    let plan = format!("plan {root}/workflows/paper.rgm --machine {root}/workflows/h800.yaml");
    let test = Test::new();
    let priced = json(&test, &format!("{plan} --json"));
    for (what, steps, published) in PUBLISHED {
        let hours = |step: &Value| step["device_hours"].as_f64().unwrap();
        let all = priced["steps"].as_array().unwrap().iter();
        let told: f64 = all.filter(|it| steps.contains(&it["address"].as_str().unwrap())).map(hours).sum();
        assert!((0.5..2.0).contains(&(told / published)), "{what}: {told} device-hours of {published}");
    }
    assert_eq!(test.entries(), Vec::<String>::new(), "a price writes nothing");
    let said = test.done(&plan).stdout;
    let line = said.lines().find(|line| line.starts_with("priced for")).unwrap();
    assert_eq!(
        line.rsplit_once(';').unwrap().0,
        "priced for 512 x H800: 386 TFLOP/s each in training, 180 TFLOP/s in sampling, 38 tokens/s an answer"
    );
}

#[test]
fn a_machine_lacking_a_figure_is_told_at_its_place() {
    let test =
        Test::new().file("a.rgm", TINY).file("slow.yaml", "name: slow\ndevices: 2\nbandwidth: 1e9\ntraining: 0\n");
    let said = test.run("plan a.rgm --machine slow.yaml").stderr;
    assert_eq!(said, "error: slow.yaml: missing field `sampling`\n");
    let test = test.file("slow.yaml", "name: slow\ndevices: 2\nbandwidth: 1e9\ntraining: 0\nsampling: 1e9\n");
    let said = test.run("plan a.rgm --machine slow.yaml").stderr;
    assert_eq!(said, "error: slow.yaml: expected `training` to be above nought, found 0\n");
}
