//! Rewriting and judging: the final answer stays, each row is kept or counted, and a verdict is what its definition says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use regimen::{
    base::digest::Digest,
    data::{
        rows::{Message, Sample},
        template::Opening,
        tokenizer::Tokenizer,
    },
    model::{Packed, Transformer},
    reward::answer::is_correct,
};
use serde_json::{Value, json};

use crate::harness::Test;

/// A model that has learnt to blurt out 5 or 7.
const BASE: &str = r#"
param seed: int = 3
pool   = dataset("pool.jsonl")
text   = documents(pool, worked = 0.0, seed)
vocab  = tokenizer(text, vocab = 290)
raw    = init(vocab, hidden = 16, layers = 1, heads = 2, experts = 4, kv_rank = 8, max_length = 128 tokens, seed)
base   = pretrain(raw, text, budget = 90 steps, batch = 400 tokens, lr = 1e-2, seed)
"#;

const RECIPE: &str = r#"
drafts  = dataset("drafts.jsonl", kind = "sample")
dropped = rewrite(drafts, base, prompt = "{question}", tries = 2, max_length = 12 tokens, seed)
stayed  = rewrite(drafts, base, prompt = "{question}", lost = "keep", where = length < 9 tokens, max_length = 12 tokens,
                  seed)
judged  = judge(base, drafts, rubric = "{question}", yes = "<answer>5", no = "<answer>7")
better  = judge(base, drafts, rubric = "{question}", yes = "<answer>5", no = "<answer>7", least = 0.5)
tuned   = grpo(base, pool, reward = accuracy + judge_reward(base, "{question}", "<answer>5", "<answer>7"),
               budget = 2 steps, prompts = 2, group = 2, max_length = 12 tokens, seed)
output dropped, stayed, judged, better, tuned, base
"#;

fn draft(at: u32) -> Value {
    // Every third one is wrong, and one has no answer at all.
    let answer = 5 + 2 * (at % 2);
    let given = if at % 3 == 2 { 12 - answer } else { answer };
    let completion =
        if at == 9 { "<think>no end".to_owned() } else { format!("<think>x</think><answer>{given}</answer>") };
    json!({
        "question": format!("No {at}?"), "answer": answer.to_string(), "prompt": format!("No {at}?"),
        "completion": completion, "tokens": 9, "finish": "stop",
    })
}

fn kitchen() -> Test {
    let pool = |at: u32| format!("{{\"question\":\"No {at}?\",\"answer\":\"{}\"}}\n", 5 + 2 * (at % 2));
    Test::new()
        .file("base.rgm", &format!("{BASE}output base\n"))
        .file("a.rgm", &format!("{BASE}{RECIPE}"))
        .file("pool.jsonl", &(0..20).map(pool).collect::<String>())
        .file("drafts.jsonl", &(0..18).map(|at| format!("{}\n", draft(at))).collect::<String>())
}

fn object(run: &[Value], test: &Test, output: &str) -> PathBuf {
    test.path(run.last().unwrap()["outputs"][output]["path"].as_str().unwrap())
}

fn lines(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("rows.jsonl")).unwrap().lines().map(str::to_owned).collect()
}

fn sample(line: &str) -> Sample {
    serde_json::from_str(line).unwrap()
}

fn summary(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("dataset.json")).unwrap()).unwrap()
}

/// The final answer of a draft or of its rewriting.
fn given(sample: &Sample) -> Option<&str> {
    ["5", "7"].into_iter().find(|it| is_correct(&sample.completion, it))
}

#[test]
fn a_rewriting_keeps_the_answer_and_every_row_is_kept_or_counted() {
    let test = kitchen();
    let run = test.done("run a.rgm --json --store s").json();
    let drafts: Vec<String> =
        (0..18).map(|at| serde_json::to_string(&sample(&draft(at).to_string())).unwrap()).collect();
    let of = |row: &Sample| drafts.iter().find(|it| Some(Digest::of(it.as_bytes())) == row.lineage.draft);
    let base = object(&run, &test, "base").file_name().unwrap().to_str().unwrap().to_owned();

    let folder = object(&run, &test, "dropped");
    let rows: Vec<Sample> = lines(&folder).iter().map(|it| sample(it)).collect();
    for row in &rows {
        let draft = sample(of(row).expect("a draft"));
        assert_eq!((&row.question, &row.answer, given(row)), (&draft.question, &draft.answer, given(&draft)));
        assert!(given(row).is_some());
        assert_eq!(row.prompt, format!("<|bos|><|user|>{}<|assistant|>", row.question));
        assert_eq!(row.lineage.model.as_ref(), Some(&base));
        assert!(row.lineage.rewards.contains_key("accuracy"));
    }
    let summary_of = summary(&folder);
    let lost: u64 = summary_of["counts"].as_object().unwrap().values().map(|it| it.as_u64().unwrap()).sum();
    assert_eq!(rows.len() as u64 + lost, 18);
    assert!(!rows.is_empty() && lost > 0, "{summary_of}");

    // Kept as they were: byte for byte, and in their places.
    let kept = lines(&object(&run, &test, "stayed"));
    assert_eq!(kept.len(), 18);
    let same = kept.iter().zip(&drafts).filter(|(row, draft)| row == draft).count();
    assert!(same > 0 && same < 18, "{same}");
    for (row, draft) in kept.iter().zip(&drafts).filter(|(row, draft)| row != draft) {
        assert_eq!(of(&sample(row)), Some(draft));
    }
    assert_eq!(summary(&object(&run, &test, "stayed"))["counts"], json!({}));
}

/// The verdict once more, from the logits of the whole vocabulary.
#[test]
fn a_verdict_is_the_probability_of_one_word_against_the_other() {
    let test = kitchen();
    let run = test.done("run a.rgm --json --store s").json();
    let folder = object(&run, &test, "base");
    let (model, tokenizer) = (Transformer::load(&folder).unwrap(), Tokenizer::load(&folder).unwrap());
    let probability = |question: &str, word: &str| -> f64 {
        let text = tokenizer.render(&[Message::new("user", question)], Opening::Answer).unwrap();
        let (mut ids, word) = (tokenizer.encode(&text).unwrap(), tokenizer.encode(word).unwrap());
        let mut product = 1.0;
        for token in word {
            let last = ids.len() as u32 - 1;
            let logits = model.forward(&Packed::new([ids.as_slice()]), &[last]).unwrap().logits;
            let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            let sum: f64 = logits.iter().map(|it| f64::from(*it).exp()).sum();
            product *= f64::from(logits[token as usize]).exp() / sum;
            ids.push(token);
        }
        product
    };
    let judged = lines(&object(&run, &test, "judged"));
    assert_eq!(judged.len(), 18);
    let mut above = 0;
    for row in judged.iter().map(|it| sample(it)) {
        let (yes, no) = (probability(&row.question, "<answer>5"), probability(&row.question, "<answer>7"));
        let verdict = row.lineage.rewards["judge"];
        assert!((verdict - yes / (yes + no)).abs() < 1e-5, "{verdict} {yes} {no}");
        above += usize::from(verdict >= 0.5);
    }
    let better = summary(&object(&run, &test, "better"));
    assert_eq!(better["rows"], above);
    assert_eq!(better["counts"], if above == 18 { json!({}) } else { json!({"judged below 0.5": 18 - above}) });
    let metrics = fs::read_to_string(object(&run, &test, "tuned").join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("judge_reward"), "{metrics}");
}

#[test]
fn batches_and_kills_change_no_byte_of_what_is_rewritten_and_judged() {
    let test = kitchen();
    let whole = test.done("run a.rgm --json --store whole --batch 64 --checkpoint-every never").outputs();
    let run = test.done("run a.rgm --json --store some --batch 5 --threads 1 --checkpoint-every 0s");
    assert_eq!(run.outputs(), whole);
    test.done("run base.rgm --store killed");
    let run = "run a.rgm --json --store killed --batch 1 --threads 1 --checkpoint-every 0s";
    let mut kills = 0;
    for renames in [9, 14, 22, 30, 41] {
        let mut killed = test.command(run);
        killed.env("REGIMEN_FAILPOINT", format!("rename:after:{renames}=kill"));
        kills += usize::from(killed.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().is_none());
    }
    let end = test.done(run);
    assert_eq!(end.outputs(), whole);
    assert!(kills > 2, "{kills}");
}

#[test]
fn what_a_judge_or_a_rewriter_cannot_do_is_said() {
    let test = kitchen();
    let failing = |step: &str| {
        test.write(
            "b.rgm",
            &format!("{BASE}drafts = dataset(\"drafts.jsonl\", kind = \"sample\")\nx = {step}\noutput x\n"),
        );
        let said = test.run("run b.rgm --store s");
        assert_eq!(said.status, 3, "{said}");
        said.stderr.lines().find(|it| it.contains("FAILED")).unwrap().trim().to_owned()
    };
    insta::assert_snapshot!(failing("judge(base, drafts, rubric = \"{solution}\")"), @r#"FAILED  x                 expected `{question}`, `{answer}` or `{completion}`, found `{solution}`: "{solution}""#);
    insta::assert_snapshot!(failing("judge(base, drafts, rubric = \"{question}\", yes = \"a\", no = \"ab\")"), @"FAILED  x                 expected words for `yes` and `no` of which neither begins the other, found `a` and `ab`");
    insta::assert_snapshot!(failing("judge(base, drafts, rubric = \"{question}\", form = \"json\", max_length = 9 tokens)"), @"FAILED  x                 expected rows that the judge keeps, found none among 18: 18 no verdict");
    insta::assert_snapshot!(failing("rewrite(drafts, base, where = length < 1 token, max_length = 9 tokens)"), @r#"FAILED  x                 expected rewritings that keep the answer, found none among 18: 18 too long for the model; raise `tries`, or keep the drafts with `lost = "keep"`"#);
}
