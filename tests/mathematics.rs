//! The verifier of mathematical answers: what it holds to be equal, on cases of its own and on files of others.

use std::{
    env, fs,
    time::{Duration, Instant},
};

use rayon::prelude::*;
use regimen::{
    base::rng::Stream,
    reward::answer::{Verdict, grade},
};
use serde_json::Value;

/// Measures agreement on a file of cases: `REGIMEN_CASES=cases.jsonl cargo test agreement -- --ignored --nocapture`.
/// A row holds `gold`, `pred` and `expected`, which is 1 where they are equal.
#[test]
#[ignore = "needs a file of cases in REGIMEN_CASES"]
fn agreement_on_a_file_of_cases() {
    let text = fs::read_to_string(env::var("REGIMEN_CASES").unwrap()).unwrap();
    let mut agreed = 0;
    let mut disagreements = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        let (gold, pred) = (row["gold"].as_str().unwrap(), row["pred"].as_str().unwrap());
        let verdict = grade(pred, gold);
        if (verdict == Some(Verdict::Correct)) == (row["expected"] == 1) {
            agreed += 1;
        } else {
            let tail: String = pred.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            disagreements.push(format!("{}: {gold} | {tail} | {verdict:?}, expected {}", index + 1, row["expected"]));
        }
    }
    println!("{agreed} of {} agree\n{}", agreed + disagreements.len(), disagreements.join("\n"));
    assert!(agreed * 100 >= 95 * (agreed + disagreements.len()));
}

/// Right answers, each with answers that are the same.
const SAME: &[(&str, &[&str])] = &[
    (
        "1/2",
        &[
            "0.5",
            ".5",
            "\\frac12",
            "$\\dfrac{2}{4}$",
            "50\\%",
            "50%",
            "x = 1/2",
            "2^{-1}",
            "$\\sqrt{\\frac14}$",
            "0.500",
        ],
    ),
    ("$2\\sqrt{2}$", &["\\sqrt{8}", "$\\sqrt 8$", "2^{3/2}", "$\\frac{4}{\\sqrt{2}}$", "2*sqrt(2)", "2.828427"]),
    ("$\\frac{\\pi}{2}$", &["\\pi/2", "0.5\\pi", "pi/2", "$\\frac12\\pi$", "1.570796"]),
    (
        "1000",
        &["1{,}000", "10^3", "$10^{3}$", "1e3", "1,000", "1\\,000", "1000 dollars", "$\\$1000$", "1.0 \\times 10^3"],
    ),
    (
        "3",
        &["\\log_2 8", "$|-3|$", "\\lfloor 3.7 \\rfloor", "\\binom{3}{1}", "$\\ln e^3$", "3!/2", "\\lceil 2.1 \\rceil"],
    ),
    ("$-1$", &["i^2", "\\cos \\pi", "e^{i\\pi}", "$-\\sin 90^\\circ$", "\\sqrt[3]{-1}"]),
    ("7/2", &["3\\frac{1}{2}", "3 1/2", "3.5", "7 \\div 2"]),
    ("$x+1$", &["1+x", "$\\frac{x^2-1}{x-1}$", "(x+1)", "y = x + 1", "\\frac{2x+2}{2}"]),
    ("$(x+1)^2$", &["x^2+2x+1", "(1+x)(x+1)", "x(x+2)+1"]),
    ("$\\sin 2x$", &["2\\sin x\\cos x", "2 \\cos(x) \\sin(x)", "\\sin(2x)"]),
    ("$a^{m+n}$", &["a^m a^n", "a^{n+m}", "a^m \\cdot a^n"]),
    ("$\\frac{1}{1+\\sqrt2}$", &["\\sqrt2-1", "-1+\\sqrt{2}"]),
    ("$\\{1,2,3\\}$", &["\\{3,2,1\\}", "1,2,3", "1, 2 and 3", "\\{1, 2, 3, 3\\}", "$x=1$, $x=2$ or $x=3$"]),
    ("$(1,2)$", &["(1, 2)", "(x,y) = (1,2)", "\\left(1,2\\right)", "(1;2)", "1 < x < 2", "$x \\in (1,2)$"]),
    ("$[1,\\infty)$", &["x \\ge 1", "$1 \\le x$", "x >= 1"]),
    ("$(-\\infty,2)\\cup(3,\\infty)$", &["(3,\\infty) \\cup (-\\infty,2)", "$x\\in(-\\infty,2)\\cup(3,+\\infty)$"]),
    ("$x \\le \\frac73$", &["3x - 2 \\leq 5", "-3x \\ge -7", "(-\\infty, 7/3]"]),
    ("$y = 2x + 1$", &["2x+1", "2x - y + 1 = 0", "y - 1 = 2x"]),
    ("$\\mathbb{R}$", &["(-\\infty, \\infty)", "\\mathbb{R}"]),
    ("\\emptyset", &["\\varnothing", "$\\emptyset$"]),
    (
        "$\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}$",
        &["\\begin{bmatrix}1\\\\2\\end{bmatrix}", "\\begin{pmatrix} 2/2 \\\\ 4/2 \\end{pmatrix}"],
    ),
    ("$\\begin{pmatrix}7 & 10 \\\\ 15 & 22\\end{pmatrix}$", &["\\begin{pmatrix}1 & 2 \\\\ 3 & 4\\end{pmatrix}^2"]),
    ("B", &["(B)", "\\text{B}", "\\textbf{(B)}", "B.", "The answer is B.", "The answer is (B) seven", "$\\boxed{B}$"]),
    ("\\text{Evelyn}", &["Evelyn", "evelyn", "\\textbf{Evelyn}", "<answer>Evelyn</answer>"]),
    ("28%", &["0.28", "28", "28 percent", "$28\\%$", "\\frac{7}{25}"]),
    (
        "5",
        &[
            "5 cm",
            "$5\\text{ cm}$",
            "$5\\,\\mathrm{cm}^2$",
            "5^\\circ",
            "5 apples",
            "x=5",
            "$x = 2+3 = 5$",
            "2 + 3 = 5",
            "5.",
        ],
    ),
    ("204_5", &["204_5", "$204_{5}$"]),
    ("$2003^{2002^{2001}}$", &["2003^{2002^{2001}}", "2003^(2002^2001)"]),
    (
        "72",
        &[
            "so 48+24=72 in all.\n#### 72",
            "The answer is 72.",
            "\\boxed{72}",
            "<think>71</think><answer>72</answer>",
            "#### 72.00",
        ],
    ),
    (
        "$\\frac{3}{4}$",
        &["\\boxed{\\frac{3}{4}}", "the probability is $\\frac34$.", "it is 3/4", "**Answer:** $\\frac{3}{4}$", "75%"],
    ),
    ("$-\\frac{1}{3}$", &["\\frac{-1}{3}", "\\frac{1}{-3}", "-1/3", "-0.333333", "- \\frac13"]),
    ("$3+4i$", &["4i+3", "(2+i)^2", "$3 + 4 i$"]),
];

/// Right answers, each with answers that are not the same.
const DIFFERENT: &[(&str, &[&str])] = &[
    ("1/2", &["0.51", "2", "-1/2", "1/2x", "5%", "0.50001", "1,2", "(1,2)"]),
    ("1/3", &["0.33", "0.3333", "0.333334", "3"]),
    ("$2\\sqrt{2}$", &["2.83", "\\sqrt{2}", "2\\sqrt{3}", "2"]),
    ("1000", &["1,00", "100", "1.000", "1000x", "(1,000)x"]),
    (
        "5",
        &[
            "5x",
            "5 or 6",
            "\\{5, 6\\}",
            "(5)(2)",
            "55",
            "-5",
            "x=4, 5",
            "<think>5",
            "<answer>5",
            "\\boxed{5",
            "5^2",
            "x > 5",
        ],
    ),
    ("$x+1$", &["x-1", "x", "1", "y+1", "|x+1|", "x+2"]),
    ("$x$", &["\\sqrt{x^2}", "|x|", "y", "2x"]),
    ("$\\{1,2\\}$", &["\\{1,2,3\\}", "1", "\\{1,3\\}", "(2,1)"]),
    ("$(1,2)$", &["(2,1)", "[1,2]", "[1,2)", "(1,2,3)", "12"]),
    ("$[1,\\infty)$", &["x > 1", "x \\le 1", "(1,\\infty)", "1"]),
    ("$y = 2x + 1$", &["y = 2x", "2x", "1", "y = 2x - 1"]),
    ("$7 = 11a + c$", &["11a+c", "7"]),
    ("B", &["A", "C", "The answer is (A) since B is wrong"]),
    ("Evelyn", &["Carla", "Evelyn and Carla"]),
    ("28%", &["2.8", "0.0028", "280"]),
    ("$2003^{2002^{2001}}$", &["2003^{2002^{2000}}", "1", "0", "2004^{2002^{2001}}"]),
    ("$10^{50}\\sqrt{2}+1$", &["10^{50}\\sqrt{2}", "10^{50}\\sqrt{2}+2"]),
    ("100000000000000000000000000001", &["100000000000000000000000000000", "1e29"]),
    ("$\\pi$", &["3.14", "22/7", "355/113", "3"]),
    ("0.0000001", &["0.0000002", "0"]),
    (
        "$\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}$",
        &["\\begin{pmatrix} 1 & 2 \\end{pmatrix}", "\\begin{pmatrix} 2 \\\\ 1 \\end{pmatrix}", "(2,1)"],
    ),
];

/// Right answers that nothing can be held against.
const UNREADABLE: &[&str] = &["", " ", "???", "\\frac{", "$$", "}{", "\\boxed{", "1/0"];

#[test]
fn the_same_answer_has_many_forms() {
    let mut wrong = Vec::new();
    for (right, answers) in SAME {
        for answer in answers.iter().chain([right]) {
            let verdict = grade(answer, right);
            if verdict != Some(Verdict::Correct) {
                wrong.push(format!("{answer} for {right}: {verdict:?}"));
            }
        }
    }
    for (right, answers) in DIFFERENT {
        for answer in *answers {
            let verdict = grade(answer, right);
            if !matches!(verdict, Some(Verdict::Wrong | Verdict::Unparseable)) {
                wrong.push(format!("{answer} for {right}: {verdict:?}"));
            }
        }
    }
    wrong.extend(UNREADABLE.iter().filter_map(|it| Some(format!("{it}: {:?}", grade("1", it)?))));
    assert_eq!(wrong, Vec::<String>::new(), "{wrong:#?}");
}

/// Pieces that answers are made of, so that random texts reach every branch.
const PIECES: &[&str] = &[
    "\\frac",
    "\\sqrt",
    "\\boxed{",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\\{",
    "\\}",
    "|",
    "^",
    "_",
    "!",
    "%",
    "°",
    "+",
    "-",
    "*",
    "/",
    ",",
    ";",
    ":",
    "=",
    "<",
    "\\le",
    "\\ge",
    "\\ne",
    "\\approx",
    "\\in",
    "\\cup",
    "\\setminus",
    "\\pm",
    "\\infty",
    "\\pi",
    "e",
    "i",
    "x",
    "y",
    "f(x)",
    "0",
    "1",
    "2",
    "9",
    "10",
    "2003",
    "0.5",
    ".",
    "1,000",
    "99999999999999999999",
    "1e300",
    "1e-300",
    "\\log",
    "\\ln",
    "\\sin",
    "\\cos",
    "\\tan",
    "\\binom",
    "\\left",
    "\\right",
    "\\text{",
    "cm",
    "and",
    "or",
    " ",
    "$",
    "$$",
    "\\[",
    "\\]",
    "\\(",
    "\\)",
    "####",
    "<answer>",
    "</answer>",
    "<think>",
    "</think>",
    "answer is ",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "\\lfloor",
    "\\rfloor",
    "√",
    "²",
    "−",
    "é",
    "漢",
    "\u{0}",
    "\u{fffd}",
    "(1+x)^9",
    "(a+b+c)^5",
    "2^{999}",
    "^{^",
    "200!",
    "\\sqrt[7]{",
    "x_{1}",
    "\\mathbb{R}",
    "'",
    "\\circ",
    "Evelyn",
];

/// No text makes the verifier panic, and none keeps it longer than a tenth of a second.
fn fuzz(cases: u64, seed: u64) -> (Duration, String) {
    let stream = Stream::new(seed, "fuzz");
    let text = |case: u64| {
        let length = 1 + stream.below(if case.is_multiple_of(50) { 300 } else { 24 }, case, 0);
        // One text of ten repeats a few pieces, so that it nests deep.
        let kinds = if case.is_multiple_of(10) { 1 + stream.below(3, case, 1) } else { PIECES.len() as u64 };
        let pieces = (0..length).map(|at| {
            let kind = stream.below(kinds, case, 2 + 2 * at);
            let start = if kinds < 4 { stream.below(PIECES.len() as u64, case, 1 << 40) } else { 0 };
            PIECES[((start + kind * 7) % PIECES.len() as u64) as usize]
        });
        pieces.collect::<String>()
    };
    (0..cases)
        .into_par_iter()
        .map(|case| {
            let (right, answer) = (text(2 * case), text(2 * case + 1));
            // The machine may have been busy with something else: the shorter of two counts.
            let time = || {
                let start = Instant::now();
                let _ = grade(&answer, &right);
                let _ = grade(&right, &right);
                start.elapsed()
            };
            let first = time();
            let taken = if first > Duration::from_millis(20) { (0..4).map(|_| time()).min().unwrap() } else { first };
            (taken, format!("{right:?} and {answer:?}"))
        })
        .max()
        .unwrap()
}

#[test]
fn no_text_makes_the_verifier_panic() {
    fuzz(5_000, 1);
}

/// `cargo test a_million_texts -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes"]
fn a_million_texts_are_judged_in_a_tenth_of_a_second_each() {
    let (longest, text) = fuzz(1_000_000, 2);
    println!("the longest took {longest:?}: {text}");
    assert!(longest < Duration::from_millis(100));
}

/// Each of these tries to grow without bound; all together they take no time.
#[test]
fn towers_and_long_products_are_left_as_they_stand() {
    let texts = [
        "2003^{2002^{2001}}".to_owned(),
        "2^2^2^2^2^2^2^2^2^2".to_owned(),
        "(a+b+c+d+e)^{1000}".to_owned(),
        "(a+b)(c+d)".repeat(90),
        "(x+1)^9".repeat(100),
        "1e3001".repeat(160),
        "1000!!!!".to_owned(),
        "\\binom{2000}{1000}^{99}".to_owned(),
        "\\sqrt[63]{1234567891011}".repeat(40),
        format!("{}1{}", "\\frac{1}{1+".repeat(60), "}".repeat(60)),
        "\\{".repeat(500),
        "1,".repeat(500),
        "-".repeat(1000),
        "9".repeat(1000),
    ];
    for text in &texts {
        let _ = (grade(text, text), grade("1", text), grade(text, "1"));
    }
    assert_eq!(grade(&texts[0], &texts[0]), Some(Verdict::Correct));
    assert_eq!(grade("1", &texts[0]), Some(Verdict::Wrong));
}
