//! Plans: the order of steps, the graph between them, and the library that they are made from.

use proptest::prelude::*;
use regimen::{
    base::span::Sources,
    lang::{self, Imports, Overrides, names::Stages, stdlib},
    plan::{Plan, StepId},
    syntax::{self, ast::File},
};

fn plan(recipe: &str) -> Plan {
    let mut sources = Sources::default();
    let id = sources.add("recipe.rgm", recipe);
    let (file, diagnostics) = syntax::parse(id, recipe);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    let (program, diagnostics) = lang::check(&mut sources, &file, &Overrides::default());
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    Plan::new(&program, &|_| 1)
}

const DIAMOND: &str = r#"
scores = for m in [left, right] { eval(m, "test.jsonl") }
right = sft(base, mix([a, b]), seed = 2)
left = sft(base, mix([a, b]), seed = 1)
b = dataset("b.jsonl", kind = "chat")
a = dataset("a.jsonl", kind = "chat")
base = load("base")
alone = load("alone")
"#;

#[test]
fn steps_come_after_what_they_need_and_else_by_address() {
    let plan = plan(DIAMOND);
    let addresses: Vec<&str> = plan.steps.iter().map(|it| it.address.as_str()).collect();
    assert_eq!(
        addresses,
        [
            "a",
            "alone",
            "b",
            "base",
            "left.data",
            "left",
            "right.data",
            "right",
            "scores[left].data",
            "scores[left]",
            "scores[right].data",
            "scores[right]"
        ]
    );
    for step in &plan.steps {
        assert_eq!(plan.step(step.id), Some(step));
        assert!(step.inputs.values().flatten().all(|it| *it < step.id), "{}", step.address);
    }
}

#[test]
fn the_graph_knows_what_a_step_needs_and_who_needs_it() {
    let plan = plan(DIAMOND);
    let names = |steps: std::collections::BTreeSet<StepId>| -> Vec<&str> {
        steps.into_iter().map(|it| plan.step(it).unwrap().address.as_str()).collect()
    };
    let id = |address: &str| plan.at(address).unwrap().id;
    assert_eq!(names(plan.graph.needs(id("left"))), ["base", "left.data"]);
    assert_eq!(names(plan.graph.users(id("a"))), ["left.data", "right.data"]);
    assert_eq!(names(plan.graph.upstream(id("left"))), ["a", "b", "base", "left.data"]);
    assert_eq!(names(plan.graph.downstream(id("left"))), ["scores[left]"]);
    assert_eq!(names(plan.graph.downstream(id("alone"))), [] as [&str; 0]);
    assert_eq!(plan.graph.depths(), [0, 0, 0, 0, 1, 2, 1, 2, 0, 3, 0, 3]);
    let ports: Vec<String> = plan.graph.edges().into_iter().map(|it| it.port.to_string()).collect();
    assert_eq!(
        ports,
        ["parts", "parts", "parts", "parts", "model", "model", "data", "model", "data", "model", "data", "data"]
    );
}

#[test]
fn a_gate_is_open_until_its_reports_are_there() {
    let plan = plan("a = eval(\"a\", \"t.jsonl\")\nb = eval(\"b\", \"t.jsonl\")\nrequire a.pass1 - b.pass1 > 0.1\n");
    let [gate] = plan.gates.as_slice() else { panic!("one gate") };
    let read = plan.read_by(gate);
    assert_eq!(read, [plan.at("a").unwrap().id, plan.at("b").unwrap().id]);
    let known = |a: f64, b: Option<f64>| {
        let first = read[0];
        gate.condition.holds(&move |step, field| if field == "pass1" && step == first { Some(a) } else { b })
    };
    assert_eq!(known(0.9, None), None);
    assert_eq!(known(0.9, Some(0.5)), Some(true));
    assert_eq!(known(0.9, Some(0.85)), Some(false));
}

#[test]
fn a_long_chain_is_no_deep_recursion() {
    let mut lines: Vec<String> = (1..3_000).map(|it| format!("a{it} = take(a{}, rows = 1 rows)", it - 1)).collect();
    lines.push("a0 = problems(rows = 10 rows)".to_owned());
    lines.reverse();
    let forwards = plan(&lines.join("\n"));
    lines.reverse();
    let backwards = plan(&lines.join("\n"));
    assert_eq!(forwards.steps.len(), 3_000);
    assert!(forwards.steps.iter().map(|it| &it.address).eq(backwards.steps.iter().map(|it| &it.address)));
}

#[test]
fn every_stage_of_the_library_is_understood_and_documented() {
    let mut sources = Sources::default();
    let diagnostics = stdlib::load(&mut sources);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    let recipe = File::default();
    let imports = Imports::default();
    let (stages, diagnostics) = Stages::collect(&recipe, &imports);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    let (_, diagnostics) = lang::check(&mut sources, &recipe, &Overrides::default());
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    for module in stdlib::modules() {
        assert!(!module.file.docs.is_empty(), "the module {} has no docs", module.name);
    }
    for stage in stages.iter() {
        assert!(stage.docs.ends_with('.'), "{} has no docs", stage.path);
        for parameter in &stage.parameters {
            assert!(parameter.docs.ends_with('.'), "{}.{} has no docs", stage.path, parameter.name);
        }
    }
    let paths: Vec<&str> = stages.iter().map(|it| it.path.as_str()).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    accuracy
    best
    brevity
    cast
    code
    cold_start.few_shot
    cold_start.reflective
    cold_start.reviewed
    cold_start.rewritten
    command
    correct
    cosine_reward
    dataset
    decontaminate
    dedupe
    documents
    dpo
    eval
    eval_pairs
    eval_reward
    filler
    filter
    finished
    format
    formatted
    grpo
    grpo.cispo
    grpo.dapo
    grpo.deepseekmath
    grpo.dr
    grpo.gspo
    grpo.lite
    grpo.r1
    init
    judge
    judge_reward
    labels
    language
    length
    length_reward
    load
    load_reward_model
    load_tokenizer
    merge.arcee_fusion
    merge.breadcrumbs
    merge.breadcrumbs_ties
    merge.dare_linear
    merge.dare_ties
    merge.della
    merge.della_linear
    merge.ema
    merge.from
    merge.karcher
    merge.linear
    merge.model_stock
    merge.multislerp
    merge.nearswap
    merge.nuslerp
    merge.passthrough
    merge.ram
    merge.ramplus_tl
    merge.sce
    merge.slerp
    merge.task_arithmetic
    merge.ties
    mix
    one_language
    overlong
    pairs
    parseable
    preference
    pretrain
    problems
    program
    readable
    reject
    repetition
    review
    reward_model
    rewrite
    sample
    sft
    split
    tag_count
    take
    tokenizer
    trl.dpo
    trl.grpo
    trl.sft
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_broken_to_check(start in 0usize..260, length in 0usize..40, other in 0usize..260, put in "[a-z0-9=(,)\\[\\].{} ]{0,6}") {
        let text = DIAMOND.repeat(2);
        let end = (start + length).min(text.len());
        let broken = format!("{}{put}{}{}", &text[..start], &text[other..(other + length)], &text[end..]);
        let mut sources = Sources::default();
        let id = sources.add("recipe.rgm", broken.as_str());
        let (file, _) = syntax::parse(id, &broken);
        let (program, diagnostics) = lang::check(&mut sources, &file, &Overrides::default());
        prop_assert!(diagnostics.iter().all(|it| it.span.is_some_and(|span| sources.place(span).is_some())));
        let _ = Plan::new(&program, &|_| 1);
    }
}
