//! Where things come from: the log of runs, what made an artifact, and the way from a row back to its sources.

use serde_json::{Value, json};

use crate::harness::{Test, steady};

const RECIPE: &str = r#"
param most: int = 6
facts   = dataset("facts.jsonl")
others  = problems(rows = 4 rows)
both    = mix([facts, others])
few     = take(both, rows = most * 1 row)
drawn   = dataset("drawn.jsonl", kind = "sample")
kept    = filter(drawn, where = length < 9 tokens)
score   = command("wc -l < {few}/rows.jsonl | sed 's/.*/{\"lines\": &}/' > {out}/report.json", few, shell = true) -> Report
output score, kept
"#;

fn kitchen() -> Test {
    let fact = |number: u32| format!("{{\"question\": \"What is {number} + 1?\", \"answer\": \"{}\"}}\n", number + 1);
    let sample = |number: u32, model: &str| {
        let row = json!({
            "question": format!("What is {number} + 1?"), "answer": "2", "prompt": "Q", "completion": "2", "tokens": 1,
            "finish": "stop", "model": model, "prompt_digest": regimen::base::digest::Digest::of(b"Q"), "seed": 7,
            "draw": number, "rewards": {"accuracy": 1.0, "format": 0.0},
        });
        format!("{row}\n")
    };
    let facts: String = (0..3).map(fact).collect();
    Test::new()
        .file("a.rgm", RECIPE)
        .file("facts.jsonl", &format!("\n{facts}"))
        .file("drawn.jsonl", &(sample(1, "a model from elsewhere") + &sample(2, "another")))
}

#[test]
fn the_log_lists_runs_and_tells_of_one() {
    let test = kitchen();
    assert_eq!(test.run("log").stdout, "no run in .regimen\n");
    test.done("run a.rgm --threads 1");
    // Nothing to do is no run.
    test.done("run a.rgm");
    test.done("run a.rgm --threads 1 --set most=5");
    test.write("b.rgm", &RECIPE.replace("= 6", "= 60"));
    assert_eq!(test.run("run b.rgm --threads 1").status, 3);
    // The columns are as wide as the number of the process, so that blanks say nothing here.
    let listed = steady(&test.done("log").to_string());
    let listed: Vec<String> = listed.lines().map(|it| it.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    insta::assert_snapshot!(listed.join("\n"), @r"
    exit 0
    --- stdout
    run began (UTC) recipe ended steps made found took
    RUN DAY TIME b.rgm failed 7 0 5 DURATION
    RUN DAY TIME a.rgm done 7 2 5 DURATION
    RUN DAY TIME a.rgm done 7 7 0 DURATION
    ");
    let mut listed = test.done("log --json -n 1").json();
    let newest = listed.remove(0);
    let id = newest["run"].as_str().unwrap().to_owned();
    assert_eq!(
        [&newest["recipe"], &newest["status"], &newest["made"], &newest["found"], &newest["failed"]],
        [&json!("b.rgm"), &json!("failed"), &json!(0), &json!(5), &json!(1)]
    );
    insta::assert_snapshot!(steady(&test.done(&format!("log {id}")).to_string()), @r"
    exit 0
    --- stdout
    run RUN failed: 5 of 7 steps made, DURATION
      began   DAY TIME UTC
      recipe  b.rgm
      found   5 steps made before
      FAILED  few    expected at least 60 rows to take, found 7
      skip    score  few failed
    ");
    let process = id.rsplit_once('-').unwrap().1;
    let events = test.done(&format!("log {process} --json")).json();
    assert_eq!(events[0]["event"], "plan");
    assert_eq!(events.last().unwrap()["status"], "failed");
    insta::assert_snapshot!(test.run("log nothing"), @r"
    exit 1
    --- stderr
    error: .regimen knows no run `nothing`
      hint: `regimen log` lists them
    ");
}

#[test]
fn show_tells_what_went_into_an_artifact() {
    let test = kitchen();
    test.done("run a.rgm");
    insta::assert_snapshot!(steady(&test.done("show few").to_string()), @r#"
    exit 0
    --- stdout
    few (take)
      key     DIGEST
      object  DIGEST
      path    OBJECT
      took DURATION
      run     RUN
      rows    6
    made from
      rows     6 rows
      backend  "candle-cpu-f32"
      version  1
      data     both (mix) DIGEST, 7 rows
    files
      dataset.json SIZE  DIGEST
      rows.jsonl SIZE  DIGEST
    "#);
    insta::assert_snapshot!(steady(&test.done("show facts").to_string()), @r#"
    exit 0
    --- stdout
    facts (dataset)
      key     DIGEST
      object  DIGEST
      path    OBJECT
      took DURATION
      run     RUN
      rows    3
    made from
      answer    "answer"
      kind      "problem"
      level     none
      question  "question"
      solution  none
      source    none
      text      "text"
      backend   "candle-cpu-f32"
      version   3
      file      facts.jsonl DIGEST
    files
      dataset.json SIZE  DIGEST
      rows.jsonl SIZE  DIGEST
    "#);
    insta::assert_snapshot!(steady(&test.done("show score").to_string()), @r#"
    exit 0
    --- stdout
    score (command)
      key     DIGEST
      object  DIGEST
      path    OBJECT
      took DURATION
      run     RUN
    made from
      env      []
      line     "wc -l < {few}/rows.jsonl | sed 's/.*/{\"lines\": &}/' > {out}/report.json"
      returns  "Report"
      shell    true
      backend  "candle-cpu-f32"
      version  1
      few      few (take) DIGEST, 6 rows
    files
      report.json SIZE  DIGEST
    figures
      lines  6
    "#);
}

#[test]
fn a_trace_goes_back_to_the_files() {
    let test = kitchen();
    test.done("run a.rgm");
    insta::assert_snapshot!(test.done("trace score"), @r"
    exit 0
    --- stdout
    score (command) DIGEST
    `- few: few (take) DIGEST, 6 rows
       `- data: both (mix) DIGEST, 7 rows
          |- parts[0]: facts (dataset) DIGEST, 3 rows
          |  `- file: facts.jsonl DIGEST
          `- parts[1]: others (problems) DIGEST, 4 rows
    ");
    let traced = test.done("trace score --json").json().remove(0);
    let steps = traced["steps"].as_object().unwrap();
    let addresses: Vec<&Value> = steps.values().map(|step| &step["address"]).collect();
    assert_eq!(addresses, ["score", "few", "both", "facts", "others"]);
    assert_eq!(steps[traced["object"].as_str().unwrap()]["sources"][0]["port"], "few");
    assert_eq!(steps.values().nth(3).unwrap()["sources"][0]["path"], "facts.jsonl");
    insta::assert_snapshot!(test.run("trace fewer"), @r"
    exit 1
    --- stderr
    error: .regimen holds nothing named `fewer`
      hint: did you mean `few`?
    ");
}

#[test]
fn a_row_is_traced_to_its_line_and_to_what_drew_it() {
    let test = kitchen();
    test.done("run a.rgm --set most=7");
    // The rows are shuffled by a fixed seed: this one comes from the file, whose first line is blank.
    let rows = |address: &str| {
        let said = test.done(&format!("show {address}")).stdout;
        let path = said.lines().find_map(|line| line.trim().strip_prefix("path")).unwrap().trim().to_owned();
        std::fs::read_to_string(test.path(&path).join("rows.jsonl")).unwrap()
    };
    let at = 1 + rows("few").lines().position(|line| line.contains("What is 2 + 1?")).unwrap();
    insta::assert_snapshot!(test.done(&format!("trace few:{at}")), @r#"
    exit 0
    --- stdout
    row 6 of few (take) DIGEST: {"question":"What is 2 + 1?","answer":"3"}
    from data: row 6 of both (mix) DIGEST
    from parts[0]: row 3 of facts (dataset) DIGEST
    from file: facts.jsonl:4 (ec7e9e3c9cad)
    "#);
    insta::assert_snapshot!(test.done("trace kept:2"), @r#"
    exit 0
    --- stdout
    row 2 of kept (filter) DIGEST: {"question":"What is 2 + 1?","answer":"2","prompt":"Q","completion":"2",...
      model     another
      prompt    DIGEST
      seed      7
      draw      2
      accuracy  1
      format    0
    from data: row 2 of drawn (dataset) DIGEST
    from file: drawn.jsonl:2 (3421bf379d34)
    "#);
    // A file that is no longer what was read is named without a line.
    test.write("drawn.jsonl", "");
    insta::assert_snapshot!(test.done("trace kept:2"), @r#"
    exit 0
    --- stdout
    row 2 of kept (filter) DIGEST: {"question":"What is 2 + 1?","answer":"2","prompt":"Q","completion":"2",...
      model     another
      prompt    DIGEST
      seed      7
      draw      2
      accuracy  1
      format    0
    from data: row 2 of drawn (dataset) DIGEST
    from file: drawn.jsonl (3421bf379d34)
    "#);
    insta::assert_snapshot!(test.run("trace kept:3"), @r"
    exit 1
    --- stderr
    error: `kept` has no row 3
      hint: it has the rows 1 to 2
    ");
    insta::assert_snapshot!(test.run("trace score:1"), @r"
    exit 1
    --- stderr
    error: `score` has no row 1
      hint: only a data set has rows
    ");
}

/// A program that samples elsewhere tells of it in the same fields, by the digest of a model that is kept here.
#[test]
fn a_sampled_row_is_traced_to_its_model_and_its_question() {
    let recipe = r#"
facts = dataset("facts.jsonl")
raw   = init(tokenizer(documents(facts), vocab = 270), hidden = 16, layers = 2)
drawn = command("printf '{\"question\": \"What is 1 + 1?\", \"answer\": \"2\", \"prompt\": \"Q\", \"completion\": \"2\", \"tokens\": 1, \"finish\": \"stop\", \"model\": \"%s\", \"seed\": 3}\n' $(basename {raw}) > {out}/rows.jsonl; : {facts}",
                raw, facts, shell = true) -> Dataset<sample>
kept  = filter(drawn, where = length < 9 tokens)
output kept
"#;
    let test = kitchen().file("b.rgm", recipe);
    test.done("run b.rgm");
    insta::assert_snapshot!(test.done("trace kept:1"), @r#"
    exit 0
    --- stdout
    row 1 of kept (filter) DIGEST: {"question":"What is 1 + 1?","answer":"2","prompt":"Q","completion":"2",...
      model  raw (init) DIGEST
      seed   3
    from data: row 1 of drawn (command) DIGEST
    from facts: row 2 of facts (dataset) DIGEST, which asks the same
    from file: facts.jsonl:3 (ec7e9e3c9cad)
    "#);
}
