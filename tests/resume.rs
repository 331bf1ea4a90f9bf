//! A step that was stopped goes on inside itself, and nothing of that is to be seen in what it makes.

use std::{fs, path::Path, process::Stdio};

use crate::harness::{Said, TINY, Test};

/// The addresses at which a run went on, with how far they were.
fn resumed(run: &Said) -> Vec<(String, u64)> {
    let events = run.json();
    let resumed = events.iter().filter(|event| event["event"] == "step_resumed");
    resumed.map(|it| (it["address"].as_str().unwrap().to_owned(), it["done"].as_u64().unwrap())).collect()
}

const TRAINING: &str = r#"
param long: int = 30
param seed: int = 7
facts = problems(rows = 60 rows, terms_min = 2, terms_max = 2, seed)
text  = documents(facts, worked = 0.5, seed)
vocab = tokenizer(text, vocab = 270)
raw   = init(vocab, hidden = 16, layers = 1, heads = 2, experts = 4, kv_rank = 8, max_length = 64 tokens, seed)
base  = pretrain(raw, text, budget = long * 1 steps, batch = 200 tokens, lr = LR, seed)
output base
"#;

fn training(lr: &str) -> String {
    TRAINING.replace("LR", lr)
}

#[test]
fn threads_batches_and_checkpoints_change_no_byte() {
    let test = Test::new().file("a.rgm", TINY);
    let ways =
        ["--threads 1 --checkpoint-every never --batch 64", "--threads 2 --checkpoint-every 0s --batch 1", "--batch 7"];
    let outputs = ways.map(|way| {
        let run = test.done(&format!("run a.rgm --json --store {} {way}", &way[way.len() - 1..]));
        run.outputs()
    });
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn a_longer_run_goes_on_from_a_shorter_one_and_ends_in_the_same_bytes() {
    let test = Test::new().file("a.rgm", &training("3e-3"));
    test.done("run a.rgm --json --store extended");
    let longer = test.done("run a.rgm --json --store extended --set long=50");
    assert_eq!(resumed(&longer), [("base".to_owned(), 30)]);
    assert_eq!(longer.made(), ["base"]);
    let fresh = test.done("run a.rgm --json --store fresh --set long=50");
    assert_eq!(resumed(&fresh), []);
    assert_eq!(longer.outputs(), fresh.outputs());
    // A shorter run is no beginning of a longer one's end.
    let shorter = test.done("run a.rgm --json --store extended --set long=20");
    assert_eq!(resumed(&shorter), []);
}

#[test]
fn a_schedule_over_the_whole_budget_starts_over_and_says_why() {
    let test = Test::new().file("a.rgm", &training("cosine(3e-3 to 3e-4)"));
    test.done("run a.rgm --json --store s");
    let plan = test.done("plan a.rgm --store s --set long=50").to_string();
    assert!(plan.contains("`lr` develops over the whole budget"), "{plan}");
    let longer = test.done("run a.rgm --json --store s --set long=50");
    assert_eq!(resumed(&longer), []);
}

#[test]
fn a_failed_step_is_taken_up_where_it_was() {
    let test = Test::new().file("a.rgm", &training("3e-3"));
    let run = test.command("run a.rgm --json --store s --checkpoint-every 0s").stdout(Stdio::null()).status().unwrap();
    assert!(run.success());
    // The record is lost, and with it what tells that the step is done; its last state is there.
    for entry in fs::read_dir(test.path("s/records")).unwrap().map(|it| it.unwrap().path()) {
        if fs::read_to_string(&entry).unwrap().contains("\"stage\": \"pretrain\"") {
            fs::remove_file(entry).unwrap();
        }
    }
    let again = test.done("run a.rgm --json --store s");
    assert_eq!(resumed(&again), [("base".to_owned(), 30)]);
    let fresh = test.done("run a.rgm --json --store fresh");
    assert_eq!(again.outputs(), fresh.outputs());
}

/// A damaged state is passed over for the one before it, and damaged lines for the beginning.
#[test]
fn damaged_states_cost_time_and_nothing_else() {
    let test = Test::new().file("a.rgm", &training("cosine(3e-3 to 3e-4)"));
    let fresh = test.done("run a.rgm --json --store fresh");
    for (damaged, from) in [("states", 0), ("lines", 0), ("latest", 1)] {
        let store = format!("run a.rgm --json --store {damaged}");
        // The 40th rename lies in the midst of the training.
        let mut killed = test.command(&format!("{store} --checkpoint-every 0s"));
        killed.env("REGIMEN_FAILPOINT", "rename:after:40=kill").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(killed.status().unwrap().code().is_none());
        let checkpoints = test.path(&format!("{damaged}/checkpoints"));
        let step = fs::read_dir(&checkpoints).unwrap().next().unwrap().unwrap().path();
        let mut states: Vec<_> = fs::read_dir(&step).unwrap().map(|it| it.unwrap().path()).collect();
        states.retain(|path| path.is_dir());
        states.sort();
        let damage = |file: std::path::PathBuf| {
            let mut bytes = fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::remove_file(&file).unwrap();
            fs::write(&file, bytes).unwrap();
        };
        match damaged {
            "states" => states.iter().for_each(|state| damage(state.join("policy.safetensors"))),
            "latest" => damage(states.last().unwrap().join("policy.safetensors")),
            _ => damage(step.join("lines.jsonl")),
        }
        let end = test.done(&store);
        let latest: u64 = states.last().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
        let expected = if from == 0 { vec![] } else { vec![("base".to_owned(), latest - from)] };
        assert_eq!(resumed(&end), expected, "{damaged}");
        assert_eq!(end.outputs(), fresh.outputs(), "{damaged}");
    }
}

/// A merge goes on at the next tensor, unless what it wrote before is not as it was.
#[test]
fn a_merge_goes_on_where_it_was_killed() {
    let parts = training("3e-3")
        .replace("output base", "next = pretrain(raw, text, budget = 20 steps, batch = 200 tokens, lr = 1e-3, seed)\n");
    let soup = format!("{parts}soup = merge.linear([base, next], weights = [0.25, 0.75])\noutput soup\n");
    let test = Test::new().file("parts.rgm", &format!("{parts}output base, next\n")).file("a.rgm", &soup);
    let fresh = test.done("run a.rgm --json --store fresh");
    for damaged in [false, true] {
        let store = format!("store-{damaged}");
        test.done(&format!("run parts.rgm --json --store {store}"));
        let mut killed = test.command(&format!("run a.rgm --json --store {store} --checkpoint-every 0s"));
        killed.env("REGIMEN_FAILPOINT", "rename:after:6=kill").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(killed.status().unwrap().code().is_none());
        let half = fs::read_dir(test.path(&format!("{store}/checkpoints"))).unwrap();
        let mut half = half.map(|it| it.unwrap().path().join("model.safetensors"));
        let half = half.find(|it| it.is_file()).unwrap();
        if damaged {
            let mut bytes = fs::read(&half).unwrap();
            // The first number behind the header belongs to a tensor that is written first or second.
            let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            let whole: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
            let names = whole.as_object().unwrap().keys().filter(|it| *it != "__metadata__");
            let first = names.min().unwrap();
            let at = header + whole[first]["data_offsets"][0].as_u64().unwrap() as usize;
            bytes[at] ^= 1;
            fs::write(&half, bytes).unwrap();
        }
        let end = test.done(&format!("run a.rgm --json --store {store}"));
        let on: Vec<String> = resumed(&end).into_iter().map(|(address, _)| address).collect();
        assert_eq!(on, if damaged { vec![] } else { vec!["soup".to_owned()] });
        assert_eq!(end.outputs(), fresh.outputs());
    }
}

/// A mixture goes on after the last tensors or the last block that was kept, in both of its layouts.
#[test]
fn a_mixture_goes_on_where_it_was_killed() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/merge");
    for layout in ["moe_mixtral_random", "moe_qwen_cheap"] {
        let yaml = fs::read_to_string(fixtures.join(layout).join("merge.yaml")).unwrap();
        let test =
            Test::new().file("m.yaml", &yaml).file("a.rgm", "mixture = merge.from(\"m.yaml\")\noutput mixture\n");
        for model in fs::read_dir(fixtures.join("models")).unwrap().map(|it| it.unwrap()) {
            for file in fs::read_dir(model.path()).unwrap().map(|it| it.unwrap()) {
                let to = test.path(model.file_name().to_str().unwrap()).join(file.file_name());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(file.path(), to).unwrap();
            }
        }
        let fresh = test.done("run a.rgm --json --checkpoint-every never --store fresh").outputs();
        let mut places = Vec::new();
        for rename in [2, 8, 12] {
            let run = format!("run a.rgm --json --checkpoint-every 0s --store killed{rename}");
            let mut killed = test.command(&run);
            killed.env("REGIMEN_FAILPOINT", format!("rename:after:{rename}=kill"));
            assert!(killed.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().is_none());
            let end = test.done(&run);
            places.extend(resumed(&end).into_iter().map(|(_, done)| done));
            assert_eq!(end.outputs(), fresh, "{layout}, {rename}");
        }
        // Some of them lie in the midst of it, and each further than the one before.
        assert!(places.len() == 3 && places.is_sorted_by(|a, b| a < b) && places[0] > 0, "{layout}: {places:?}");
    }
}
