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

/// What the text says on screen, without what differs from run to run.
fn screen(said: &Said) -> String {
    let key = |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let path = |line: &str| {
        let parts: Vec<&str> = line.split('/').map(|part| if key(part) { "KEY" } else { part }).collect();
        parts.join("/")
    };
    steady(&said.to_string().lines().map(path).collect::<Vec<_>>().join("\n"))
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
    insta::assert_snapshot!(screen(&said), @"");
    // It waits once more, and nothing is made twice.
    let again = test.run("run a.rgm --threads 1 --json");
    assert_eq!((again.status, again.made()), (6, Vec::new()));
    let asks = again.json().into_iter().find(|it| it["event"] == "step_asks").unwrap();
    assert_eq!(asks["command"], "regimen review cold");
    assert_eq!(asks["tally"], serde_json::json!({"decided": 0, "rows": 4, "done": false}));
    insta::assert_snapshot!(screen(&test.run("status")), @"");
    insta::assert_snapshot!(screen(&test.done("review")), @"");
    insta::assert_snapshot!(screen(&review(&test, "--accept 1,3-4")), @"");
    insta::assert_snapshot!(screen(&test.done("plan a.rgm")), @"");
    insta::assert_snapshot!(screen(&test.done("why a.rgm cold")), @"");
    insta::assert_snapshot!(screen(&test.done("status")), @"");
    // Another store is named in what to type.
    let said = test.run("run a.rgm --threads 1 --store elsewhere").stderr;
    assert!(said.contains("type `regimen review cold --store elsewhere`"), "{said}");
}

#[test]
fn a_review_goes_from_file_to_file() {
    let (test, _) = asked();
    insta::assert_snapshot!(screen(&review(&test, "--export rows.jsonl")), @"");
    let sheet = fs::read_to_string(test.path("rows.jsonl")).unwrap();
    insta::assert_snapshot!(steady(sheet.lines().next().unwrap()), @"");
    let lines: Vec<String> = sheet.lines().map(str::to_owned).collect();
    let said = [
        lines[0].replace("undecided", "accept"),
        lines[1].replace("undecided", "refuse").replace("\"reason\":null", "\"reason\":\"too easy\""),
        lines[2].replace("\"answer\":\"4\"", "\"answer\":\"four\""),
        "{\"row\": 4, \"decision\": \"refuse\"}".to_owned(),
    ];
    test.write("rows.jsonl", &said.join("\n"));
    insta::assert_snapshot!(screen(&review(&test, "--from rows.jsonl")), @"");
    assert_eq!(screen(&review(&test, "--from rows.jsonl")).lines().nth(2), Some("nothing new"));
    insta::assert_snapshot!(screen(&review(&test, "--show 2-3")), @"");
    insta::assert_snapshot!(screen(&test.run("run a.rgm --threads 1")), @"");
    assert_eq!(
        rows(&test, "cold"),
        "{\"question\":\"What is 1 + 1?\",\"answer\":\"2\"}\n{\"question\":\"What is 3 + 1?\",\"answer\":\"four\"}\n"
    );
    let store = Store::open(test.path(".regimen"));
    let record = store.records().into_iter().find(|it| it.address == "cold").unwrap();
    let summary = fs::read_to_string(store.object(&record.output).join("dataset.json")).unwrap();
    insta::assert_snapshot!(summary, @"");
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
    let keyless = |text: String| {
        let key = |part: &&str| part.len() == 64;
        steady(&text.split('/').map(|part| if key(&part) { "KEY" } else { part }).collect::<Vec<_>>().join("/"))
    };
    test.write("look.sh", "cp \"$1\" sheet.txt\n");
    insta::assert_snapshot!(keyless(edit("look.sh")), @"");
    insta::assert_snapshot!(fs::read_to_string(test.path("sheet.txt")).unwrap(), @"");
    // A word that means nothing, a part that is gone, a number that is another row's.
    test.write(
        "slip.sh",
        "sed -i -e '0,/undecided/s//acept/' -e '0,/^--- answer/{/^--- answer/d}' -e 's/row 3 of/row 2 of/' \"$1\"\n",
    );
    insta::assert_snapshot!(keyless(edit("slip.sh")), @"");
    test.write("crash.sh", "exit 7\n");
    insta::assert_snapshot!(keyless(edit("crash.sh")), @"");
    // The sheet comes back as it was left; now all of it is put in order.
    test.write(
        "mend.sh",
        "cp \"$1\" left.txt; sed -e '0,/undecided/s//accept/' -e '0,/undecided/s//refuse too easy/' \
         -e '0,/undecided/s//accept/' -e 's/What is 4 + 1?/What is four and one?/' sheet.txt > \"$1\"\n",
    );
    insta::assert_snapshot!(keyless(edit("mend.sh")), @"");
    assert!(fs::read_to_string(test.path("left.txt")).unwrap().contains("acept"));
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    insta::assert_snapshot!(rows(&test, "cold"), @"");
    assert!(edit("look.sh").contains("is made from what was decided"));
}

#[test]
fn two_people_are_told_apart_and_the_last_word_stands() {
    let (test, _) = asked();
    review(&test, "--accept all");
    insta::assert_snapshot!(screen(&test.run("review cold --by bob --refuse 2 --reason odd")), @"");
    // Bob hands in a sheet that Ada's words stand in, and changes one of them.
    test.done("review cold --by bob --export bob.jsonl");
    let sheet = fs::read_to_string(test.path("bob.jsonl")).unwrap();
    test.write("bob.jsonl", &sheet.replacen("\"answer\":\"4\"", "\"answer\":\"4.0\"", 1));
    test.done("review cold --by bob --from bob.jsonl");
    insta::assert_snapshot!(screen(&test.done("review cold")), @"");
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    let shown = screen(&test.done("show cold"));
    let shown: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("decided")).collect();
    insta::assert_snapshot!(shown.join("\n"), @"");
    let run = Store::open(test.path(".regimen")).runs().pop().unwrap();
    let log = screen(&test.done(&format!("log {run}")));
    let log: Vec<&str> = log.lines().filter(|line| line.contains("decided on by")).collect();
    insta::assert_snapshot!(log.join("\n"), @"");
}

#[test]
fn what_is_not_decided_stays_out_where_somebody_says_so() {
    let (test, _) = asked();
    review(&test, "--accept 2");
    insta::assert_snapshot!(screen(&review(&test, "--done")), @"");
    let made = test.run("run a.rgm --threads 1 --json");
    assert_eq!((made.status, made.made()), (0, vec!["cold".to_owned(), "few".to_owned()]));
    assert_eq!(rows(&test, "cold"), "{\"question\":\"What is 2 + 1?\",\"answer\":\"3\"}\n");
    // Too late, and then not.
    insta::assert_snapshot!(screen(&review(&test, "--accept 1")), @"");
    insta::assert_snapshot!(screen(&review(&test, "--reopen")), @"");
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    review(&test, "--accept open");
    assert_eq!(test.run("run a.rgm --threads 1 --json").made(), ["cold", "few"]);
    assert_eq!(rows(&test, "cold").lines().count(), 4);
    // Nothing but refusals is no data set.
    review(&test, "--reopen --refuse all --reason dull");
    insta::assert_snapshot!(screen(&test.run("run a.rgm --threads 1")), @"");
}

#[test]
fn rows_that_are_there_again_keep_what_was_decided() {
    let (test, _) = asked();
    review(&test, "--accept 1,3");
    test.run("review cold --by bob --refuse 2");
    // A row goes, two come, and the order is another.
    test.write("facts.jsonl", &facts(&[5, 3, 2, 1, 6]));
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    insta::assert_snapshot!(screen(&test.done("review cold")), @"");
    // Rows that were all decided before need nobody.
    test.write("facts.jsonl", &facts(&[3, 1]));
    assert_eq!(test.run("run a.rgm --threads 1").status, 0);
    assert_eq!(rows(&test, "cold"), facts(&[3, 1]).replace(": ", ":").replace(", ", ","));
    // Another guide asks anew, unless its words are to stand as well.
    test.write("guide.md", "Only what is beautiful.\n");
    assert_eq!(test.run("run a.rgm --threads 1").status, 6);
    insta::assert_snapshot!(screen(&review(&test, "--carry")), @"");
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
    insta::assert_snapshot!(screen(&test.run("verify")), @"");
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
