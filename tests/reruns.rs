//! Nothing is done twice: what a change of the recipe runs again, and what it does not.

use std::fs;

use crate::harness::{TINY, Test};

/// A folder in which the tiny recipe has been run.
fn ran() -> Test {
    let test = Test::new().file("a.rgm", TINY);
    test.done("run a.rgm");
    test
}

/// The steps that are made again once some text of the recipe is another.
fn made_after(changes: &[(&str, &str)]) -> String {
    let test = ran();
    let mut recipe = TINY.to_owned();
    for (old, new) in changes {
        assert!(recipe.contains(old), "the recipe does not say `{old}`");
        recipe = recipe.replace(old, new);
    }
    test.write("a.rgm", &recipe);
    test.done("run a.rgm --json").made().join(" ")
}

#[test]
fn the_first_run_makes_every_step_and_the_second_none() {
    let test = Test::new().file("a.rgm", TINY);
    let first = test.done("run a.rgm --json");
    assert_eq!(first.made().join(" "), "answers base facts few kept raw score test text vocab zero");
    let before = fs::read_dir(test.path(".regimen/runs")).unwrap().count();
    let second = test.done("run a.rgm --json");
    assert_eq!((second.made(), second.outputs()), (vec![], first.outputs()));
    assert_eq!(fs::read_dir(test.path(".regimen/runs")).unwrap().count(), before);
    insta::assert_snapshot!(test.done("run a.rgm").stderr, @r"
    11 steps: 11 made, 0 to run
      made    11 steps          facts to score
    nothing to do: every step is made
    ");
}

#[test]
fn the_last_event_gives_each_output_with_its_digest_and_its_folder() {
    let test = Test::new().file("a.rgm", TINY);
    let events = test.done("run a.rgm --json").json();
    let last = events.last().unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"finished".into(), &"done".into()));
    let outputs = last["outputs"].as_object().unwrap();
    assert_eq!(outputs.keys().collect::<Vec<_>>(), ["few", "score", "zero"]);
    for (name, file) in [("few", "rows.jsonl"), ("score", "report.json"), ("zero", "model.safetensors")] {
        let (digest, path) = (outputs[name]["digest"].as_str().unwrap(), outputs[name]["path"].as_str().unwrap());
        assert_eq!(path, format!(".regimen/objects/{}/{digest}", &digest[..2]));
        assert!(test.path(path).join(file).exists());
    }
}

#[test]
fn comments_names_and_the_order_of_lines_rerun_nothing() {
    let commented = TINY.replace("\nfacts", "\n# Sums of two numbers.\nfacts").replace("seed)\n", "seed)  # fixed\n");
    let renamed = TINY.replace("answers", "replies").replace("base", "start").replace("rules", "worth");
    let reversed = TINY.lines().rev().collect::<Vec<_>>().join("\n");
    let spaced =
        TINY.replace(", seed", ",\n    seed").replace("lr = 1e-3", "lr = 0.001").replace("120 rows", "1_20 rows");
    let spelled = TINY.replace("text, vocab = 280", "text = text, vocab = 280, template = none");
    let test = ran();
    for recipe in [commented, renamed, reversed, spaced, spelled] {
        assert_ne!(recipe, TINY);
        test.write("other/b.rgm", &recipe);
        assert_eq!(test.done("run other/b.rgm --json").made(), Vec::<String>::new(), "{recipe}");
    }
}

#[test]
fn a_changed_argument_reruns_its_step_and_what_depends_on_it() {
    assert_eq!(made_after(&[("lr = 1e-3", "lr = 1e-2")]), "answers base few kept score zero");
    assert_eq!(made_after(&[("rows = 4 rows", "rows = 5 rows")]), "few");
    assert_eq!(made_after(&[("rows = 8 rows", "rows = 9 rows")]), "score test");
    assert_eq!(made_after(&[("output zero", "again = take(kept, rows = 3 rows)\noutput again, zero")]), "again");
}

#[test]
fn an_equal_output_stops_the_reruns() {
    // The condition is another one, and every answer still meets it.
    assert_eq!(made_after(&[("length < 100 tokens", "length < 99 tokens")]), "kept");
    // Whatever share of the likeliest tokens is drawn from, they are all of them.
    assert_eq!(made_after(&[("sample(zero, facts,", "sample(zero, facts, top_k = 10_000,")]), "answers");
}

#[test]
fn an_output_that_changes_back_is_found_again() {
    let test = ran();
    test.write("a.rgm", &TINY.replace("lr = 1e-3", "lr = 1e-2"));
    test.done("run a.rgm");
    test.write("a.rgm", TINY);
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
}

#[test]
fn why_names_the_field_both_values_and_the_line() {
    let test = ran();
    test.write("a.rgm", &TINY.replace("lr = 1e-3", "lr = cosine(1e-3 to 1e-4)"));
    insta::assert_snapshot!(test.done("why a.rgm base"), @r"
    exit 0
    --- stdout
    base (pretrain) would run: `lr` has changed
      then  0.001
      now   cosine(0.001 to 1e-4)
      at    a.rgm:7: base = pretrain(raw, text, budget = 8 steps, batch = 512 tokens, lr = cosine(1e-3 to 1e-4), seed)
      compared with record DIGEST of base
    ");
    insta::assert_snapshot!(test.done("why a.rgm"), @r"
    exit 0
    --- stdout
    base (pretrain) would run: `lr` has changed
      then  0.001
      now   cosine(0.001 to 1e-4)
      at    a.rgm:7: base = pretrain(raw, text, budget = 8 steps, batch = 512 tokens, lr = cosine(1e-3 to 1e-4), seed)
      compared with record DIGEST of base
    zero (grpo) would run: base must be made first
      needs   base (pretrain): lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7
    answers (sample) would run: zero must be made first
      needs   zero (grpo): after base
      begins  base (pretrain): lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7
    kept (filter) would run: answers must be made first
      needs   answers (sample): after zero
      begins  base (pretrain): lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7
    few (take) would run: kept must be made first
      needs   kept (filter): after answers
      begins  base (pretrain): lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7
    score (eval) would run: zero must be made first
      needs   zero (grpo): after base
      begins  base (pretrain): lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7
    ");
    insta::assert_snapshot!(test.run("plan a.rgm --exit-code"), @r"
    exit 2
    --- stdout
    11 steps: 5 made, 1 to run, 5 waiting; about DURATION, 7.6k tokens, FLOP, SIZE of memory, SIZE of disk
      hit    facts    problems
      hit    test     problems
      hit    text     documents
      hit    vocab    tokenizer
      hit    raw      init
      run    base     pretrain   lr 0.001 -> cosine(0.001 to 1e-4)  a.rgm:7 TOKENS FLOP DURATION SIZE SIZE
      waits  zero     grpo       after base TOKENS FLOP DURATION SIZE SIZE
      waits  answers  sample     after zero TOKENS FLOP DURATION SIZE SIZE
      waits  kept     filter     after answers DURATION SIZE SIZE
      waits  few      take       after kept DURATION SIZE SIZE
      waits  score    eval       after zero TOKENS FLOP DURATION SIZE SIZE

    zero
      loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group
      2 questions of 4 answers, N = 8
    ");

    test.write("a.rgm", TINY);
    insta::assert_snapshot!(test.done("why a.rgm --set zero.lr=1e-5 zero"), @r"
    exit 0
    --- stdout
    zero (grpo) would run: `lr` has changed
      then  1e-6
      now   1e-5
      at    --set:1: zero.lr=1e-5
      compared with record DIGEST of zero
    ");
    insta::assert_snapshot!(test.done("why a.rgm zero"), @r"
    exit 0
    --- stdout
    zero (grpo) is made: nothing runs
      key     DIGEST
      object  DIGEST
    ");
    insta::assert_snapshot!(test.done("why a.rgm"), @r"
    exit 0
    --- stdout
    every step is made
    ");
    insta::assert_snapshot!(test.run("why a.rgm zeroo"), @r"
    exit 1
    --- stderr
    error: the recipe has no step `zeroo`
      hint: did you mean `zero`?
    ");
}

#[test]
fn why_before_any_run_says_so() {
    let test =
        Test::new().file("a.rgm", "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 2 rows)\noutput few\n");
    insta::assert_snapshot!(test.done("why a.rgm"), @r"
    exit 0
    --- stdout
    facts (problems) would run: never made: this store holds nothing of its stage
    few (take) would run: facts must be made first
      needs   facts (problems): new
    ");
    assert_eq!(test.entries(), ["a.rgm"]);
}

#[test]
fn a_plan_for_programs() {
    let test =
        Test::new().file("a.rgm", "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 2 rows)\noutput few\n");
    test.done("run a.rgm");
    test.write("a.rgm", "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 3 rows)\nless = take(few, rows = 1 row)\noutput less\n");
    let mut plan = test.done("plan a.rgm --json").json().remove(0);
    for step in plan["steps"].as_array_mut().unwrap() {
        // Which digest it is, and how long it took, are not the question here.
        if step["key"].is_string() {
            step["key"] = "KEY".into();
        }
        if step["estimate"].is_object() {
            step["estimate"]["seconds"] = 0.into();
            step["estimate"]["memory"] = 0.into();
        }
    }
    let lines: Vec<String> = plan["steps"].as_array().unwrap().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"address":"facts","stage":"problems","state":"hit","prospect":{"begins":"afresh"},"key":"KEY","inputs":{},"why":null,"place":null,"estimate":null}
    {"address":"few","stage":"take","state":"run","prospect":{"begins":"afresh"},"key":"KEY","inputs":{"data":["facts"]},"why":"rows 2 rows -> 3 rows","place":"a.rgm:2","estimate":{"seconds":0,"memory":0,"bytes":403,"from":"history"}}
    {"address":"less","stage":"take","state":"run","prospect":{"begins":"afresh"},"key":null,"inputs":{"data":["few"]},"why":"rows 2 rows -> 1 row and 1 more","place":"a.rgm:3","estimate":{"seconds":0,"memory":0,"bytes":134,"from":"history"}}
    "#);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let test = Test::new().file("a.rgm", TINY);
    let outputs = [1, 2, 3].map(|threads| {
        let said = test.done(&format!("run a.rgm --json --threads {threads} --store store{threads}"));
        assert_eq!(said.made().len(), 11);
        said.outputs()
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn a_store_without_its_index_is_the_same_store() {
    let test = ran().file("b.rgm", &TINY.replace("lr = 1e-3", "lr = 1e-2"));
    let (outputs, why) = (test.done("run a.rgm --json").outputs(), test.done("why b.rgm").stdout);
    fs::remove_dir_all(test.path(".regimen/index")).unwrap();
    assert_eq!(test.done("why b.rgm").stdout, why);
    let again = test.done("run a.rgm --json");
    assert_eq!((again.made(), again.outputs()), (vec![], outputs));
    assert_eq!(test.done("run b.rgm --json").made().join(" "), "answers base few kept score zero");
}

#[test]
fn a_damaged_index_is_made_anew() {
    let test = ran().file("b.rgm", &TINY.replace("rows = 4 rows", "rows = 5 rows"));
    fs::remove_dir_all(test.path(".regimen/index")).unwrap();
    test.write(".regimen/index/db", "no such thing");
    assert_eq!(test.done("run b.rgm --json").made(), ["few"]);
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
}
