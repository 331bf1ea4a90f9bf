//! Recipes cut up and put together anew, through parser, checker and formatter: nothing panics, nothing takes long.
//!
//! `FUZZ_INPUTS=1000000 cargo test fuzz:: -- --nocapture` runs as many inputs, those of `FUZZ_SEED`, and says how long they
//! took and how much memory; without it a few run with every test.

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use regimen::{
    base::{
        rng::Stream,
        span::{SourceId, Sources},
    },
    lang::{self, Overrides},
    plan::Plan,
    syntax::{bare::bare, format, parse, parse_by_grammar, tokens::tokens},
};

/// No input may take longer.
const LONGEST: Duration = Duration::from_secs(1);

/// Nor may the whole process ever hold more, in KiB.
const LARGEST: u64 = 1 << 20;

const SCRAPS: [&str; 44] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ".",
    "..",
    "=",
    "==",
    ":",
    "->",
    "|",
    "?",
    "-",
    "+",
    "*",
    "/",
    "@",
    "#",
    "##",
    "\n",
    "\n\n",
    "\"",
    "\\",
    "if",
    "else",
    "for",
    "repeat",
    "from",
    "in",
    "then",
    "after",
    "to",
    "as",
    "stage",
    "use ./a.rgm",
    "99999999999999999999",
    "1e308",
    "1e-308",
    "ß",
];

/// The pieces of every recipe in the suite and the library.
fn corpus() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["tests/suite", "stdlib", "workflows"] {
        let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap().collect();
        files.sort_by_key(|it| it.as_ref().unwrap().path());
        for file in files {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            // The first line of a section is its name.
            let sections = text.split("\n--- ").map(|it| it.split_once("---\n").map_or(it, |(_, rest)| rest));
            found.extend(sections.map(str::to_owned));
        }
    }
    found
}

/// An input: some recipe with a few of its tokens left out, doubled, swapped, broken, or taken from elsewhere.
fn input(corpus: &[Vec<&str>], stream: &Stream, number: u64) -> String {
    let mut low = 0;
    let mut below = |bound: usize| {
        low += 1;
        stream.below(bound as u64, number, low) as usize
    };
    let whole = &corpus[below(corpus.len())];
    let others = &corpus[below(corpus.len())];
    // Whole recipes are long; most inputs are a window of one.
    let lines: Vec<usize> = (0..whole.len()).filter(|at| *at == 0 || whole[at - 1] == "\n").collect();
    let start = if lines.is_empty() { 0 } else { lines[below(lines.len())] };
    let mut parts: Vec<&str> = whole.iter().copied().skip(start).take(1 + below(160)).collect();
    for _ in 0..below(5) {
        let at = below(parts.len() + 1);
        match below(8) {
            0 if at < parts.len() => drop(parts.remove(at)),
            1 if at < parts.len() => parts.insert(at, parts[at]),
            2 if at + 1 < parts.len() => parts.swap(at, at + 1),
            3 if !others.is_empty() => parts.insert(at, others[below(others.len())]),
            4 => {
                let scrap = SCRAPS[below(SCRAPS.len())];
                let times = match below(1_000) {
                    0 => 20_000,
                    1..20 => 300,
                    _ => 1,
                };
                parts.splice(at..at, std::iter::repeat_n(scrap, times));
            }
            5 if at < parts.len() => {
                let middle = parts[at].floor_char_boundary(below(parts[at].len() + 1));
                parts[at] = if below(2) == 0 { &parts[at][middle..] } else { &parts[at][..middle] };
            }
            _ => parts.insert(at, SCRAPS[below(SCRAPS.len())]),
        }
    }
    parts.concat()
}

/// The tokens of a text with the blanks before them.
fn pieces(text: &str) -> Vec<&str> {
    let mut at = 0;
    let mut found = Vec::new();
    for token in tokens(text) {
        found.push(&text[at..token.end()]);
        at = token.end();
    }
    found
}

fn survive(text: &str) -> bool {
    let mut sources = Sources::default();
    let id = sources.add("fuzz.rgm", text);
    let (file, mut complaints) = parse(id, text);
    let by_grammar = parse_by_grammar(id, text);
    // What is read without the grammar is what the grammar says, places and complaints and all.
    assert!((&file, &complaints) == (&by_grammar.0, &by_grammar.1), "{text:?}");
    let (program, more) = lang::check(&mut sources, &file, &Overrides::default());
    let parses = !complaints.has_errors();
    complaints.extend(more);
    if !complaints.has_errors() {
        let _ = Plan::new(&program, &|_| 1);
    }
    if parses {
        let once = format(SourceId(0), text).unwrap_or_else(|it| panic!("{text:?}: {it:?}"));
        assert_eq!(bare(parse(SourceId(0), &once).0), bare(file), "{text:?}");
        assert_eq!(format(SourceId(0), &once).as_deref(), Ok(once.as_str()), "{text:?}");
    }
    parses
}

#[test]
fn every_recipe_is_read_directly_as_by_the_grammar() {
    for text in corpus() {
        assert_eq!(parse(SourceId(0), &text), parse_by_grammar(SourceId(0), &text), "{text}");
    }
}

#[test]
fn recipes_in_pieces_are_survived() {
    let number = |name: &str| env::var(name).ok().and_then(|it| it.parse::<u64>().ok());
    let (inputs, seed) = (number("FUZZ_INPUTS").unwrap_or(300), number("FUZZ_SEED").unwrap_or(0));
    let (texts, stream) = (corpus(), Stream::new(seed, "fuzz"));
    let corpus: Vec<Vec<&str>> = texts.iter().map(|it| pieces(it)).collect();
    let start = Instant::now();
    let (mut parsed, mut slowest) = (0, (Duration::ZERO, String::new()));
    for number in 0..inputs {
        let text = input(&corpus, &stream, number);
        let before = Instant::now();
        parsed += u64::from(survive(&text));
        if before.elapsed() > slowest.0 {
            slowest = (before.elapsed(), text);
        }
    }
    let (took, memory) = (start.elapsed(), peak_memory());
    println!("{inputs} inputs, {parsed} of them parse, {took:?}; the slowest took {:?}; {memory} KiB", slowest.0);
    if number("FUZZ_INPUTS").is_some() {
        assert!(slowest.0 < LONGEST, "{:?} took {:?}", slowest.1, slowest.0);
        assert!(memory < LARGEST, "{memory} KiB");
    }
}

/// The most memory that the process has held, in KiB; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:"));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
