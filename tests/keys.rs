//! What changes the key of a step, and what does not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use regimen::{
    base::{digest::Digest, span::Sources},
    lang::{self, Overrides},
    plan::{KeyFields, Plan},
    syntax,
};

const RECIPE: &str = r#"
param seed: int = 17
input math: Dataset<problem> = "math.jsonl"
test = problems(rows = 100 rows, split = "test") as eval
text = documents(math)
tokens = tokenizer(text)
start = init(tokens, seed)
base = pretrain(start, text, budget = 2 epochs)
rules = accuracy + format
zero = grpo(base, math, reward = rules, budget = 10 steps, lr = 1e-4, seed)
thoughts = reject(zero, math, keep = correct and length < 200 tokens)
dev1 = sft(base, mix([thoughts, filter(sample(zero, math), where = readable)]), lr = cosine(1e-4 to 1e-5))
scores = for m in [base, zero, dev1] { eval(m, test, samples = 4) }
require scores[zero].pass1 > scores[base].pass1
output dev1, scores
"#;

/// The plan of a recipe that has no mistakes.
fn plan(recipe: &str, sets: &[&str], version: u32) -> Plan {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", recipe);
    let (file, mut diagnostics) = syntax::parse(id, recipe);
    let overrides = Overrides { sets: sets.iter().map(|it| (*it).to_owned()).collect(), ..Overrides::default() };
    let (program, more) = lang::check(&mut sources, &file, &overrides);
    diagnostics.extend(more);
    assert!(!diagnostics.has_errors(), "{diagnostics:#?}");
    Plan::new(&program, &|stage| if stage == "sft" { version } else { 1 })
}

/// The keys by address, where each step makes something that only its key decides.
fn keys(recipe: &str, sets: &[&str]) -> BTreeMap<String, Digest> {
    keys_of(&plan(recipe, sets, 1), &|path| Digest::of(path.as_bytes()))
}

fn keys_of(plan: &Plan, content: &dyn Fn(&str) -> Digest) -> BTreeMap<String, Digest> {
    let mut made = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for step in &plan.steps {
        let file = |argument: &str| Some(content(step.files[argument].to_str().unwrap()));
        let key = KeyFields::of(step, &|it| made.get(&it).copied(), &file).unwrap().key();
        made.insert(step.id, key);
        keys.insert(step.address.clone(), key);
    }
    keys
}

/// The keys by address, where every step makes the same whatever goes in: what changes is the step's own.
fn own_keys(recipe: &str, sets: &[&str]) -> BTreeMap<String, Digest> {
    let plan = plan(recipe, sets, 1);
    let same = Digest::of(b"the same");
    let own = |it| KeyFields::of(it, &|_| Some(same), &|_| Some(same)).unwrap().key();
    plan.steps.iter().map(|it| (it.address.clone(), own(it))).collect()
}

fn changed(old: &BTreeMap<String, Digest>, new: &BTreeMap<String, Digest>) -> Vec<String> {
    assert!(old.keys().eq(new.keys()));
    old.iter().filter(|(address, key)| new[*address] != **key).map(|(address, _)| address.clone()).collect()
}

fn values(keys: &BTreeMap<String, Digest>) -> Vec<Digest> {
    let mut values: Vec<Digest> = keys.values().copied().collect();
    values.sort();
    values
}

#[test]
fn renaming_a_binding_does_not_change_a_key() {
    let renamed = RECIPE.replace("zero", "first").replace("thoughts", "answers").replace("rules", "worth");
    assert_ne!(renamed, RECIPE);
    assert_eq!(values(&keys(RECIPE, &[])), values(&keys(&renamed, &[])));
}

#[test]
fn adding_a_comment_does_not_change_a_key() {
    let mut commented = String::from("## The whole recipe.\n");
    for line in RECIPE.lines().filter(|it| !it.is_empty()) {
        commented += &format!("# About the next line.\n## It does something.\n  {line}   # as it says\n\n");
    }
    let commented = commented.replace("## It does something.\n  require", "  require");
    let commented = commented.replace("## It does something.\n  output", "  output");
    assert_eq!(keys(RECIPE, &[]), keys(&commented, &[]));
}

#[test]
fn writing_a_default_out_does_not_change_a_key() {
    let longer = RECIPE.replace("samples = 4", "samples = 4, temperature = 1, max_length = 64 tokens, top_p = 1.0");
    assert_eq!(keys(RECIPE, &[]), keys(&longer, &[]));
}

#[test]
fn another_spelling_of_a_value_does_not_change_a_key() {
    let other = RECIPE.replace("lr = 1e-4, seed", "lr = 0.0001, seed = seed").replace("200 tokens", "0.2k tokens");
    let other = other.replace("accuracy + format", "1 * accuracy + 2 / 2 * format");
    assert_eq!(keys(RECIPE, &[]), keys(&other, &[]));
}

#[test]
fn naming_a_step_within_another_does_not_change_a_key() {
    let named = RECIPE.replace("filter(sample(zero, math), where", "filter(drafts, where");
    let named = format!("{named}\ndrafts = sample(zero, math)\n");
    assert_eq!(values(&keys(RECIPE, &[])), values(&keys(&named, &[])));
}

#[test]
fn setting_a_value_from_outside_is_writing_it() {
    let written = RECIPE.replace("lr = 1e-4, seed", "lr = 1e-3, seed").replace("seed: int = 17", "seed: int = 18");
    assert_eq!(keys(RECIPE, &["zero.lr=1e-3", "seed=18"]), keys(&written, &[]));
}

#[test]
fn moving_a_file_does_not_change_a_key() {
    let moved = RECIPE.replace("math.jsonl", "data/math.jsonl");
    let content = |_: &str| Digest::of(b"rows");
    assert_eq!(keys_of(&plan(RECIPE, &[], 1), &content), keys_of(&plan(&moved, &[], 1), &content));
}

#[test]
fn changing_a_file_changes_the_keys_of_all_that_reads_it() {
    let plan = plan(RECIPE, &[], 1);
    let (old, new) = (keys_of(&plan, &|_| Digest::of(b"rows")), keys_of(&plan, &|_| Digest::of(b"other rows")));
    let unchanged: Vec<&String> = old.keys().filter(|it| old[*it] == new[*it]).collect();
    assert_eq!(unchanged, ["test"]);
}

#[test]
fn changing_lr_changes_the_key_of_that_step_only() {
    assert_eq!(changed(&own_keys(RECIPE, &[]), &own_keys(RECIPE, &["zero.lr=1e-3"])), ["zero"]);
}

#[test]
fn changing_lr_changes_the_keys_of_what_depends_on_it_and_no_others() {
    let affected = [
        "dev1",
        "dev1.data",
        "dev1.data.parts[1]",
        "dev1.data.parts[1].data",
        "scores[dev1]",
        "scores[zero]",
        "thoughts",
        "zero",
    ];
    assert_eq!(changed(&keys(RECIPE, &[]), &keys(RECIPE, &["zero.lr=1e-3"])), affected);
}

#[test]
fn changing_a_param_changes_the_keys_of_the_steps_that_take_it() {
    assert_eq!(changed(&own_keys(RECIPE, &[]), &own_keys(RECIPE, &["seed=18"])), ["start", "zero"]);
}

#[test]
fn changing_the_version_of_a_stage_changes_its_keys() {
    let content = |_: &str| Digest::of(b"rows");
    let (old, new) = (keys_of(&plan(RECIPE, &[], 1), &content), keys_of(&plan(RECIPE, &[], 2), &content));
    assert_eq!(changed(&old, &new), ["dev1", "scores[dev1]"]);
}

#[test]
fn swapping_the_parts_of_a_mix_changes_its_key() {
    let swapped = RECIPE.replace("mix([thoughts, filter(sample(zero, math), where = readable)])", "mix([a, thoughts])");
    let swapped = format!("{swapped}\na = filter(sample(zero, math), where = readable)\n");
    assert_ne!(keys(RECIPE, &[])["dev1.data"], keys(&swapped, &[])["dev1.data"]);
}

#[test]
fn no_two_steps_that_differ_share_a_key() {
    let mut values = values(&keys(RECIPE, &[]));
    let count = values.len();
    values.dedup();
    assert_eq!(values.len(), count);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reordering_lines_does_not_change_a_key(
        lines in Just(RECIPE.lines().filter(|it| !it.is_empty()).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let (old, new) = (plan(RECIPE, &[], 1), plan(&lines.join("\n"), &[], 1));
        prop_assert_eq!(keys(RECIPE, &[]), keys(&lines.join("\n"), &[]));
        let addresses = |it: &Plan| it.steps.iter().map(|it| it.address.clone()).collect::<Vec<_>>();
        prop_assert_eq!(addresses(&old), addresses(&new));
        prop_assert_eq!(old.outputs, new.outputs);
        prop_assert_eq!(old.collections, new.collections);
    }
}
