//! Recipes on other devices: what is made has keys of its own, and keeps the promises that results have.

use crate::harness::{TINY, Test};

#[test]
fn a_recipe_runs_on_plain_compositions_and_its_bytes_depend_on_nothing_else() {
    let test = Test::new().file("a.rgm", TINY);
    let ways = ["--threads 1 --checkpoint-every never --batch 64", "--threads 2 --checkpoint-every 0s --batch 1"];
    let outputs =
        ways.map(|way| test.done(&format!("run a.rgm --json --device plain --store {} {way}", way.len())).outputs());
    assert_eq!(outputs[0], outputs[1]);
}

const SMALL: &str = r#"
facts = problems(rows = 20 rows, terms_min = 2, terms_max = 2)
text  = documents(facts)
raw   = init(tokenizer(text, vocab = 265), hidden = 16, layers = 2, heads = 2, experts = 4, kv_rank = 8)
base  = pretrain(raw, text, budget = 3 steps, batch = 200 tokens)
output base
"#;

#[test]
fn results_of_two_devices_never_mix() {
    let test = Test::new().file("a.rgm", SMALL);
    let cpu = test.done("run a.rgm --json").artifacts();
    assert_eq!(test.done("run a.rgm --json --device cpu").made(), Vec::<String>::new());
    insta::assert_snapshot!(test.done("why a.rgm base --device plain"), @r#"
    exit 0
    --- stdout
    base (pretrain) would run: `backend` has changed
      then  "candle-cpu-f32"
      now   "candle-plain-f32"
      compared with record DIGEST of base
      2 further fields differ as well
      text, raw must be made first
      needs   text (documents): backend "candle-cpu-f32" -> "candle-plain-f32" and 1 more
      needs   raw (init): backend "candle-cpu-f32" -> "candle-plain-f32" and 1 more
      begins  facts (problems): backend "candle-cpu-f32" -> "candle-plain-f32"
    "#);
    let run = test.done("run a.rgm --json --device plain");
    assert_eq!(run.made(), ["base", "facts", "raw", "raw.tokenizer", "text"]);
    let plain = run.artifacts();
    let other: Vec<&str> =
        cpu.iter().zip(&plain).filter(|(cpu, plain)| cpu != plain).map(|(cpu, _)| cpu.0.as_str()).collect();
    assert_eq!(other, ["base"], "only what is trained has other bytes");
    // A profile says it for every command, and a flag is stronger.
    test.write("regimen.yaml", "device: plain\n");
    assert_eq!(test.done("run a.rgm --json").artifacts(), plain);
    assert_eq!(test.done("run a.rgm --json --device cpu").artifacts(), cpu);
    test.write("regimen.yaml", "device: gpu\n");
    insta::assert_snapshot!(test.run("plan a.rgm"), @r"
    exit 1
    --- stderr
    error: regimen.yaml: expected `cpu`, `cuda` or `plain`, found `gpu`
    ");
}

#[test]
fn a_device_that_is_missing_is_told_before_anything_runs() {
    let test = Test::new().file("a.rgm", SMALL);
    insta::assert_snapshot!(test.run("run a.rgm --device gpu"), @r"
    exit 1
    --- stderr
    error: invalid value 'gpu' for '--device <DEVICE>': expected `cpu`, `cuda` or `plain`, found `gpu`

    For more information, try '--help'.
    ");
    if cfg!(not(feature = "cuda")) {
        let said = test.run("run a.rgm --device cuda");
        assert_eq!(said.status, 1);
        assert!(
            said.stderr.starts_with("error: the device `cuda` cannot be opened (this program was built without it")
        );
        assert_eq!(test.entries(), ["a.rgm"], "nothing is written");
        // What it would make can be asked for on any machine.
        test.done("plan a.rgm --device cuda");
    }
}
