//! Training as a stage: experts that are kept in even use, and the figures and the counts of every step.

use std::{collections::BTreeMap, fs};

use insta::assert_snapshot;
use regimen::store::Store;
use serde_json::Value;

use crate::harness::Test;

/// The figures of the steps of a training, by its address.
fn figures(test: &Test, address: &str) -> Vec<BTreeMap<String, f64>> {
    let store = Store::open(test.path("s"));
    let record = store.records().into_iter().find(|it| it.address == address).unwrap();
    let text = fs::read_to_string(store.object(&record.output).join("metrics.jsonl")).unwrap();
    let line = |line: &str| -> BTreeMap<String, f64> {
        let figures: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        figures.into_iter().map(|(name, value)| (name, value.as_f64().unwrap())).collect()
    };
    text.lines().map(line).collect()
}

/// The busiest expert's load over the mean in each layer, in the mean over the last steps.
fn loads(test: &Test, address: &str) -> Vec<f64> {
    let steps = figures(test, address);
    let last = &steps[steps.len() - 20..];
    let names: Vec<&String> = last[0].keys().filter(|name| name.ends_with("load_max")).collect();
    names.iter().map(|name| last.iter().map(|it| it[*name]).sum::<f64>() / 20.0).collect()
}

#[test]
fn experts_are_kept_in_even_use() {
    let recipe = "
facts = problems(rows = 200 rows, terms_min = 2, terms_max = 3)
text  = documents(facts, worked = 0.5)
vocab = tokenizer(text, vocab = 270)
latent  = init(vocab, hidden = 16, layers = 3, heads = 2, kv_rank = 8, std = 0.3, max_length = 64 tokens)
grouped = init(vocab, architecture = \"qwen3_moe\", hidden = 16, layers = 3, heads = 2, std = 0.3, max_length = 64 tokens)
biased = pretrain(latent, text, budget = 100 steps, batch = 500 tokens, lr = 3e-3, bias_speed = 1e-2 then 0.0 after 99 steps)
left   = pretrain(latent, text, budget = 100 steps, batch = 500 tokens, lr = 3e-3, bias_speed = 0.0)
evened = pretrain(grouped, text, budget = 100 steps, batch = 500 tokens, lr = 3e-3, balance = 0.5)
alone  = pretrain(grouped, text, budget = 100 steps, batch = 500 tokens, lr = 3e-3)
output biased, left, evened, alone
";
    let test = Test::new().file("a.rgm", recipe);
    test.done("run a.rgm --store s --threads 1");
    for (kept, left) in [("biased", "left"), ("evened", "alone")] {
        let (kept, left) = (loads(&test, kept), loads(&test, left));
        assert_eq!((kept.len(), left.len()), (2, 2));
        for (kept, left) in kept.iter().zip(&left) {
            assert!(*kept <= 2.0 && kept < left, "kept {kept}, left alone {left}");
        }
        assert!(left.iter().any(|it| *it > 2.0), "left alone {left:?}");
    }
    // The bias moves by its speed at every step, and stands where the speed is nothing.
    let bias: Vec<f64> = figures(&test, "biased").iter().map(|it| it["router/layer_1/bias_max"]).collect();
    assert!((bias[0] - 0.01).abs() < 1e-6 && bias[99] == bias[98], "{bias:?}");
    // The balance loss of even use is about the number of experts per token.
    let aux = figures(&test, "evened").last().unwrap()["aux_loss"];
    assert!((1.9..2.2).contains(&aux), "{aux}");
}

#[test]
fn examples_that_do_not_fit_are_counted() {
    let turn = |length: usize| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"1\"}},{{\"role\":\"assistant\",\"content\":\"{}\"}}]}}\n",
            "x".repeat(length)
        )
    };
    let chats: String = [3, 3, 3, 40, 3, 3, 3, 3, 3, 3].map(turn).concat();
    let recipe = "
vocab = tokenizer(documents(problems(rows = 20 rows, terms_min = 2, terms_max = 2)), vocab = 265)
raw   = init(vocab, hidden = 16, layers = 2, heads = 2, max_length = 64 tokens)
chats = dataset(\"chats.jsonl\", kind = \"chat\")
short = sft(raw, chats, batch = 4, budget = 1 epoch, max_length = 16 tokens, overlong = \"drop\")
cut   = sft(raw, chats, batch = 4, budget = 1 epoch, max_length = 16 tokens, overlong = \"truncate\")
output short, cut
";
    let test = Test::new().file("a.rgm", recipe).file("chats.jsonl", &chats);
    test.done("run a.rgm --store s --threads 1");
    let names = |address: &str| {
        let last = figures(&test, address).pop().unwrap();
        let text = |name: &str| last.get(name).map_or("none".to_owned(), |it| format!("{it}"));
        ["epoch", "num_tokens", "rows/dropped", "rows/truncated"]
            .map(|name| format!("{name} {}", text(name)))
            .join(", ")
    };
    // Nine chats of eight tokens each: two that open the turns, one that begins, one that ends, and what is said.
    assert_snapshot!(names("short"), @"epoch 1, num_tokens 72, rows/dropped 1, rows/truncated none");
    assert_snapshot!(names("cut"), @"epoch 1, num_tokens 88, rows/dropped none, rows/truncated 1");

    let tight = recipe.replace("budget", "overlong_limit = 0.05, budget").replace("output short, cut", "output cut");
    test.write("b.rgm", &tight);
    let said = test.run("run b.rgm --store s --threads 1").stderr;
    let complaint: String = said.lines().filter(|it| it.contains("rows are longer")).take(1).collect();
    assert_snapshot!(complaint.trim_start(), @"FAILED  cut               1 of 10 rows are longer than 16 tokens (the longest has 45), which is more than the 0.0500 that `overlong_limit` allows; raise `max_length`, or `overlong_limit` if so many may go");
}
