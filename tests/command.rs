//! Programs as steps, as a person sees them: what runs, what is checked, what is said, and what is left behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{Said, Test, steady};

/// Rows, a program that counts them, and one that makes more of them.
const COUNT: &str = r#"
facts = problems(rows = 9 rows)
score = command("sh {script} {facts} {out}", facts, script = path("count.sh")) -> Report
twice = command("cat {facts}/rows.jsonl {facts}/rows.jsonl > {out}/rows.jsonl", facts, shell = true) -> Dataset<problem>
few   = take(twice, rows = 12 rows)
require score.lines == 9
output score, few
"#;

const COUNT_SCRIPT: &str = "echo counting\nprintf '{\"lines\": %d}' $(wc -l < $1/rows.jsonl) > $2/report.json\n";

/// A recipe of one program.
fn program(line: &str, more: &str) -> String {
    format!("x = command(\"{}\"{more}) -> Report\noutput x\n", line.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What a run of one failing program says.
fn fails(line: &str, more: &str) -> Said {
    Test::new().file("a.rgm", &program(line, more)).run("run a.rgm")
}

/// The numbers of processes whose command line holds a word.
fn processes(word: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let has = |it: &u32| {
        let line = fs::read(format!("/proc/{it}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(word)
    };
    numbers.filter(has).collect()
}

/// Waits until something holds; what it is for is not how long that takes.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..400 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("{what} never came about");
}

#[test]
fn a_program_is_a_step_like_any_other() {
    let test = Test::new().file("a.rgm", COUNT).file("count.sh", COUNT_SCRIPT);
    let first = test.done("run a.rgm --json");
    assert_eq!(first.made(), ["facts", "few", "score", "twice"]);
    let log = fs::read_dir(test.path(".regimen/logs")).unwrap().count();
    assert_eq!(log, 2);
    insta::assert_snapshot!(test.run("plan a.rgm"), @r"
    exit 0
    --- stdout
    4 steps: 4 made
      hit  facts  problems
      hit  score  command
      hit  twice  command
      hit  few    take
    ");
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
    // What the recipe hands over is part of the key: the script's content, and not its name or place.
    test.write("there/count.sh", COUNT_SCRIPT);
    assert_eq!(test.done("run a.rgm --json --set score.script=there/count.sh").made(), Vec::<String>::new());
    test.write("count.sh", &COUNT_SCRIPT.replace("counting", "reckoning"));
    insta::assert_snapshot!(test.done("why a.rgm score"), @r#"
    exit 0
    --- stdout
    score (command) would run: `files.script` has changed
      then  DIGEST
      now   DIGEST
      at    a.rgm:3: score = command("sh {script} {facts} {out}", facts, script = path("count.sh")) -> Report
      compared with record DIGEST of score
    "#);
    assert_eq!(test.done("run a.rgm --json").made(), ["score"]);
    // How long it may take is no part of it; what it makes is.
    let limited = COUNT.replace("count.sh\")", "count.sh\"), timeout = 1 min");
    test.write("a.rgm", &limited);
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
    test.write("a.rgm", &limited.replace("Dataset<problem>", "Dataset<sample>"));
    insta::assert_snapshot!(test.done("why a.rgm twice"), @r#"
    exit 0
    --- stdout
    twice (command) would run: `returns` has changed
      then  "Dataset<problem>"
      now   "Dataset<sample>"
      at    a.rgm:4: twice = command("cat {facts}/rows.jsonl {facts}/rows.jsonl > {out}/rows.jsonl", facts, shell = true) -> Dataset<sample>
      compared with record DIGEST of twice
    "#);
}

#[test]
fn a_program_that_fails_is_told_with_its_end_and_its_log() {
    let script = "echo first; echo '{\"loss\": 2}'; echo last >&2; exit 3";
    let test = Test::new().file("a.rgm", &program(&format!("{script} # {{out}}"), ", shell = true"));
    let said = test.run("run a.rgm");
    insta::assert_snapshot!(steady(&said.to_string()), @r#"
    exit 3
    --- stderr
    1 step: 0 made, 1 to run
      start   x                 command
      FAILED  x                 the program ended with code 3; it said at last
              | first
              | {"loss": 2}
              | last
              its log is .regimen/logs/KEY.log
    failed after DURATION: what does not depend on the failed steps is made
    "#);
    let log = fs::read_dir(test.path(".regimen/logs")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(
        fs::read_to_string(log).unwrap().lines().skip(1).collect::<Vec<_>>(),
        ["first", "{\"loss\": 2}", "last"]
    );
    insta::assert_snapshot!(steady(&test.done("status").to_string()), @r"
    exit 0
    --- stdout
    run RUN failed: 0 of 1 step made, DURATION
      FAILED  x  the program ended with code 3; it said at last
    ");
    let failed = test.run("run a.rgm --json").json();
    let failed = failed.iter().find(|event| event["event"] == "step_failed").unwrap();
    assert!(test.path(failed["log"].as_str().unwrap()).is_file(), "{failed}");
    // Nothing of it is kept but the log.
    assert_eq!(fs::read_dir(test.path(".regimen/scratch")).unwrap().count(), 0);
}

#[test]
fn every_other_end_of_a_program_is_told_as_what_it_is() {
    let said = [
        fails("kill -9 $$ {out}", ", shell = true"),
        fails("exit 137; {out}", ", shell = true"),
        fails("sleep 4320; : {out}", ", shell = true, timeout = 0.2 s"),
        fails("no-such-program {out}", ""),
        fails("exit 127; {out}", ", shell = true"),
        fails("{file} {out}", ", file = path(\"a.rgm\")"),
        fails("cat 'a {out}", ""),
    ];
    let said = said
        .map(|said| said.to_string().lines().filter(|it| it.starts_with("  ")).skip(1).collect::<Vec<_>>().join("\n"));
    insta::assert_snapshot!(steady(&said.join("\n\n")), @r#"
    FAILED  x                 the program was killed by signal 9 (perhaps out of memory); it said nothing
            its log is .regimen/logs/KEY.log

    FAILED  x                 the program ended with code 137, as if killed by signal 9 (perhaps out of memory); it said nothing
            its log is .regimen/logs/KEY.log

    FAILED  x                 the program was ended at its time limit, `timeout = 0.2 seconds`; it said nothing
            its log is .regimen/logs/KEY.log

    FAILED  x                 there is no program `no-such-program`; it would run in a folder of its own, so name one of the search path, or hand the file over as a port: `program = path("no-such-program")`
            its log is .regimen/logs/KEY.log

    FAILED  x                 the program ended with code 127: a program that it names was not found; it said nothing
            its log is .regimen/logs/KEY.log

    FAILED  x                 `FOLDER/a.rgm` may not be run: it is no program, or not marked as one
            its log is .regimen/logs/KEY.log

    FAILED  x                 a quote of the line is never closed: `'`
    "#);
    assert_eq!(processes("sleep 4320"), Vec::<u32>::new());
}

#[test]
fn what_a_program_leaves_must_be_what_was_declared() {
    let made = |line: &str, ty: &str| {
        let recipe = program(line, ", shell = true").replace("Report", ty);
        let said = Test::new().file("a.rgm", &recipe).run("run a.rgm");
        let error = said.stderr.lines().find(|line| line.contains("FAILED"));
        error.map_or_else(|| said.stderr.clone(), |it| it.trim().to_owned())
    };
    let said = [
        made(": {out}", "Report"),
        made("echo '{}' > {out}/report.json", "Report"),
        made("echo '{\"a\": \"b\"}' > {out}/report.json", "Report"),
        made("echo '[' > {out}/report.json", "Report"),
        made(": {out}", "Dataset<chat>"),
        made(": > {out}/rows.jsonl", "Dataset<chat>"),
        made("printf '{\"messages\": []}\\n{\"text\": \"a\"}' > {out}/rows.jsonl", "Dataset<chat>"),
        made(
            "cd {out}; echo '{\"text\": \"a\"}' > rows.jsonl; echo '{\"kind\": \"text\", \"rows\": 2, \"counts\": {}}' > dataset.json",
            "Dataset<text>",
        ),
        made(
            "cd {out}; echo '{\"text\": \"a\"}' > rows.jsonl; echo '{\"kind\": \"text\", \"rows\": 1, \"counts\": {}}' > dataset.json",
            "Dataset<chat>",
        ),
        made(": {out}", "Tokenizer"),
        made(": {out}", "Model"),
        made("echo '{\"model_type\": \"llama\"}' > {out}/config.json", "Model"),
        made("cd {out}; echo '{\"model_type\": \"gpt_neox\"}' > config.json; echo > pytorch_model.bin", "Model"),
        made(
            "cd {out}; echo '{\"model_type\": \"gpt_neox\"}' > config.json; printf '\\2\\0\\0\\0\\0\\0\\0\\0{}' > model.safetensors",
            "RewardModel",
        ),
        made(
            "cd {out}; echo '{\"model_type\": \"gpt_neox\"}' > config.json; echo cut > model.safetensors",
            "RewardModel",
        ),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    FAILED  x                 what the program left in `{out}` is no Report: report.json: No such file or directory (os error 2)
    FAILED  x                 what the program left in `{out}` is no Report: report.json: expected an object of numbers, such as `{"pass1": 0.5}`
    FAILED  x                 what the program left in `{out}` is no Report: report.json: expected a number for `a`, found "b"
    FAILED  x                 what the program left in `{out}` is no Report: report.json: expected JSON: EOF while parsing a list at line 2 column 0
    FAILED  x                 what the program left in `{out}` is no Dataset<chat>: rows.jsonl: No such file or directory (os error 2)
    FAILED  x                 what the program left in `{out}` is no Dataset<chat>: rows.jsonl: expected at least one row, found none
    FAILED  x                 what the program left in `{out}` is no Dataset<chat>: rows.jsonl:2: expected a row of the kind `chat`, found another row: missing field `messages`
    FAILED  x                 what the program left in `{out}` is no Dataset<text>: rows.jsonl: expected 2 rows as `dataset.json` says, found 1
    FAILED  x                 what the program left in `{out}` is no Dataset<chat>: expected rows of the kind `chat`, found `text`
    FAILED  x                 what the program left in `{out}` is no Tokenizer: tokenizer.json: No such file or directory (os error 2)
    FAILED  x                 what the program left in `{out}` is no Model: config.json: No such file or directory (os error 2)
    FAILED  x                 what the program left in `{out}` is no Model: `config.json`: missing field `hidden_size`
    FAILED  x                 what the program left in `{out}` is no Model: pytorch_model.bin: expected `model.safetensors`; save the model with `safe_serialization=True`
    FAILED  x                 what the program left in `{out}` is no RewardModel: model.safetensors: the file holds no tensor
    FAILED  x                 what the program left in `{out}` is no RewardModel: model.safetensors: the file is cut off
    "#);
}

#[test]
fn a_model_of_any_architecture_passes_between_programs_and_a_known_one_goes_on_here() {
    let recipe = r#"
facts   = problems(rows = 9 rows)
raw     = init(tokenizer(documents(facts), vocab = 270), hidden = 16, layers = 2)
copied  = command("cp -r {raw}/. {out}", raw) -> Model
score   = eval(copied, facts, max_length = 4 tokens)
foreign = command("cp -r {copied}/. {out} && chmod u+w {out}/config.json && sed -i s/deepseek_v3/gpt_neox/ {out}/config.json", copied, shell = true) -> Model
vocab   = command("cp {foreign}/tokenizer.json {foreign}/tokenizer_config.json {out}", foreign, shell = true) -> Tokenizer
again   = init(vocab, hidden = 16, layers = 2)
output score, again
"#;
    let said = Test::new().file("a.rgm", recipe).run("run a.rgm --threads 1");
    insta::assert_snapshot!(steady(&said.to_string()), @r"
    exit 0
    --- stdout
                    pass@1  majority  level 4  level 5  level 6  format  language  mixed  length
    score  0.0 [0.0, 29.9]       0.0      0.0      0.0      0.0     0.0     100.0    0.0     4.0
    --- stderr
    9 steps: 0 made, 9 to run
      start   facts             problems, about DURATION
      done    facts DURATION, SIZE
      start   raw.tokenizer.text  documents, about DURATION
      done    raw.tokenizer.text DURATION, SIZE
      start   raw.tokenizer     tokenizer, about DURATION
      done    raw.tokenizer DURATION, SIZE
      start   raw               init, about DURATION
      done    raw DURATION, SIZE
      start   copied            command
      done    copied DURATION, SIZE
      start   foreign           command
      done    foreign DURATION, SIZE
      start   score             eval
      done    score DURATION, SIZE, pass1 0
      start   vocab             command
      done    vocab DURATION, SIZE
      made    again
    done in DURATION
    ");
}

#[test]
fn what_fails_does_not_keep_others_from_being_made_and_tells_its_last_figures() {
    let recipe = r#"
facts  = problems(rows = 9 rows)
raw    = init(tokenizer(documents(facts), vocab = 270), hidden = 16, layers = 2)
kept   = reject(raw, facts, n = 2, keep = correct, max_length = 4 tokens)
few    = take(kept, rows = 2 rows)
other  = command("cp {facts}/rows.jsonl {out}", facts) -> Dataset<problem>
lost   = command("rm {file}; : {out}", file = path("gone.txt"), shell = true) -> Report
used   = command("cat {file} > {out}/report.json", file = path("gone.txt"), shell = true) -> Report
output few, other, lost, used
"#;
    let test = Test::new().file("a.rgm", recipe).file("gone.txt", "x");
    insta::assert_snapshot!(steady(&test.run("run a.rgm --threads 1").to_string()), @r"
    exit 3
    --- stderr
    9 steps: 0 made, 9 to run
      start   facts             problems, about DURATION
      done    facts DURATION, SIZE
      start   lost              command
      FAILED  lost              what the program left in `{out}` is no Report: report.json: No such file or directory (os error 2)
              its log is .regimen/logs/KEY.log
      start   other             command
      done    other DURATION, SIZE
      start   raw.tokenizer.text  documents, about DURATION
      done    raw.tokenizer.text DURATION, SIZE
      start   raw.tokenizer     tokenizer, about DURATION
      done    raw.tokenizer DURATION, SIZE
      start   raw               init, about DURATION
      done    raw DURATION, SIZE
      start   kept              reject, about DURATION
      FAILED  kept              expected 1 rows, found 0 among 18 answers to 9 problems; raise `n`, lower `rows` or relax `keep`: 18 not correct
              the last figures are acceptance 0
      skip    few               kept failed
      start   used              command
      FAILED  used              the file of the port `file` is gone: gone.txt
    failed after DURATION: what does not depend on the failed steps is made
    ");
    insta::assert_snapshot!(test.run("run a.rgm --threads 1"), @r#"
    exit 1
    --- stderr
    error: cannot read `gone.txt`: there is no such file
       ,-[ a.rgm:7:47 ]
       |
     7 | lost   = command("rm {file}; : {out}", file = path("gone.txt"), shell = true) -> Report
       |                                               ^^^^^^^^^^^^^^^^

    error: cannot read `gone.txt`: there is no such file
       ,-[ a.rgm:8:59 ]
       |
     8 | used   = command("cat {file} > {out}/report.json", file = path("gone.txt"), shell = true) -> Report
       |                                                           ^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_program_runs_in_a_folder_of_its_own_with_nothing_to_read() {
    let line = "cat; test -z \"$(ls -A)\" && echo note > left && pwd > {out}/where && \
                printf '{\"given\": %s}' $GIVEN > {out}/report.json";
    let env = ", env = [\"GIVEN={seven}\"], seven = 7, shell = true";
    let test = Test::new().file("a.rgm", &(program(line, env) + "require x.given == 7\n"));
    let events = test.done("run a.rgm --json").json();
    let out = test.path(events.last().unwrap()["outputs"]["x"]["path"].as_str().unwrap());
    let place = fs::read_to_string(out.join("where")).unwrap();
    assert!(place.contains("/.regimen/scratch/") && place.trim().ends_with("/work"), "{place}");
    assert_eq!(fs::read_dir(test.path(".regimen/scratch")).unwrap().count(), 0);
}

#[test]
fn a_gate_on_a_figure_that_a_program_did_not_report_fails_and_says_why() {
    let recipe = program("echo '{\"a\": 1}' > {out}/report.json", ", shell = true") + "require x.b == 1\n";
    let said = Test::new().file("a.rgm", &recipe).run("run a.rgm");
    insta::assert_snapshot!(said, @r"
    exit 4
    --- stderr
    1 step: 0 made, 1 to run
      start   x                 command
      done    x DURATION, SIZE
      FAILED  require x.b == 1  no such figure
    done in DURATION, but a condition does not hold
    ");
}

#[test]
fn nothing_that_a_program_started_outlives_its_step() {
    let line = "sleep 4321 & echo '{\"a\": 1}' > {out}/report.json";
    let test = Test::new().file("a.rgm", &program(line, ", shell = true"));
    test.done("run a.rgm");
    assert_eq!(processes("sleep 4321"), Vec::<u32>::new());
}

/// A program that dwells as long as the environment says, which is where it runs and no part of its key.
const DWELL: &str = "sleep $DWELL; sleep $DWELL; echo '{\"a\": 1}' > {out}/report.json";

#[test]
fn sigkill_leaves_no_process_behind_and_the_next_run_repeats_the_step() {
    let test = Test::new().file("a.rgm", &program(DWELL, ", shell = true"));
    let mut run = test.command("run a.rgm").env("DWELL", "4322").stderr(Stdio::null()).spawn().unwrap();
    eventually("the program", || !processes("sleep 4322").is_empty());
    run.kill().unwrap();
    run.wait().unwrap();
    eventually("its end", || processes("4322").is_empty());
    let again = test.command("run a.rgm --json").env("DWELL", "0").output().unwrap();
    let text = String::from_utf8(again.stdout).unwrap();
    assert!(text.contains("\"step_finished\",\"address\":\"x\""), "{text}");
    assert_eq!(fs::read_dir(test.path(".regimen/scratch")).unwrap().count(), 0);
    assert_eq!(test.done("run a.rgm --json").made(), Vec::<String>::new());
}

#[test]
fn ctrl_c_asks_a_program_to_end() {
    let test = Test::new().file("a.rgm", &program(DWELL, ", shell = true"));
    let mut run = test.command("run a.rgm").env("DWELL", "4323").stderr(Stdio::null()).spawn().unwrap();
    eventually("the program", || !processes("sleep 4323").is_empty());
    assert!(Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(processes("4323"), Vec::<u32>::new());
}

/// What the library asks of TRL, shown by a stand-in that hands the model back and says what it was asked and given.
#[test]
fn trl_is_asked_for_what_the_recipe_says() {
    let trl = "#!/bin/sh\nfor word; do echo \"<$word>\"; done\ncat data/train.jsonl\ncp -r $3/. $7\ntouch $7/training_args.bin\n";
    let recipe = r#"
raw   = init(tokenizer(documents(problems(rows = 9 rows)), vocab = 270), hidden = 16, layers = 2)
chats = dataset("chats.jsonl", kind = "chat")
tuned = trl.sft(raw, chats, budget = 2 epochs, max_length = 64 tokens, options = ["--run_name", "it's mine"])
output tuned
"#;
    let chat = "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n";
    let test = Test::new().file("a.rgm", recipe).file("chats.jsonl", chat).file("bin/trl", trl);
    fs::set_permissions(test.path("bin/trl"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", test.path("bin").display(), std::env::var("PATH").unwrap());
    let run = test.command("run a.rgm --json").env("PATH", path).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    let log = fs::read_dir(test.path(".regimen/logs")).unwrap().next().unwrap().unwrap().path();
    let said = fs::read_to_string(log).unwrap();
    let asked: Vec<String> = said.lines().skip(1).map(|it| steady(&it.replace(['<', '>'], ""))).collect();
    insta::assert_snapshot!(asked.join("\n"), @r#"
    sft
    --model_name_or_path
    OBJECT
    --dataset_name
    data
    --output_dir
    SCRATCH
    --num_train_epochs
    2
    --per_device_train_batch_size
    8
    --learning_rate
    0.00002
    --max_length
    64
    --seed
    0
    --report_to
    none
    --save_strategy
    no
    --run_name
    it's mine
    {"messages":[{"role":"user","content":"hi"}]}
    "#);
    let shown = test.done("show tuned.tuned").stdout;
    let (_, files) = shown.split_once("\nfiles\n").unwrap();
    assert!(files.contains("model.safetensors") && !files.contains("training_args.bin"), "{files}");
}
