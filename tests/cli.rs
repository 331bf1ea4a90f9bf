//! The command line as people and programs see it: help, exit codes, JSON, and the commands that read a model.

use std::{fs, path::Path};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

use crate::harness::{TINY, Test};

const FACTS: &str = "facts = problems(rows = 9 rows)\nfew = take(facts, rows = 2 rows)\noutput few\n";

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    insta::assert_snapshot!(Test::new().run("--help"), @r#"
    exit 0
    --- stdout
    A declarative workflow engine for training reasoning models

    Usage: regimen <COMMAND>

    Commands:
      check        Check a recipe: names, types, units, labels; nothing runs
      plan         Show what would run, why, and at what price; nothing runs
      run          Run a recipe: each step once ever, its result kept by content
      review       Decide on the rows that wait for a person: list, show, accept, refuse, edit
      diff         Say what differs between two recipes: what would run anew, and at what price
      why          Say why a step would run: the first field that differs, both values, the source line
      status       Show how the newest run stands, also while it goes on
      report       Show the scores of a recipe's models side by side, as far as they are made
      log          List the runs: when, which recipe, how each ended, what it made
      show         Show what is kept under an address, a key or a digest: arguments, inputs, files,
                   figures; with `--rows` its rows
      trace        Go from an artifact, or from one row of it, back to its sources
      graph        Print the graph of a recipe's steps
      gc           Remove what neither the recipes named nor the last runs need; records stay
      verify       Read what is kept against its digests; what is damaged is moved aside, to be made
                   again
      merge        Merge models as a YAML file says, in the form that mergekit reads
      score        Score the answers in a JSON Lines file by a reward, without training anything
      test         Run the tests of recipes, `test "name" { .. require .. }`
      fmt          Bring recipes into their one canonical form
      doc          Show what a stage takes and gives, from the `##` comments
      pin          Write the digest of each input's file into the recipe, `@ blake3:..`; a changed file
                   is an error from then on
      lsp          Serve an editor: mistakes as one types, hover, completion, definitions, renaming,
                   formatting
      completions  Print completions for a shell
      model        Work with a model folder by itself
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit codes:
        0  done
        1  an error in the recipe, in an argument, or in a file that they name
        2  the plan has work to do (`plan --exit-code`)
        3  a step failed
        4  a `require` does not hold
        5  the store is damaged or cannot be used
        6  waiting for a person (`regimen review`)
        7  the plan does not fit the memory, the disk or the `--budget`
      130  interrupted
    "#);
}

#[test]
fn every_command_explains_itself() {
    let test = Test::new();
    let commands = "check plan run why diff status log show trace graph gc verify score merge fmt doc pin completions model|bench model|logits model|generate";
    for command in commands.split(' ') {
        let said = test.done(&format!("{} --help", command.replace('|', " ")));
        let usage = format!("Usage: regimen {}", command.replace('|', " "));
        assert!(said.stdout.contains(&usage), "{said}");
        let first = said.stdout.lines().next().unwrap();
        assert!(first.len() > 20 && !first.contains("Usage"), "{said}");
    }
}

#[test]
fn every_exit_code_is_met() {
    let gate = "score = eval(init(tokenizer(documents(facts), vocab = 270), hidden = 16, layers = 2), facts, \
                max_length = 4 tokens)\nrequire score.pass1 > 0.9\noutput score\n";
    let test = Test::new()
        .file("ok.rgm", FACTS)
        .file("wrong.rgm", "few = take(facts, rows = 2 rows)\noutput few\n")
        .file("fails.rgm", &FACTS.replace("2 rows", "10 rows"))
        .file("gate.rgm", &format!("facts = problems(rows = 9 rows)\n{gate}"))
        .file("file", "no folder");
    let commands = [
        "--version",
        "check ok.rgm",
        "check wrong.rgm",
        "plan wrong.rgm",
        "plan ok.rgm",
        "plan ok.rgm --exit-code",
        "run ok.rgm",
        "plan ok.rgm --exit-code",
        "run wrong.rgm",
        "run fails.rgm",
        "run gate.rgm",
        "run ok.rgm --store file",
        "run ok.rgm --threads 0",
        "run ok.rgm --set few.rows=3",
        "run ok.rgm --set fw.rows=3",
        "why ok.rgm fe",
        "show nothing",
        "frobnicate",
        "model logits nowhere --ids a --out b",
    ];
    let codes = commands.map(|command| format!("{:3}  {command}", test.run(command).status));
    insta::assert_snapshot!(codes.join("\n"), @r"
    0  --version
    0  check ok.rgm
    1  check wrong.rgm
    1  plan wrong.rgm
    0  plan ok.rgm
    2  plan ok.rgm --exit-code
    0  run ok.rgm
    0  plan ok.rgm --exit-code
    1  run wrong.rgm
    3  run fails.rgm
    4  run gate.rgm
    5  run ok.rgm --store file
    1  run ok.rgm --threads 0
    1  run ok.rgm --set few.rows=3
    1  run ok.rgm --set fw.rows=3
    1  why ok.rgm fe
    1  show nothing
    1  frobnicate
    1  model logits nowhere --ids a --out b
    ");
}

#[test]
fn a_reader_that_has_had_enough_is_no_error() {
    let test = Test::new().file("recipe.rgm", TINY);
    for arguments in ["doc", "plan recipe.rgm", "check recipe.rgm --json", "run recipe.rgm"] {
        let mut command = test.command(arguments);
        // Its reading end is dropped at once.
        let closed = || std::io::pipe().unwrap().1;
        command.stdout(closed()).stderr(closed());
        assert_eq!(command.status().unwrap().code(), Some(0), "{arguments}");
    }
}

#[test]
fn what_cannot_be_printed_onto_a_full_disk_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Test::new().command("doc").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: cannot write to standard output: the disk is full\n");
}

#[test]
fn a_step_that_fails_is_named_with_its_reason() {
    let test = Test::new().file("a.rgm", &FACTS.replace("2 rows", "10 rows"));
    let said = test.run("run a.rgm");
    insta::assert_snapshot!(said, @r"
    exit 3
    --- stderr
    2 steps: 0 made, 2 to run; about DURATION
      start   facts             problems, about DURATION
      done    facts DURATION, SIZE
      start   few               take, about DURATION
      FAILED  few               expected at least 10 rows to take, found 9
    failed after DURATION: what does not depend on the failed steps is made
    ");
}

#[test]
fn check_tells_people_and_programs() {
    let test = Test::new().file("ok.rgm", FACTS).file("wrong.rgm", "few = take(fact, rows = 2)\noutput few\n");
    insta::assert_snapshot!(test.run("check ok.rgm"), @r"
    exit 0
    --- stdout
    ok: 2 steps
    ");
    assert_eq!(test.done("check ok.rgm --json").json(), [json!({"ok": true, "diagnostics": []})]);
    let said = test.run("check wrong.rgm --json");
    assert_eq!((said.status, said.stderr.as_str()), (1, ""));
    let place = |column: u32, end: u32| json!({"line": 1, "column": column, "end_line": 1, "end_column": end});
    let complaint = |message: &str, at: Value, hint: Value| {
        let mut complaint = json!({"severity": "error", "message": message, "file": "wrong.rgm"});
        complaint.as_object_mut().unwrap().extend(at.as_object().unwrap().clone());
        complaint["hint"] = hint;
        complaint
    };
    let expected = json!({"ok": false, "diagnostics": [
        complaint("unknown name `fact`", place(12, 16), Value::Null),
        complaint("expected rows, found int", place(25, 26), "add the unit: `2 rows`".into()),
    ]});
    assert_eq!(said.json(), [expected]);
}

#[test]
fn a_graph_in_both_languages() {
    let test = Test::new().file("a.rgm", FACTS);
    insta::assert_snapshot!(test.done("graph a.rgm --format mermaid").stdout, @r#"
    flowchart LR
      s0["facts<br/><i>problems</i>"]
      s1["few<br/><i>take</i>"]
      s0 -->|data| s1
    "#);
    insta::assert_snapshot!(test.done("graph a.rgm").stdout, @r#"
    digraph recipe {
      rankdir = LR
      node [shape = box, fontname = "sans-serif"]
      s0 [label = "facts\nproblems"]
      s1 [label = "few\ntake"]
      s0 -> s1 [label = "data"]
    }
    "#);
    assert_eq!(test.entries(), ["a.rgm"]);
}

#[test]
fn commands_that_read_work_before_any_run_and_write_nothing() {
    let test = Test::new().file("a.rgm", FACTS);
    insta::assert_snapshot!(test.run("status"), @r"
    exit 0
    --- stdout
    no run in .regimen
    ");
    insta::assert_snapshot!(test.run("show few"), @r"
    exit 1
    --- stderr
    error: .regimen holds nothing named `few`
      hint: `regimen plan RECIPE` lists addresses
    ");
    insta::assert_snapshot!(test.run("plan a.rgm"), @r"
    exit 0
    --- stdout
    2 steps: 1 to run, 1 waiting; about DURATION, SIZE of memory, SIZE of disk
      run    facts  problems  new DURATION SIZE SIZE
      waits  few    take      after facts DURATION SIZE SIZE
    ");
    assert_eq!(test.entries(), ["a.rgm"]);
}

#[test]
fn show_tells_what_a_step_was_made_from() {
    let test = Test::new().file("a.rgm", FACTS);
    test.done("run a.rgm");
    let shown = test.done("show few").to_string();
    let stable: Vec<&str> =
        shown.lines().filter(|line| !line.starts_with("  path") && !line.starts_with("  run")).collect();
    insta::assert_snapshot!(stable.join("\n"), @r#"
    exit 0
    --- stdout
    few (take)
      key     DIGEST
      object  DIGEST
      took DURATION
      rows    2
    made from
      rows     2 rows
      backend  "candle-cpu-f32"
      version  1
      data     facts (problems) DIGEST, 9 rows
    files
      dataset.json SIZE  DIGEST
      rows.jsonl SIZE  DIGEST
    "#);
    let unknown = test.run("show fwe");
    insta::assert_snapshot!(unknown, @r"
    exit 1
    --- stderr
    error: .regimen holds nothing named `fwe`
      hint: `regimen plan RECIPE` lists addresses
    ");
}

#[test]
fn a_profile_says_where_things_run() {
    let test = Test::new().file("a.rgm", FACTS).file("regimen.yaml", "store: elsewhere\nthreads: 1\n");
    test.done("run a.rgm");
    assert_eq!(test.entries(), ["a.rgm", "elsewhere", "regimen.yaml"]);
    test.write("regimen.yaml", "stores: elsewhere\n");
    insta::assert_snapshot!(test.run("run a.rgm"), @r"
    exit 1
    --- stderr
    error: regimen.yaml: unknown field `stores`, expected one of `threads`, `checkpoint_every`, `batch`, `device`, `store`
    ");
}

#[test]
fn a_run_that_is_piped_says_plain_lines() {
    let test = Test::new().file("a.rgm", FACTS);
    insta::assert_snapshot!(test.run("run a.rgm --threads 1"), @r"
    exit 0
    --- stderr
    2 steps: 0 made, 2 to run; about DURATION
      start   facts             problems, about DURATION
      done    facts DURATION, SIZE
      start   few               take, about DURATION
      done    few DURATION, SIZE
    done in DURATION
    ");
    let status = test.done("status").to_string();
    let stable: Vec<&str> = status.lines().filter(|line| !line.starts_with("run ")).collect();
    insta::assert_snapshot!(stable.join("\n"), @r"
    exit 0
    --- stdout
      done  facts DURATION
      done  few DURATION
    ");
}

fn fixture() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dsv3_group"))
}

/// One of the lists of the fixture, with how long its rows are.
fn ids(field: &str) -> (Vec<i64>, usize) {
    let all: Value = serde_json::from_str(&fs::read_to_string(fixture().join("input_ids.json")).unwrap()).unwrap();
    let rows: Vec<Vec<i64>> = serde_json::from_value(all[field].clone()).unwrap();
    (rows.concat(), rows[0].len())
}

fn write_ids(test: &Test, (ids, length): &(Vec<i64>, usize)) {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::I64, vec![ids.len() / length, *length], &bytes).unwrap();
    fs::write(test.path("ids.safetensors"), safetensors::serialize([("input_ids", view)], None).unwrap()).unwrap();
}

fn tensor<const N: usize, T>(file: &Path, name: &str, number: fn([u8; N]) -> T) -> (Vec<usize>, Vec<T>) {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor(name).unwrap();
    (tensor.shape().to_vec(), tensor.data().as_chunks().0.iter().map(|it| number(*it)).collect())
}

#[test]
fn model_logits_are_those_of_the_reference() {
    let test = Test::new();
    write_ids(&test, &ids("input_ids"));
    test.done(&format!("model logits {} --ids ids.safetensors --out out.safetensors", fixture().display()));
    let (shape, found) = tensor(&test.path("out.safetensors"), "logits", f32::from_le_bytes);
    let (expected_shape, expected) = tensor(&fixture().join("expected.safetensors"), "logits", f32::from_le_bytes);
    assert_eq!(shape, expected_shape);
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{worst:e}");
}

#[test]
fn model_generate_goes_on_as_the_reference_does() {
    let test = Test::new();
    let (prompt, expected) = (ids("prompt"), ids("greedy_ids").0);
    write_ids(&test, &prompt);
    let new = expected.len() - prompt.0.len();
    let command = format!("model generate {} --ids ids.safetensors --max-new {new}", fixture().display());
    test.done(&format!("{command} --temperature 0 --seed 1 --out out.safetensors"));
    let (_, found) = tensor(&test.path("out.safetensors"), "ids", i64::from_le_bytes);
    assert_eq!(found, expected);
}

#[test]
fn model_bench_names_what_it_measured() {
    let test = Test::new();
    for (source, mode) in [("", "train"), ("/config.json", "generate")] {
        let command = format!("model bench {}{source} --mode {mode} --batch 2 --length 8 --new 4", fixture().display());
        let report = test.done(&format!("{command} --threads 1 --json")).json().remove(0);
        let speed = &report["tokens_per_second"];
        let [min, median, max] = ["min", "median", "max"].map(|it| speed[it].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= max);
        assert!(report["peak_rss_mb"].as_f64().unwrap() > 1.0);
        assert_eq!((&report["mode"], &report["threads"], &report["repeats"]), (&json!(mode), &json!(1), &json!(3)));
    }
    insta::assert_snapshot!(test.run("model bench nowhere --mode train"), @r"
    exit 1
    --- stderr
    error: `nowhere`: No such file or directory (os error 2)
    ");
}

#[test]
fn every_command_reads_the_tiny_recipe() {
    let test = Test::new().file("a.rgm", TINY);
    assert_eq!(test.done("check a.rgm").stdout, "ok: 11 steps\n");
    insta::assert_snapshot!(test.run("plan a.rgm"), @r"
    exit 0
    --- stdout
    11 steps: 2 to run, 9 waiting; about DURATION, 6.8k tokens, FLOP, SIZE of memory, SIZE of disk
      run    facts    problems   new DURATION SIZE SIZE
      run    test     problems   new DURATION SIZE SIZE
      waits  text     documents  after facts DURATION SIZE SIZE
      waits  vocab    tokenizer  after text DURATION SIZE SIZE
      waits  raw      init       after vocab DURATION SIZE SIZE
      waits  base     pretrain   after raw, text TOKENS FLOP DURATION SIZE SIZE
      waits  zero     grpo       after facts, base TOKENS FLOP DURATION SIZE SIZE
      waits  answers  sample     after facts, zero TOKENS FLOP DURATION SIZE SIZE
      waits  kept     filter     after answers DURATION SIZE SIZE
      waits  few      take       after kept DURATION SIZE SIZE
      waits  score    eval       after test, zero TOKENS FLOP DURATION SIZE SIZE

    zero
      loss = -1/Σ|o| Σ_i Σ_t min(r A, clip(r, 0.8, 1.2) A)
      where r = π(o_t)/π_old(o_t), A = (R - mean)/std of the group
      2 questions of 4 answers, N = 8
    ");
}
