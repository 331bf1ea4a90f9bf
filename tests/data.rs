//! Data: rows in files, generated problems, tokenizers and templates, and the stages that move rows about.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use insta::assert_snapshot;
use regimen::{
    base::device::Device,
    data::{
        bpe,
        dataset::{self, Dataset, Writer},
        problems::{Exercise, Part, generate},
        rows::{Chat, Finish, Kind, Lineage, Message, Pair, Problem, Row, Sample, Text},
        template::Opening,
        tokenizer::Tokenizer,
    },
    stages::{self, Context, checkpoint::Nowhere, review::Nobody},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One step of one stage in a folder of its own.
struct Step {
    folder: TempDir,
    stage: &'static str,
    arguments: Value,
    inputs: BTreeMap<String, Vec<PathBuf>>,
    files: BTreeMap<String, PathBuf>,
}

impl Step {
    fn new(stage: &'static str, arguments: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder, stage, arguments, inputs: BTreeMap::new(), files: BTreeMap::new() }
    }

    fn input(mut self, port: &str, artifact: &Path) -> Self {
        self.inputs.entry(port.to_owned()).or_default().push(artifact.to_owned());
        self
    }

    /// A foreign file of that name and content, as the argument `file`.
    fn file(mut self, name: &str, content: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        self.files.insert("file".to_owned(), path);
        self
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs the step, and gives the folder it filled, or what it complains about.
    fn run(self) -> Result<Artifact, String> {
        let context = Context {
            arguments: self.arguments.clone(),
            inputs: self.inputs.clone(),
            files: self.files.clone(),
            out: self.out(),
            pool: Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()),
            cancelled: Arc::default(),
            batch: 64,
            device: Device::Cpu,
            checkpoints: Box::new(Nowhere(self.folder.path().to_owned())),
            reviews: Box::new(Nobody),
            progress: Box::new(|_| {}),
        };
        let stage = stages::find(self.stage).unwrap();
        let prefix = format!("{}/", self.folder.path().display());
        (stage.run)(&context).map_err(|error| error.to_string().replace(&prefix, ""))?;
        Ok(Artifact { out: self.out(), _folder: self.folder })
    }
}

struct Artifact {
    out: PathBuf,
    _folder: TempDir,
}

impl Artifact {
    /// The rows and the summary of a data set, as they lie on disk.
    fn text(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.out.join(name)).unwrap();
        read("rows.jsonl") + &read("dataset.json")
    }

    fn rows(&self) -> Vec<String> {
        fs::read_to_string(self.out.join("rows.jsonl")).unwrap().lines().map(str::to_owned).collect()
    }
}

/// A data set of rows that a test made up.
fn made_up<T: Row>(rows: &[T]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(folder.path(), T::KIND).unwrap();
    rows.iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap();
    folder
}

fn problem(question: &str, answer: &str) -> Problem {
    Problem { question: question.to_owned(), answer: answer.to_owned(), ..Problem::default() }
}

fn texts(count: usize) -> TempDir {
    made_up(&(0..count).map(|at| Text { text: format!("row {at}") }).collect::<Vec<_>>())
}

fn columns(kind: &str) -> Value {
    json!({ "kind": kind, "question": "question", "answer": "answer", "text": "text", "solution": null })
}

fn exercise(rows: usize, part: Part, seed: u64) -> Exercise {
    Exercise { rows, terms_min: 2, terms_max: 4, digits: 1, operators: "+-".to_owned(), part, seed }
}

#[test]
fn problems_come_with_their_working() {
    let arguments = json!({
        "rows": { "value": 4.0, "unit": "rows" }, "terms_min": 4, "terms_max": 6, "digits": 1, "operators": "+-",
        "split": "train", "seed": 17,
    });
    assert_snapshot!(Step::new("problems", arguments).run().unwrap().text());
}

#[test]
fn every_worked_chain_is_right() {
    for problem in generate(&Exercise { digits: 3, ..exercise(500, Part::Train, 1) }).unwrap() {
        let mut total: Option<i64> = None;
        for step in problem.solution.as_ref().unwrap().split(' ') {
            let (sum, result) = step.split_once('=').unwrap();
            let at = sum.rfind(['+', '-']).unwrap();
            let (left, right): (i64, i64) = (sum[..at].parse().unwrap(), sum[at + 1..].parse().unwrap());
            assert!(total.is_none_or(|total| total == left));
            let expected = if sum[at..].starts_with('-') { left - right } else { left + right };
            assert_eq!(result.parse::<i64>().unwrap(), expected);
            total = Some(expected);
        }
        assert_eq!(problem.answer, total.unwrap().to_string());
    }
}

#[test]
fn no_training_set_of_any_seed_holds_a_test_question() {
    let questions = |part, seed| -> BTreeSet<String> {
        let rows = if part == Part::Test { 150 } else { 1500 };
        generate(&exercise(rows, part, seed)).unwrap().into_iter().map(|it| it.question).collect()
    };
    let test = questions(Part::Test, 1);
    assert_eq!(test.len(), 150);
    for seed in 1..4 {
        let train = questions(Part::Train, seed);
        assert_eq!(train.len(), 1500);
        assert!(train.is_disjoint(&test));
    }
}

#[test]
fn problems_that_cannot_be_made_are_refused() {
    let complain = |exercise| generate(&exercise).unwrap_err().to_string();
    let few = Exercise { terms_max: 2, ..exercise(1000, Part::Train, 1) };
    assert_snapshot!(complain(few), @"expected 1000 different problems, found 143; allow more terms or more digits, or ask for fewer rows");
    let operators = "+*".to_owned();
    assert_snapshot!(complain(Exercise { operators, ..exercise(1, Part::Train, 1) }), @"expected `operators` out of `+-`, found `+*`");
}

#[test]
fn documents_hold_a_share_of_worked_problems() {
    let solution = Some("1+2=3 3+3=6".to_owned());
    let mut problems = vec![Problem { solution, ..problem("1+2+3=?", "6") }; 5];
    problems.push(problem("2+2=?", "4"));
    let data = made_up(&problems);
    let step = |worked: f64| {
        let step = Step::new(
            "documents",
            json!({ "worked": worked, "slips": 0.0, "languages": [], "mixing": 0.0, "seed": 3 }),
        );
        step.input("data", data.path()).run()
    };
    assert_snapshot!(step(0.5).unwrap().text());
    let worked = |share| step(share).unwrap().rows().iter().filter(|it| it.contains("<think>")).count();
    assert_eq!([worked(0.0), worked(1.0)], [0, 5]);
    assert_eq!(step(1.5).err().unwrap(), "expected `worked` from 0 to 1, found 1.5");
}

#[test]
fn documents_speak_one_language_or_change_it_from_step_to_step() {
    let solution = Some("1+2=3 3+3=6 6-1=5 5+1=6".to_owned());
    let data = made_up(&vec![Problem { solution, ..problem("1+2+3-1+1=?", "6") }; 12]);
    let step = |languages: &[&str], mixing: f64| {
        let arguments = json!({ "worked": 1.0, "slips": 0.0, "languages": languages, "mixing": mixing, "seed": 3 });
        Step::new("documents", arguments).input("data", data.path()).run()
    };
    let mixed = |mixing| {
        let rows = step(&["en", "zh"], mixing).unwrap().rows();
        [["first", "then"], ["先", "再"]]
            .map(|words| rows.iter().filter(|row| words.iter().any(|word| row.contains(word))).count())
    };
    // Of one language each; then most of both.
    let ([english, chinese], [first, second]) = (mixed(0.0), mixed(1.0));
    assert!(english + chinese == 12 && english > 1 && chinese > 1, "{english} {chinese}");
    assert!(first + second > 18, "{first} {second}");
    assert_snapshot!(step(&["ru"], 0.0).unwrap().rows()[0], @r#"{"text":"<|bos|><|user|>1+2+3-1+1=?<|assistant|><think>сначала 1+2=3 затем 3+3=6 затем 6-1=5 затем 5+1=6</think><answer>6</answer><|eos|>"}"#);
    assert_snapshot!(step(&["xx"], 0.0).err().unwrap(), @"expected `languages` out of `en`, `ru`, `zh`, found `xx`");
}

#[test]
fn gsm8k_loads_as_problems() {
    let rows = concat!(
        "{\"question\": \"Eggs?\", \"answer\": \"9 * 2 = <<9*2=18>>18.\\n#### 18\"}\n",
        "{\"question\": \"Profit?\", \"answer\": \"Much.\\n#### 70,000\"}\r\n",
    );
    let artifact = Step::new("dataset", columns("problem")).file("gsm8k.jsonl", rows).run().unwrap();
    assert_snapshot!(artifact.text());
}

#[test]
fn columns_are_mapped_and_numbers_are_answers() {
    let mut arguments = columns("problem");
    arguments["question"] = json!("Body");
    arguments["answer"] = json!("Answer");
    arguments["solution"] = json!("Equation");
    let rows = concat!(
        "{\"Answer\": 145.0, \"Body\": \"How big?\", \"Equation\": \"290/2\", \"idx\": 0}\n",
        "{\"Answer\": 0.5, \"Body\": \"How small?\", \"Equation\": \"1/2\"}\n",
    );
    let artifact = Step::new("dataset", arguments).file("svamp.jsonl", rows).run().unwrap();
    assert_eq!(
        artifact.rows(),
        [
            "{\"question\":\"How big?\",\"answer\":\"145\",\"solution\":\"290/2\"}",
            "{\"question\":\"How small?\",\"answer\":\"0.5\",\"solution\":\"1/2\"}",
        ]
    );
}

#[test]
fn rows_that_cannot_be_read_are_named_by_file_and_line() {
    let complain =
        |kind: &str, rows: &str| Step::new("dataset", columns(kind)).file("a.jsonl", rows).run().err().unwrap();
    let good = "{\"question\": \"q\", \"answer\": \"1\"}\n";
    let complaints = [
        complain("problem", &format!("{good}\n{{\"question\": \"q\", \"ans\n")),
        complain("problem", &format!("{good}[1]\n")),
        complain("problem", &format!("{good}{{\"Question\": \"q\", \"Answer\": 1}}\n")),
        complain("problem", "{\"question\": \"q\", \"reply\": 1}"),
        complain("problem", "{\"question\": \"q\", \"answer\": [1]}"),
        complain("problem", "{\"question\": \"q\", \"answer\": \"so\\n####\"}"),
        complain("text", "{}"),
        complain("chat", "{\"messages\": [{\"role\": \"user\"}]}"),
        complain("chat", "{\"messages\": []}"),
        complain("sample", good),
        complain("pair", good),
        complain("problem", "\n\n"),
    ];
    assert_snapshot!(complaints.join("\n"));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mut step = Step::new("dataset", columns("problem")).file("a.jsonl", "");
    fs::remove_file(step.files.remove("file").unwrap()).unwrap();
    step.files.insert("file".to_owned(), step.folder.path().join("a.jsonl"));
    assert_eq!(step.run().err().unwrap(), "a.jsonl: No such file or directory (os error 2)");
}

#[test]
fn plain_text_becomes_paragraphs() {
    let text = "In the beginning\nwas the word.\n\n\nAnd then\r\n\r\nmore";
    let artifact = Step::new("dataset", columns("text")).file("book.txt", text).run().unwrap();
    assert_eq!(
        artifact.rows(),
        ["{\"text\":\"In the beginning\\nwas the word.\\n\"}", "{\"text\":\"And then\\n\"}", "{\"text\":\"more\\n\"}"]
    );
    let lines = "a line of a text without paragraphs\n".repeat(1000);
    let artifact = Step::new("dataset", columns("text")).file("log.txt", &lines).run().unwrap();
    let rows: Vec<Text> = dataset::read(&artifact.out).unwrap();
    assert_eq!(rows.iter().map(|it| it.text.as_str()).collect::<String>(), lines);
    assert_eq!(rows.len(), 9);
}

#[test]
fn rows_survive_their_file() {
    fn survives<T: Row + PartialEq + std::fmt::Debug>(rows: &[T]) {
        let folder = made_up(rows);
        assert_eq!(dataset::kind(folder.path()).unwrap(), T::KIND);
        assert_eq!(dataset::read::<T>(folder.path()).unwrap(), rows);
    }
    survives(&[Text { text: "a\n\"ü\"\u{2028}".to_owned() }]);
    survives(&[problem("1+1=?", "2"), Problem { solution: Some("1+1=2".to_owned()), ..problem("a", "b") }]);
    survives(&[Chat { messages: vec![Message::new("user", "hi")] }]);
    survives(&[sample("<answer>2</answer>", 5)]);
    survives(&[Pair { prompt: "p".to_owned(), chosen: "c".to_owned(), rejected: "r".to_owned(), margin: None }]);
}

#[test]
fn samples_may_be_read_as_problems_and_nothing_else_as_another_kind() {
    let folder = made_up(&[sample("<answer>2</answer>", 5)]);
    assert_eq!(dataset::read::<Problem>(folder.path()).unwrap(), [problem("1+1=?", "2")]);
    let error = dataset::read::<Text>(folder.path()).unwrap_err().to_string();
    assert!(error.ends_with("expected rows of the kind `text`, found `sample`"), "{error}");
}

fn sample(completion: &str, tokens: usize) -> Sample {
    Sample {
        question: "1+1=?".to_owned(),
        answer: "2".to_owned(),
        prompt: "<|bos|><|user|>1+1=?<|assistant|>".to_owned(),
        completion: completion.to_owned(),
        tokens,
        finish: Finish::Stop,
        lineage: Lineage::default(),
    }
}

#[test]
fn a_filter_counts_what_it_drops_by_reason() {
    let data = made_up(&[
        sample("<answer>2</answer>", 5),
        sample("<answer>3</answer>", 5),
        sample("<answer>2</answer>", 50),
        sample("", 5),
    ]);
    let condition = |most: f64| {
        let short = json!({ "field": "length", "op": "<", "value": { "number": { "value": most, "unit": "tokens" } } });
        json!({ "where": { "all": [{ "is": "correct" }, { "compare": short }] }, "max_dropped": 0.75 })
    };
    let filter = |most| Step::new("filter", condition(most)).input("data", data.path()).run();
    assert_snapshot!(filter(10.0).unwrap().text());
    let most = |share: f64| json!({ "where": { "is": "correct" }, "max_dropped": share });
    let filter_up_to = |share| Step::new("filter", most(share)).input("data", data.path()).run();
    assert_eq!(filter_up_to(0.5).unwrap().rows().len(), 2);
    assert_snapshot!(filter_up_to(0.4).err().unwrap(), @"expected at most 40% of 4 rows to be dropped, as `max_dropped` says, found 2: 2 not correct");
    assert_snapshot!(filter(1.0).err().unwrap(), @"expected rows where correct and (length < 1 tokens), found none among 4: 2 not (length < 1 tokens), 2 not correct");
}

#[test]
fn a_mix_takes_what_it_is_told_and_shuffles() {
    let (left, right) = (texts(6), made_up(&[Text { text: "other".to_owned() }, Text { text: "more".to_owned() }]));
    let mix = |rows: Value, seed: u64| {
        let step = Step::new("mix", json!({ "rows": rows, "seed": seed }));
        step.input("parts", left.path()).input("parts", right.path()).run()
    };
    let rows = |left: f64, right: f64| json!([{ "value": left, "unit": "rows" }, { "value": right, "unit": "rows" }]);
    assert_snapshot!(mix(rows(3.0, 2.0), 1).unwrap().text());
    assert_eq!(mix(Value::Null, 1).unwrap().rows().len(), 8);
    assert_ne!(mix(Value::Null, 1).unwrap().rows(), mix(Value::Null, 2).unwrap().rows());
    assert_eq!(mix(rows(3.0, 5.0), 1).err().unwrap(), "expected 5 rows of part 2 of the mix, found 2");
    let one = json!([{ "value": 1.0, "unit": "rows" }]);
    assert_eq!(mix(one, 1).err().unwrap(), "expected `rows` for 2 parts, found 1");
}

#[test]
fn a_mix_by_weights_keeps_its_proportions() {
    let (left, right) = (texts(6), texts(40));
    let mix = |weights: Value, total: Value| {
        let step = Step::new("mix", json!({ "weights": weights, "total": total, "seed": 1 }));
        step.input("parts", left.path()).input("parts", right.path()).run().map(|it| it.text())
    };
    let total = |value: f64| json!({ "value": value, "unit": "rows" });
    let counts =
        |text: String| text.lines().filter(|it| it.contains("left out") || it.contains("\"rows\"")).collect::<String>();
    assert_snapshot!(counts(mix(json!([0.25, 0.75]), Value::Null).unwrap()), @r#"  "rows": 24,    "left out of part 2": 22"#);
    assert_snapshot!(counts(mix(json!([1, 3]), total(8.0)).unwrap()), @r#"  "rows": 8,    "left out of part 1": 4,    "left out of part 2": 34"#);
    assert_snapshot!(counts(mix(Value::Null, total(23.0)).unwrap()), @r#"  "rows": 23,    "left out of part 1": 3,    "left out of part 2": 20"#);
    let complain = |weights: Value, total: Value| mix(weights, total).err().unwrap();
    assert_snapshot!(complain(json!([0.5, 0.5]), total(20.0)), @"expected 10 rows of part 1 of the mix, found 6");
    assert_snapshot!(complain(json!([0.5]), Value::Null), @"expected `weights` for 2 parts, found 1");
    assert_snapshot!(complain(json!([0.0, -1.0]), Value::Null), @"expected `weights` of nought and more, not all of them nought, found [0.0, -1.0]");
}

#[test]
fn rows_that_say_the_same_are_kept_once() {
    let rows = [problem("1+1=?", "2"), problem("1+1=?", "two"), problem("1+1=?", "2"), problem(" 1+1=? ", "2")];
    let data = made_up(&rows);
    let kept = |of: &str, by: &str| {
        let made = Step::new("dedupe", json!({ "of": of, "by": by })).input("data", data.path()).run().unwrap();
        let counts = Dataset::open(&made.out).unwrap().summary.counts;
        assert_eq!(counts.get("duplicate").copied().unwrap_or(0) + made.rows().len(), 4);
        made.rows().len()
    };
    assert_eq!([kept("row", "exact"), kept("row", "normalized")], [3, 2]);
    assert_eq!([kept("question", "exact"), kept("question", "normalized")], [2, 1]);
}

#[test]
fn rows_that_share_a_run_of_words_with_the_evaluation_data_are_left_out() {
    let (asked, other) = ("How many apples does Tom have left if he eats two of them?", "What is 1 + 1?");
    let near = "Tom asks: how many apples does Tom have left if he sells one?";
    let data = made_up(&[problem(asked, "1"), problem(near, "1"), problem(other, "2")]);
    let against = made_up(&[Text { text: asked.to_owned() }, Text { text: "what  is 1 + 1?".to_owned() }]);
    let kept = |words: usize| {
        let step = Step::new("decontaminate", json!({ "words": words }));
        let made = step.input("data", data.path()).input("against", against.path()).run().unwrap();
        let rows = dataset::read::<Problem>(&made.out).unwrap();
        assert_eq!(Dataset::open(&made.out).unwrap().summary.counts["contaminated"], 3 - rows.len());
        rows.into_iter().map(|it| it.question).collect::<Vec<_>>()
    };
    assert_eq!(kept(8), Vec::<String>::new(), "nine words are shared, and a short question is held against the whole");
    assert_eq!(kept(11), [near]);
}

#[test]
fn a_sample_that_was_cut_off_becomes_no_chat() {
    let chats = made_up(&[Chat { messages: vec![Message::new("user", "hi"), Message::new("assistant", "hello")] }]);
    let samples = made_up(&[Sample { finish: Finish::Length, ..sample("<think>1", 5) }, sample("2", 5)]);
    let step = Step::new("mix", json!({ "seed": 0 })).input("parts", chats.path()).input("parts", samples.path());
    let summary = Dataset::open(&step.run().unwrap().out).unwrap().summary;
    assert_eq!((summary.kind, summary.rows), (Kind::Chat, 2));
    assert_eq!(summary.counts, BTreeMap::from([("cut off before the end in part 2".to_owned(), 1)]));
}

#[test]
fn samples_among_chats_become_chats_and_other_kinds_do_not_mix() {
    let chats = made_up(&[Chat { messages: vec![Message::new("user", "hi"), Message::new("assistant", "hello")] }]);
    let samples = made_up(&[sample("<answer>2</answer>", 5)]);
    let mix = |other: &TempDir| {
        let step = Step::new("mix", json!({ "rows": null, "seed": 0 }));
        step.input("parts", chats.path()).input("parts", other.path()).run()
    };
    let mixed = mix(&samples).unwrap();
    assert_eq!(Dataset::open(&mixed.out).unwrap().summary.kind, Kind::Chat);
    assert!(mixed.rows().contains(
        &"{\"messages\":[{\"role\":\"user\",\"content\":\"1+1=?\"},{\"role\":\"assistant\",\"content\":\"<answer>2</answer>\"}]}"
            .to_owned()
    ));
    assert_eq!(mix(&texts(1)).err().unwrap(), "expected parts of one kind, found `chat`, `text`");
}

#[test]
fn a_split_parts_questions_and_loses_none() {
    let rows: Vec<Problem> = (0..200).map(|at| problem(&format!("{}+1=?", at % 100), &at.to_string())).collect();
    let data = made_up(&rows);
    let split = |part: &str| {
        let step = Step::new("split", json!({ "part": part, "share": 0.8, "seed": 0 }));
        step.input("data", data.path()).run().unwrap()
    };
    let (train, test) = (split("train"), split("test"));
    let questions = |it: &Artifact| -> BTreeSet<String> {
        dataset::read::<Problem>(&it.out).unwrap().into_iter().map(|row| row.question).collect()
    };
    assert!(questions(&train).is_disjoint(&questions(&test)));
    assert_eq!(train.rows().len() + test.rows().len(), 200);
    assert!((130..190).contains(&train.rows().len()));
    let summary = Dataset::open(&test.out).unwrap().summary;
    assert_eq!(summary.counts, BTreeMap::from([("in the other part".to_owned(), train.rows().len())]));
}

#[test]
fn take_gives_the_first_rows_or_says_how_many_there_are() {
    let data = texts(5);
    let take = |rows: f64| {
        let step = Step::new("take", json!({ "rows": { "value": rows, "unit": "rows" } }));
        step.input("data", data.path()).run()
    };
    assert_snapshot!(take(2.0).unwrap().text());
    assert_eq!(take(6.0).err().unwrap(), "expected at least 6 rows to take, found 5");
}

/// Texts of the kind that the flagship recipe pretrains on.
fn corpus() -> Vec<String> {
    let problems = generate(&exercise(1000, Part::Train, 5)).unwrap();
    let render = |it: &Problem| format!("<|bos|><|user|>{}<|assistant|>{}<|eos|>", it.question, it.worked().unwrap());
    let prose = "the cat that had sat on the mat sat on that hat; the hat, alas, was a cat's. ".repeat(3);
    problems.iter().map(render).chain([prose]).collect()
}

#[test]
fn training_a_tokenizer_twice_gives_the_same_bytes() {
    let bytes = || {
        let tokenizer = Tokenizer::train(&corpus(), 320, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        tokenizer.save(folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        (read("tokenizer.json"), read("tokenizer_config.json"))
    };
    let first = bytes();
    assert!((0..8).all(|_| bytes() == first));
    let threads = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    assert_eq!(threads.install(bytes), first);
}

#[test]
fn the_tokenizer_stage_writes_what_transformers_reads() {
    let data = made_up(&corpus().into_iter().map(|text| Text { text }).collect::<Vec<_>>());
    let step = |template: Value| {
        let step = Step::new("tokenizer", json!({ "vocab": 280, "template": template }));
        step.input("text", data.path()).run().unwrap()
    };
    let artifact = step(Value::Null);
    assert_snapshot!(fs::read_to_string(artifact.out.join("tokenizer_config.json")).unwrap());
    let tokenizer = Tokenizer::load(&artifact.out).unwrap();
    assert_eq!(tokenizer.vocabulary(), 280);
    let special: Vec<_> = bpe::CONTROL.iter().chain(&bpe::TAGS).map(|it| tokenizer.id_of(it)).collect();
    assert_eq!(special, (0..9).map(Some).collect::<Vec<_>>());
    let other = Tokenizer::load(&step(json!("Q: {{ messages[0].content }} A:")).out).unwrap();
    assert_eq!(other.prompt("1+1=?").unwrap(), "Q: 1+1=? A:");
}

#[test]
fn digits_and_tags_are_tokens_of_their_own() {
    let tokenizer = Tokenizer::train(&corpus(), 400, None).unwrap();
    let text = "<think>12+345=357</think><answer>357</answer><|eos|>";
    let ids = tokenizer.encode(text).unwrap();
    let pieces: Vec<String> = ids.iter().map(|id| tokenizer.decode(&[*id]).unwrap()).collect();
    assert_eq!(pieces.join(" "), "<think> 1 2 + 3 4 5 = 3 5 7 </think> <answer> 3 5 7 </answer> <|eos|>");
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert_eq!(tokenizer.completion(&ids).unwrap(), text.strip_suffix("<|eos|>").unwrap());
}

/// Sampling appends to a prompt's tokens; training encodes both as one text. They must be the same tokens.
#[test]
fn a_prompt_and_a_completion_are_the_same_tokens_together_as_apart() {
    let tokenizer = Tokenizer::train(&corpus(), 400, None).unwrap();
    for question in ["3+5-2=?", "What is the cat's hat?", " spaces ", ""] {
        for completion in
            ["<think>3+5=8</think><answer>6</answer>", "<answer>6</answer>", "the cat", " a", "", "=?", ":"]
        {
            let apart =
                [tokenizer.prompt_ids(question).unwrap(), tokenizer.encode(completion).unwrap(), vec![tokenizer.eos()]]
                    .concat();
            assert_eq!(tokenizer.encode(&tokenizer.answered(question, completion).unwrap()).unwrap(), apart);
            assert_eq!(tokenizer.document(&tokenizer.answered(question, completion).unwrap()).unwrap(), apart);
            let turns = [Message::new("user", question), Message::new("assistant", completion)];
            assert_eq!(tokenizer.encode(&tokenizer.render(&turns, Opening::None).unwrap()).unwrap(), apart);
        }
    }
    assert_eq!(tokenizer.prompt("3+5-2=?").unwrap(), "<|bos|><|user|>3+5-2=?<|assistant|>");
}

#[test]
fn any_text_comes_back_from_its_tokens() {
    let tokenizer = Tokenizer::train(&corpus(), 300, None).unwrap();
    for text in ["", " ", "naïve ☃ 東京\u{0}\n\t", "  two  spaces ", "1,000.5%", "<|notspecial|>", "<think"] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    }
}

#[test]
fn a_tokenizers_folder_is_loaded_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    Tokenizer::train(&corpus(), 300, None).unwrap().save(folder.path()).unwrap();
    let load = |template: Value, file: &Path| {
        let mut step = Step::new("load_tokenizer", json!({ "template": template }));
        step.files.insert("file".to_owned(), file.to_owned());
        step.run()
    };
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let loaded = load(Value::Null, folder.path()).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        assert_eq!(read(&loaded.out, name), read(folder.path(), name));
    }
    let loaded = load(json!("{{ bos_token }}?"), folder.path()).unwrap();
    assert_eq!(Tokenizer::load(&loaded.out).unwrap().prompt("1").unwrap(), "<|bos|>?");

    fs::write(folder.path().join("tokenizer_config.json"), "{\"eos_token\": {\"content\": \"<end>\"}}").unwrap();
    assert_snapshot!(load(Value::Null, folder.path()).err().unwrap(), @"tokenizer: `eos_token` is `<end>` in tokenizer_config.json, but tokenizer.json has no such token");
    fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
    let bare = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((bare.eos(), bare.bos()), (2, None));
    assert_snapshot!(bare.prompt("1").unwrap_err(), @"tokenizer: expected a chat template, found none; give one as `template`");
    fs::write(folder.path().join("tokenizer.json"), "{\"model\": 1}").unwrap();
    assert!(load(Value::Null, folder.path()).err().unwrap().contains("expected a tokenizer: "));
}

#[test]
fn a_broken_template_is_refused_when_the_tokenizer_is_made() {
    let data = made_up(&[Text { text: "a b a b".to_owned() }]);
    let step = Step::new("tokenizer", json!({ "vocab": 300, "template": "{% for %}" })).input("text", data.path());
    assert!(step.run().err().unwrap().starts_with("chat template: line 1: "));
}
