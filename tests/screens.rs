//! What a person sees of a plan, of a run, and of what is kept.

use regimen::{
    base::{
        predicate::Comparison,
        span::{Sources, Span},
    },
    plan::{Output, StepId},
    report::{self, lineage::Lineage},
};
use serde_json::{Value, json};

use crate::engine::{Kitchen, chain};

/// Replaces what differs from run to run, and digests.
fn steady(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let next = |at: usize| words.get(at + 1).map_or("", |word| word.trim_end_matches(','));
        let word = |(at, word): (usize, &&str)| match *word {
            _ if ["ms", "s"].contains(&next(at)) => "0".to_owned(),
            "ms" | "s" => "s".to_owned(),
            "ms," | "s," => "s,".to_owned(),
            word if word.len() > 14 && word.split('-').all(|it| it.parse::<u64>().is_ok()) => "RUN".to_owned(),
            word => {
                let bare = word.trim_matches(['[', ']', ',']);
                let digest = [12, 64].contains(&bare.len()) && bare.chars().all(|c| c.is_ascii_hexdigit());
                if digest { word.replace(bare, "DIGEST") } else { word.to_owned() }
            }
        };
        words.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_plan_is_one_aligned_screen() {
    let (mut kitchen, [one, two, ..]) = chain();
    let mut sources = Sources::default();
    let source = sources.add("recipe.rgm", "one = write(text = \"aa\")\ntwo = write(text = \"bb\")\n");
    insta::assert_snapshot!(report::plan::screen(&kitchen.plan, &kitchen.schedule(), &sources, None), @r"
    4 steps: 2 to run, 2 waiting
      run    one     write  new
      run    two     write  new
      waits  both    join   after one, two
      waits  length  count  after both
    ");
    kitchen.run();
    kitchen.set(two, "cc");
    kitchen.plan.steps[two.0].argument_spans.insert("text", Span::new(source, 37, 48));
    kitchen.plan.steps[one.0].address = "first".into();
    let schedule = kitchen.schedule();
    insta::assert_snapshot!(steady(&report::plan::screen(&kitchen.plan, &schedule, &sources, None)), @r#"
    4 steps: 1 made, 1 to run, 2 waiting; about 0 s, 8 B of disk
      hit    first   write
      run    two     write  text "bb" -> "cc"  recipe.rgm:2  0 s  2 B
      waits  both    join   after two                        0 s  5 B
      waits  length  count  after both                       0 s  1 B
    "#);
    insta::assert_snapshot!(steady(&report::why::explain(&kitchen.plan, &schedule, &kitchen.store(), two, &sources)), @r#"
    two (write) would run: `text` has changed
      then  "bb"
      now   "cc"
      at    recipe.rgm:2: two = write(text = "bb")
      compared with record DIGEST of two
    "#);
    insta::assert_snapshot!(steady(&report::why::explain(&kitchen.plan, &schedule, &kitchen.store(), StepId(2), &sources)), @r#"
    both (join) would run: two must be made first
      needs   two (write): text "bb" -> "cc"  recipe.rgm:2
    "#);
    insta::assert_snapshot!(steady(&report::why::explain(&kitchen.plan, &schedule, &kitchen.store(), one, &sources)), @r"
    first (write) is made: nothing runs
      key     DIGEST
      object  DIGEST
      it was made as one
    ");
    let mut plan = report::plan::json(&kitchen.plan, &schedule, &sources, None);
    plan["steps"][1]["estimate"]["seconds"] = json!(0);
    plan["steps"][1]["key"] = json!("DIGEST");
    let shown = serde_json::to_string_pretty(&plan["steps"][1]).unwrap();
    insta::assert_snapshot!(shown, @r#"
    {
      "address": "two",
      "stage": "write",
      "state": "run",
      "prospect": {
        "begins": "afresh"
      },
      "key": "DIGEST",
      "inputs": {},
      "why": "text \"bb\" -> \"cc\"",
      "place": "recipe.rgm:2",
      "estimate": {
        "seconds": 0,
        "bytes": 2,
        "from": "history"
      }
    }
    "#);
    let states: Vec<&Value> = plan["steps"].as_array().unwrap().iter().map(|step| &step["state"]).collect();
    assert_eq!(states, ["hit", "run", "run", "run"]);
    assert_eq!((&plan["steps"][3]["key"], &plan["steps"][3]["inputs"]), (&json!(null), &json!({"data": ["both"]})));
}

#[test]
fn a_graph_is_drawn_in_two_languages() {
    let (kitchen, _) = chain();
    insta::assert_snapshot!(report::graph::dot(&kitchen.plan), @r#"
    digraph recipe {
      rankdir = LR
      node [shape = box, fontname = "sans-serif"]
      s0 [label = "one\nwrite"]
      s1 [label = "two\nwrite"]
      s2 [label = "both\njoin"]
      s3 [label = "length\ncount"]
      s0 -> s2 [label = "data"]
      s1 -> s2 [label = "data"]
      s2 -> s3 [label = "data"]
    }
    "#);
    insta::assert_snapshot!(report::graph::mermaid(&kitchen.plan), @r#"
    flowchart LR
      s0["one<br/><i>write</i>"]
      s1["two<br/><i>write</i>"]
      s2["both<br/><i>join</i>"]
      s3["length<br/><i>count</i>"]
      s0 -->|data| s2
      s1 -->|data| s2
      s2 -->|data| s3
    "#);
}

#[test]
fn scores_stand_side_by_side() {
    let mut kitchen = Kitchen::new();
    let report = |pass1: f64, correct: u64, truncated: u64| {
        json!({
            "pass1": pass1, "pass1_low": pass1 - 0.05, "pass1_high": pass1 + 0.05, "mean_length": 12.34, "rows": 1600,
            "correct": correct, "wrong": 1600 - correct - truncated, "unparseable": 0, "truncated": truncated,
        })
    };
    let base = kitchen.step("base", "score", report(0.385, 616, 9), &[]);
    let r1 = kitchen.step("r1", "score", report(0.9125, 1460, 0), &[]);
    kitchen.plan.outputs.insert("scores".into(), Output::Keyed(vec![("r1".into(), r1), ("base".into(), base)]));
    ["base", "r1"].iter().for_each(|name| drop(kitchen.plan.outputs.remove(*name)));
    kitchen.write("text", "no report");
    kitchen.require(base, Comparison::Less, 0.5);
    let (outcome, _) = kitchen.run();
    insta::assert_snapshot!(report::table::scores(&kitchen.plan.outcomes(), &outcome.outputs).unwrap(), @r"
                     pass@1  length
    r1    91.2 [86.2, 96.2]    12.3
    base  38.5 [33.5, 43.5]    12.3
    ");
    assert_eq!(outcome.outputs.keys().collect::<Vec<_>>(), ["scores.base", "scores.r1", "text"]);
}

#[test]
fn status_tells_of_the_newest_run() {
    let mut kitchen = Kitchen::new();
    assert_eq!(report::status::newest(&kitchen.store()), None);
    let bad = kitchen.step("bad", "fail", json!({}), &[]);
    kitchen.step("after", "count", json!({}), &[bad]);
    kitchen.write("good", "aa");
    kitchen.options.threads = std::num::NonZeroUsize::MIN;
    kitchen.run();
    insta::assert_snapshot!(steady(&report::status::newest(&kitchen.store()).unwrap()), @r"
    run RUN failed: 1 of 3 steps made, 0 s
      FAILED  bad    row 3 holds no answer
      skip    after  bad failed
      done    good   0 s
    ");
}

#[test]
fn show_tells_all_of_a_step() {
    let (kitchen, _) = chain();
    kitchen.run();
    let store = kitchen.store();
    let lineage = Lineage::new(&store);
    let found = lineage.find("both");
    assert_eq!(found, lineage.find(&found[0].key.hex()));
    assert_eq!(found, lineage.find(&found[0].output.short()));
    assert!(lineage.find("nothing").is_empty());
    let path = store.object(&found[0].output).display().to_string();
    insta::assert_snapshot!(steady(&report::show::record(&store, &lineage, found[0]).replace(&path, "STORE/OBJECT")), @r#"
    both (join)
      key     DIGEST
      object  DIGEST
      path    STORE/OBJECT
      took    0 s
      run     RUN
    made from
      backend  "candle-cpu-f32"
      version  1
      data[0]  one (write) DIGEST
      data[1]  two (write) DIGEST
    files
      text  5 B  DIGEST
    "#);
}
