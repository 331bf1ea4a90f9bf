//! A person's review: the run goes on without it, waits, takes what was decided, and says who decided.

use std::fs;

use regimen::store::Store;

use crate::harness::{Said, Test, steady};

const RECIPE: &str = r#"
facts = dataset("facts.jsonl")
cold  = review(facts, guide = "guide.md")
few   = take(cold, rows = 1 row)
other = split(facts, share = 1.0)
output few, other
"#;

/// Problems `1 + 1`, `2 + 1` and so on.
fn facts(numbers: &[u32]) -> String {
    let fact = |number: &u32| format!("{{\"question\": \"What is {number} + 1?\", \"answer\": \"{}\"}}\n", number + 1);
    numbers.iter().map(fact).collect()
}

/// A folder in which a run has just asked for a review of four rows.
fn asked() -> (Test, Said) {
    let test = Test::new().file("a.rgm", RECIPE).file("guide.md", "Only what is true.\n");
    test.write("facts.jsonl", &facts(&[1, 2, 3, 4]));
    let said = test.run("run a.rgm --threads 1");
    (test, said)
}

/// A text without what differs from run to run: keys in paths, and when somebody decided.
fn without_times(text: &str) -> String {
    let key = |part: &str| part.len() == 64 && part.chars().all(|c| c.is_ascii_hexdigit());
    let parts: Vec<&str> = text.split('/').map(|part| if key(part) { "KEY" } else { part }).collect();
    let text = steady(&parts.join("/").replace('(', "( ")).replace("( ", "(");
    text.replace("DAY TIME to DAY TIME", "DAY TIME")
}

/// What a command said, without what differs from run to run.
fn screen(said: &Said) -> String {
    without_times(&said.to_string())
}

fn review(test: &Test, arguments: &str) -> Said {
    test.run(&format!("review cold --by ada {arguments}"))
}

/// The rows of the newest artifact under an address.
fn rows(test: &Test, address: &str) -> String {
    let store = Store::open(test.path(".regimen"));
    let record = store.records().into_iter().find(|it| it.address == address).unwrap();
    fs::read_to_string(store.object(&record.output).join("rows.jsonl")).unwrap()
}

#[test]
fn a_run_goes_on_with_all_else_and_says_what_to_type() {
    let (test, said) = asked();
    insta::assert_snapshot!(screen(&said), @r"
    exit 6
    --- stderr
    4 steps: 0 made, 4 to run; about DURATION
      start   facts             dataset, about DURATION
      done    facts DURATION, SIZE
      start   cold              review, about DURATION
      review  cold              waiting for a person (0 of 4 decided): type `regimen review cold`
      start   other             split, about DURATION
      done    other DURATION, SIZE
    waiting for a person after DURATION: what does not build on the review is made
    ");
    // It waits once more, and nothing is made twice.
    let again = test.run("run a.rgm --threads 1 --json");
    assert_eq!((again.status, again.made()), (6, Vec::new()));
    let asks = again.json().into_iter().find(|it| it["event"] == "step_asks").unwrap();
    assert_eq!(asks["command"], "regimen review cold");
    assert_eq!(asks["tally"], serde_json::json!({"decided": 0, "rows": 4, "done": false}));
    insta::assert_snapshot!(screen(&test.run("status")), @r"
    exit 0
    --- stdout
    run RUN waits for a person: 2 of 4 steps made, DURATION
      review  cold  waiting for a person (0 of 4 decided): type `regimen review cold`
    ");
    insta::assert_snapshot!(screen(&test.done("review")), @r"
    exit 0
    --- stdout
    cold  waiting for a person (0 of 4 decided)  asked DAY TIME UTC  DIGEST
    ");
    insta::assert_snapshot!(screen(&review(&test, "--accept 1,3-4")), @r"
    exit 0
    --- stdout
    3 accepted
    cold: waiting for a person (3 of 4 decided)
    ");
    insta::assert_snapshot!(screen(&test.done("plan a.rgm")), @r"
    exit 0
    --- stdout
    4 steps: 2 made, 1 to run, 1 waiting; about DURATION, SIZE of memory, SIZE of disk
      hit     facts  dataset
      review  cold   review   new; waiting for a person (3 of 4 decided) DURATION SIZE SIZE
      waits   few    take     after cold DURATION SIZE SIZE
      hit     other  split
    ");
    insta::assert_snapshot!(screen(&test.done("why a.rgm cold")), @r"
    exit 0
    --- stdout
    cold (review) would run: never made: this store holds nothing of its stage
      waiting for a person (3 of 4 decided): `regimen review cold`
    ");
    insta::assert_snapshot!(screen(&test.done("status")), @r"
    exit 0
    --- stdout
    run RUN waits for a person: 2 of 4 steps made, DURATION
      review  cold  waiting for a person (3 of 4 decided): type `regimen review cold`
    ");
    // Another store is named in what to type.
    let said = test.run("run a.rgm --threads 1 --store elsewhere").stderr;
    assert!(said.contains("type `regimen review cold --store elsewhere`"), "{said}");
}

#[test]
fn a_review_goes_from_file_to_file() {
    let (test, _) = asked();
    insta::assert_snapshot!(screen(&review(&test, "--export rows.jsonl")), @r"
    exit 0
    --- stdout
    wrote 4 rows to rows.jsonl
    ");
    let sheet = fs::read_to_string(test.path("rows.jsonl")).unwrap();
    insta::assert_snapshot!(steady(sheet.lines().next().unwrap()), @r#"{"row":1,"digest":"146863ceea0889e2ad4cd62d4b4fcd0c495b7fbab33560825d6b455950c0d333","decision":"undecided","reason":null,"by":null,"content":{"question":"What is 1 + 1?","answer":"2"}}"#);
    let lines: Vec<String> = sheet.lines().map(str::to_owned).collect();
    let said = [
        lines[0].replace("undecided", "accept"),
        lines[1].replace("undecided", "refuse").replace("\"reason\":null", "\"reason\":\"too easy\""),
        lines[2].replace("\"answer\":\"4\"", "\"answer\":\"four\""),
        "{\"row\": 4, \"decision\": \"refuse\"}".to_owned(),
    ];
    test.write("rows.jsonl", &said.join("\n"));
    insta::assert_snapshot!(screen(&review(&test, "--from rows.jsonl")), @r"
    exit 0
    --- stdout
    1 accepted, 2 refused, 1 edited
    cold: reviewed (4 of 4 decided); the next run goes on
    ");
    assert_eq!(screen(&review(&test, "--from rows.jsonl")).lines().nth(2), Some("nothing new"));
    insta::assert_snapshot!(screen(&review(&test, "--show 2-3")), @r"
    exit 0
    --- stdout
    row 2 of 4
      question
        What is 2 + 1?
      answer
        3
      refused by ada (DAY TIME UTC): too easy
    row 3 of 4
      question
        What is 3 + 1?
      answer
        4
      edited by ada (DAY TIME UTC)
      question
        What is 3 + 1?
      answer
        four
    ");
    insta::assert_snapshot!(screen(&test.run("run a.rgm --threads 1")), @r"
    exit 0
    --- stderr
    4 steps: 2 made, 2 to run; about DURATION
      made    2 steps           facts to other
      start   cold              review, about DURATION
      done    cold DURATION, SIZE
      people  cold              ada 1 accepted, 1 edited, 2 refused (DAY TIME UTC)
      start   few               take, about DURATION
      done    few DURATION, SIZE
    done in DURATION
    ");
    assert_eq!(
        rows(&test, "cold"),
        "{\"question\":\"What is 1 + 1?\",\"answer\":\"2\"}\n{\"question\":\"What is 3 + 1?\",\"answer\":\"four\"}\n"
    );
    let store = Store::open(test.path(".regimen"));
    let record = store.records().into_iter().find(|it| it.address == "cold").unwrap();
    let summary = fs::read_to_string(store.object(&record.output).join("dataset.json")).unwrap();
    insta::assert_snapshot!(summary, @r#"
    {
      "kind": "problem",
      "rows": 2,
      "counts": {
        "refused": 1,
        "refused: too easy": 1
      }
    }
    "#);
    // Who and when is in the record, and nothing of it in the artifact.
    let review = record.review.unwrap();
    assert_eq!(review.people.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ada"]);
    assert!(review.people[0].first > 1_500_000_000_000);
    assert_eq!(test.run("run a.rgm").status, 0);
    assert_eq!(test.done("verify a.rgm cold --rerun").status, 0);
}

#[test]
fn a_review_goes_through_the_editor_and_a_mistake_in_it_loses_nothing() {
    let (test, _) = asked();
    let edit = |script: &str| {
        let mut command = test.command("review cold --by ada --edit");
        command.env_remove("VISUAL").env("EDITOR", format!("sh {}", test.path(script).display()));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let text = format!("exit {}\n{stdout}{stderr}", output.status.code().unwrap());
        text.replace(&format!("{}/", test.path("").display()).replace("//", "/"), "")
    };
    test.write("look.sh", "cp \"$1\" sheet.txt\n");
    insta::assert_snapshot!(without_times(&edit("look.sh")), @r"
    exit 0
    nothing new
    cold: waiting for a person (0 of 4 decided)
    ");
    insta::assert_snapshot!(without_times(&fs::read_to_string(test.path("sheet.txt")).unwrap()), @r"
    # cold: 4 problems, 0 of 4 decided
    # The guide is .regimen/reviews/KEY/guide.md
    # Write accept, refuse REASON or undecided behind `decision:`; a changed text is an edit.
    # A line that begins with `=== `, `--- ` or a backslash has a backslash before it.
    === row 1 of 4  146863ceea08
    decision: undecided
    --- question
    What is 1 + 1?
    --- answer
    2
    === row 2 of 4  9ce0a5f198c4
    decision: undecided
    --- question
    What is 2 + 1?
    --- answer
    3
    === row 3 of 4  63a2fe146448
    decision: undecided
    --- question
    What is 3 + 1?
    --- answer
    4
    === row 4 of 4  5c7e3a22855c
    decision: undecided
    --- question
    What is 4 + 1?
    --- answer
    5
    === end
    ");
    // A word that means nothing, a part that is gone, a number that is another row's.
    test.write(
        "slip.sh",
        "sed -i -e '0,/decision: undecided/s//decision: acept/' -e '0,/^--- answer/{/^--- answer/d}' -e 's/row 3 of/row 2 of/' \"$1\"\n",
    );
    insta::assert_snapshot!(without_times(&edit("slip.sh")), @r"
    exit 1
    error: .regimen/reviews/KEY/sheets/ada.txt:6: expected accept, refuse, edit or undecided, found `acept`; did you mean `accept`?
    error: .regimen/reviews/KEY/sheets/ada.txt:16: row 2 is not the row that this sheet was written for
      hint: nothing was recorded and the sheet is kept; `--edit` once more opens .regimen/reviews/KEY/sheets/ada.txt
    ");
    test.write("crash.sh", "exit 7\n");
    insta::assert_snapshot!(without_times(&edit("crash.sh")), @r"
    exit 1
    going on with the sheet that was not handed in: .regimen/reviews/KEY/sheets/ada.txt
    error: the editor `sh crash.sh` ended with exit status: 7; the sheet is kept: .regimen/reviews/KEY/sheets/ada.txt
      hint: `--edit` once more goes on with it; the editor is named by `$VISUAL` or `$EDITOR`
    ");
    // The sheet comes back as it was left; now all of it is put in order.
    test.write(
        "mend.sh",
        "cp \"$1\" left.txt; sed -e '0,/decision: undecided/s//decision: accept/' \
         -e '0,/decision: undecided/s//decision: refuse too easy/' -e '0,/decision: undecided/s//decision: accept/' \
         -e 's/What is 4 + 1?/What is four and one?/' sheet.txt > \"$1\"\n",
    );
    insta::assert_snapshot!(without_times(&edit("mend.sh")), @r"
    exit 0
    going on with the sheet that was not handed in: .regimen/reviews/KEY/sheets/ada.txt
    2 accepted, 1 refused, 1 edited
    cold: reviewed (4 of 4 decided); the next run goes on
    ");
    assert!(fs::read_to_string(test.path("left.txt")).unwrap().contains("acept"));
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    insta::assert_snapshot!(rows(&test, "cold"), @r#"
    {"question":"What is 1 + 1?","answer":"2"}
    {"question":"What is 3 + 1?","answer":"4"}
    {"question":"What is four and one?","answer":"5"}
    "#);
    assert!(edit("look.sh").contains("is made from what was decided"));
}

#[test]
fn two_people_are_told_apart_and_the_last_word_stands() {
    let (test, _) = asked();
    review(&test, "--accept all");
    insta::assert_snapshot!(screen(&test.run("review cold --by bob --refuse 2 --reason odd")), @r"
    exit 0
    --- stdout
    1 refused
    cold: reviewed (4 of 4 decided); the next run goes on
    ");
    // Bob hands in a sheet that Ada's words stand in, and changes one of them.
    test.done("review cold --by bob --export bob.jsonl");
    let sheet = fs::read_to_string(test.path("bob.jsonl")).unwrap();
    test.write("bob.jsonl", &sheet.replacen("\"answer\":\"4\"", "\"answer\":\"4.0\"", 1));
    test.done("review cold --by bob --from bob.jsonl");
    insta::assert_snapshot!(screen(&test.done("review cold")), @r"
    exit 0
    --- stdout
    cold: 4 problems, reviewed (4 of 4 decided)
    guide  .regimen/reviews/KEY/guide.md
      ada 4 accepted, 2 decided otherwise by another (DAY TIME UTC)
      bob 1 edited, 1 refused (DAY TIME UTC)
      1  accept  ada  What is 1 + 1? | 2
      2  refuse  bob  What is 2 + 1? | 3
      3  edit    bob  What is 3 + 1? | 4.0
      4  accept  ada  What is 4 + 1? | 5
    ");
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    let shown = screen(&test.done("show cold"));
    let shown: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("decided")).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    decided on by
      ada 4 accepted, 2 decided otherwise by another (DAY TIME UTC)
      bob 1 edited, 1 refused (DAY TIME UTC)
      decisions  DIGEST
    last figures
      accepted  2
      edited    1
      refused   1
    ");
    let run = Store::open(test.path(".regimen")).runs().pop().unwrap();
    let log = screen(&test.done(&format!("log {run}")));
    let log: Vec<&str> = log.lines().filter(|line| line.contains("decided on by")).collect();
    insta::assert_snapshot!(log.join("\n"), @"  done  cold  decided on by ada 4 accepted, 2 decided otherwise by another (DAY TIME UTC); bob 1 edited, 1 refused (DAY TIME UTC)");
}

#[test]
fn what_is_not_decided_stays_out_where_somebody_says_so() {
    let (test, _) = asked();
    review(&test, "--accept 2");
    insta::assert_snapshot!(screen(&review(&test, "--done")), @r"
    exit 0
    --- stdout
    cold: reviewed (1 of 4 decided); 3 undecided rows left out; the next run goes on
    ");
    let made = test.run("run a.rgm --threads 1 --json");
    assert_eq!((made.status, made.made()), (0, vec!["cold".to_owned(), "few".to_owned()]));
    assert_eq!(rows(&test, "cold"), "{\"question\":\"What is 2 + 1?\",\"answer\":\"3\"}\n");
    // Too late, and then not.
    insta::assert_snapshot!(screen(&review(&test, "--accept 1")), @r"
    exit 1
    --- stderr
    error: `cold` is made from what was decided; nothing was recorded
      hint: to decide again: `regimen review cold --reopen`
    ");
    insta::assert_snapshot!(screen(&review(&test, "--reopen")), @r"
    exit 0
    --- stdout
    `cold` is to be made again: decide, then run
    ");
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    review(&test, "--accept open");
    assert_eq!(test.run("run a.rgm --threads 1 --json").made(), ["cold", "few"]);
    assert_eq!(rows(&test, "cold").lines().count(), 4);
    // Nothing but refusals is no data set.
    review(&test, "--reopen --refuse all --reason dull");
    insta::assert_snapshot!(screen(&test.run("run a.rgm --threads 1")), @r"
    exit 3
    --- stderr
    4 steps: 2 made, 2 to run; about DURATION
      made    2 steps           facts to other
      start   cold              review, about DURATION
      FAILED  cold              expected rows that a person accepted, found none among 4: 4 refused: dull
      skip    few               cold failed
    failed after DURATION: what does not depend on the failed steps is made
    ");
}

#[test]
fn rows_that_are_there_again_keep_what_was_decided() {
    let (test, _) = asked();
    review(&test, "--accept 1,3");
    test.run("review cold --by bob --refuse 2");
    // A row goes, two come, and the order is another.
    test.write("facts.jsonl", &facts(&[5, 3, 2, 1, 6]));
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    insta::assert_snapshot!(screen(&test.done("review cold")), @r"
    exit 0
    --- stdout
    cold: 5 problems, waiting for a person (3 of 5 decided)
    guide  .regimen/reviews/KEY/guide.md
      ada 2 accepted (DAY TIME UTC)
      bob 1 refused (DAY TIME UTC)
      1  -            What is 5 + 1? | 6
      2  accept  ada  What is 3 + 1? | 4
      3  refuse  bob  What is 2 + 1? | 3
      4  accept  ada  What is 1 + 1? | 2
      5  -            What is 6 + 1? | 7
    ");
    // Rows that were all decided before need nobody.
    test.write("facts.jsonl", &facts(&[3, 1]));
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    assert_eq!(rows(&test, "cold"), facts(&[3, 1]).replace(": ", ":").replace(", ", ","));
    // Another guide asks anew, unless its words are to stand as well.
    test.write("guide.md", "Only what is beautiful.\n");
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    insta::assert_snapshot!(screen(&review(&test, "--carry")), @r"
    exit 0
    --- stdout
    2 decisions taken over, as ada asked
    cold: reviewed (2 of 2 decided); the next run goes on
    ");
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
}

#[test]
fn gc_keeps_decisions_and_verify_finds_those_that_have_changed() {
    let (test, _) = asked();
    review(&test, "--accept 1-3");
    test.done("gc --keep 0");
    let said = test.run("run a.rgm --threads 1");
    assert!(said.stderr.contains("waiting for a person (3 of 4 decided)"), "{said}");
    test.done("verify");
    let store = Store::open(test.path(".regimen"));
    let path = store.reviews()[0].1.journal_file();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("accept", "refuse", 1)).unwrap();
    insta::assert_snapshot!(screen(&test.run("verify")), @r"
    exit 5
    --- stdout
    damaged: line 1 of .regimen/reviews/KEY/decisions.jsonl; what it said counts for nothing and is to be decided anew
      left where it is
    1 object, SIZE, and 2 records: 1 damaged
    ");
    let said = test.run("run a.rgm --threads 1");
    assert!(said.stderr.contains("waiting for a person (2 of 4 decided)"), "{said}");
    assert!(test.done("review cold").stdout.contains("damaged: line 1 of"));
}

#[test]
fn rows_are_accepted_unread_only_where_the_recipe_says_so() {
    let recipe = "cold = review(problems(rows = 2 rows), accept = \"all\")\noutput cold\n";
    let test = Test::new().file("a.rgm", recipe);
    test.done("run a.rgm");
    assert_eq!(rows(&test, "cold").lines().count(), 2);
    let shown = test.done("show cold").stdout;
    assert!(shown.contains("decided on by nobody: every row was accepted unread"), "{shown}");
    assert_eq!(test.done("review").stdout, "nothing waits for a person\n");
}

#[test]
fn what_is_asked_for_and_is_not_there_is_named() {
    let (test, _) = asked();
    for (arguments, expected) in [
        ("review cald", "error: .regimen holds no review named `cald`\n  hint: did you mean `cold`?\n"),
        ("review a.rgm few", "error: `few` is a step of `take`, on which nobody decides\n"),
        ("review cold --by ada --accept 5", "error: `cold` has no row 5\n  hint: its rows are 1 to 4\n"),
        ("review cold --by ada --accept 1-2 --refuse 2", "error: row 2 is named for two decisions\n"),
    ] {
        let said = test.run(arguments);
        assert_eq!((said.status, said.stderr.as_str()), (1, expected), "{arguments}");
    }
    let mut nobody = test.command("review cold --accept 1");
    nobody.env_remove("USER").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let said = String::from_utf8(nobody.env("HOME", test.path("")).output().unwrap().stderr).unwrap();
    assert_eq!(said, "error: nobody is named as the one who decides\n  hint: say who: `--by NAME`\n");
}
