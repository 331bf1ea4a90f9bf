//! Finds where the answer stands in a text.
//!
//! In this order: the last pair of answer tags; of what follows a thought, its boxes, what `####` marks, a phrase such
//! as "the answer is", the text itself if it is no prose, and last the formula or the number nearest to the end.
//! What a model only thinks is no answer, and a mark that was opened and not closed holds none.

use crate::reward::math::words;

/// The longest answer, in bytes; a longer one is no answer but a text.
pub const LONGEST: usize = 1024;

/// The most places in a text that are tried.
const MOST: usize = 6;

/// A part of a text that may be the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub text: String,
    /// Whether it stands outside of all formulas.
    pub plain: bool,
}

/// The answer where it is marked: in tags, in the last box, after `####`.
///
/// Boxes with no more than "and" between them are one answer, so of those there is none to borrow here.
#[must_use]
pub fn marked(text: &str) -> Option<&str> {
    let (text, tagged) = answer_part(text)?;
    let found = if let Some(boxes) = boxes(text) {
        match boxes.as_slice() {
            [only] if !continues(text, only) => text.get(only.start..only.end),
            _ => None,
        }
    } else if tagged {
        Some(text)
    } else {
        let (_, after) = text.rsplit_once("####")?;
        after.lines().next()
    };
    found.map(str::trim).filter(|it| !it.is_empty() && it.len() <= LONGEST)
}

/// Everything that may be the answer, the likeliest first.
#[must_use]
pub fn candidates(text: &str) -> Vec<Candidate> {
    let Some((text, tagged)) = answer_part(text) else { return Vec::new() };
    let mut found = Vec::new();
    let phrase = phrase(text);
    let boxes = boxes(text);
    let last_box = boxes.as_ref().and_then(|it| it.last()).map_or(0, |it| it.end);
    if let Some((tail, _)) = phrase.filter(|(_, at)| *at > last_box && last_box > 0) {
        found.extend(in_phrase(tail));
    }
    match boxes {
        Some(boxes) => {
            if boxes.is_empty() {
                return Vec::new();
            }
            let mut joined = boxes.iter().filter_map(|it| text.get(it.start..it.end)).collect::<Vec<_>>().join(", ");
            if boxes.last().is_some_and(|it| percent_follows(text, it.end + 1)) {
                joined.push('%');
            }
            found.push(Candidate { text: joined, plain: false });
        }
        None => {
            if let Some(after) = text.rsplit_once("####").and_then(|(_, after)| after.lines().next()) {
                found.push(Candidate { text: after.trim().to_owned(), plain: true });
                return found;
            }
            if text.len() <= LONGEST && !is_prose(text) {
                found.push(Candidate { text: text.trim().to_owned(), plain: !text.contains('$') });
            }
            if let Some((tail, _)) = phrase {
                found.extend(in_phrase(tail));
            }
            found.extend(nearest_to_the_end(text));
            if found.is_empty() || tagged {
                found.push(Candidate { text: text.trim().to_owned(), plain: true });
            }
        }
    }
    found.retain(|it| !it.text.is_empty() && it.text.len() <= LONGEST);
    found.truncate(MOST);
    found
}

/// The part of a text in which the answer stands, and whether it stood in answer tags.
fn answer_part(text: &str) -> Option<(&str, bool)> {
    if text.contains("<answer>") {
        let (before, _) = text.rsplit_once("</answer>")?;
        let (_, inside) = before.rsplit_once("<answer>")?;
        return Some((inside, true));
    }
    match text.rsplit_once("</think>") {
        Some((_, after)) => Some((after, false)),
        None if text.contains("<think>") => None,
        None => Some((text, false)),
    }
}

struct Part {
    start: usize,
    end: usize,
}

/// The last boxes, as many as belong together; none where there is no box, empty where the last does not close.
fn boxes(text: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.rfind("\\boxed{") {
        let start = at + "\\boxed{".len();
        let end = closing(text, start);
        match (end, parts.first()) {
            (None, None) => return Some(Vec::new()),
            (Some(end), None) => parts.push(Part { start, end }),
            // A box within a box, or one that the next belongs to.
            (Some(end), Some(next)) => {
                let gap = text.get(end + 1..next.start - "\\boxed{".len());
                if !gap.is_some_and(joins) || parts.len() >= 32 {
                    break;
                }
                parts.insert(0, Part { start, end });
            }
            (None, Some(_)) => break,
        }
        rest = rest.get(..at)?;
    }
    if parts.is_empty() { None } else { Some(parts) }
}

/// Where the brace that was opened before a place closes. No box is longer than an answer may be.
fn closing(text: &str, start: usize) -> Option<usize> {
    let mut depth = 1;
    for (at, byte) in text.as_bytes().get(start..)?.iter().enumerate().take(4 * LONGEST) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(start + at);
        }
    }
    None
}

/// Whether what stands between two boxes makes them one answer.
fn joins(gap: &str) -> bool {
    if gap.len() > 40 || gap.contains(". ") || gap.contains("\n\n") {
        return false;
    }
    let mut gap = gap.replace("\\quad", " ").replace("\\qquad", " ").replace("\\text", " ").replace("\\ ", " ");
    gap.retain(|it| !"${}\\,;.!".contains(it));
    let words: Vec<&str> = gap.split_whitespace().collect();
    words.is_empty() || (words.len() <= 3 && words.iter().any(|it| *it == "and" || *it == "or"))
}

/// Whether something after a box changes what it says.
fn continues(text: &str, part: &Part) -> bool {
    percent_follows(text, part.end + 1) || phrase(text).is_some_and(|(_, at)| at > part.end)
}

fn percent_follows(text: &str, at: usize) -> bool {
    let after = text.get(at..).unwrap_or_default().trim_start_matches(['$', ' ', ')', '\\']);
    ["%", "percent", "pct"].iter().any(|it| after.starts_with(it))
}

/// What follows the last phrase that announces an answer, and where it begins.
fn phrase(text: &str) -> Option<(&str, usize)> {
    const PHRASES: [&str; 5] = ["final answer is", "final answer:", "answer is", "answer:", "answer is:"];
    // Changing ASCII letters alone leaves all places as they are.
    let lower = text.to_ascii_lowercase();
    let at = PHRASES.iter().filter_map(|phrase| Some(lower.rfind(phrase)? + phrase.len())).max()?;
    let tail = text.get(at..)?;
    let tail = tail.split("\n\n").find(|it| !it.trim().is_empty())?;
    let tail = tail.split("I hope").next().unwrap_or(tail);
    Some((tail.split("<|").next().unwrap_or(tail), at))
}

fn in_phrase(tail: &str) -> Vec<Candidate> {
    let mut found = Vec::new();
    let tail = tail.trim().trim_start_matches([':', '*', ' ', '"']).trim_end_matches(['.', '*', ' ', '"', '\\']);
    let tail = tail.split(". ").next().unwrap_or(tail);
    let shorter = tail.rsplit_once(" is ").map(|(_, after)| after);
    for part in [Some(tail), shorter].into_iter().flatten() {
        if part.len() > LONGEST || part.trim().is_empty() {
            continue;
        }
        if !is_prose(part) {
            found.push(Candidate { text: part.trim().to_owned(), plain: !part.contains('$') });
        } else if let Some(choice) = choice(part) {
            found.push(choice);
        }
    }
    if found.is_empty() && tail.len() <= LONGEST {
        found.extend(nearest_to_the_end(tail));
        found.push(Candidate { text: tail.trim().to_owned(), plain: true });
    }
    found
}

/// A choice that begins an answer: `(B) the third`, `B. the third`.
fn choice(text: &str) -> Option<Candidate> {
    let text = text.trim_start().trim_start_matches('(');
    let letter = text.chars().next().filter(|it| it.is_ascii_uppercase())?;
    let after = text.get(1..)?.chars().next()?;
    matches!(after, ')' | '.' | ':').then(|| Candidate { text: letter.to_string(), plain: true })
}

/// The formulas and the number nearest to the end, the last first.
fn nearest_to_the_end(text: &str) -> Vec<Candidate> {
    let mut found: Vec<(usize, Candidate)> = formulas(text);
    if let Some((end, number)) = last_number(text) {
        let inside = found.last().is_some_and(|(formula, _)| *formula >= end);
        let at = if inside { found.len() } else { found.iter().position(|(it, _)| *it > end).unwrap_or(found.len()) };
        found.insert(at, (end, Candidate { text: number.to_owned(), plain: true }));
        if inside {
            // A number within the last formula is second to the formula.
            let last = found.len() - 1;
            found.swap(last - 1, last);
        }
    }
    found.into_iter().rev().map(|(_, candidate)| candidate).take(MOST).collect()
}

/// The last formulas of a text, in their order, and where each ends.
fn formulas(text: &str) -> Vec<(usize, Candidate)> {
    const MARKS: [(&str, &str); 4] = [("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$")];
    let mut found: Vec<(usize, Candidate)> = Vec::new();
    let mut at = 0;
    while let Some(next) = text.get(at..).and_then(|it| it.find(['$', '\\'])).map(|it| at + it) {
        let rest = text.get(next..).unwrap_or_default();
        let Some((open, close)) = MARKS.iter().find(|(open, _)| rest.starts_with(open)) else {
            // An escaped dollar opens nothing.
            at = next + 1 + usize::from(rest.starts_with("\\$"));
            continue;
        };
        let start = next + open.len();
        let window = text.as_bytes().get(start..).unwrap_or_default();
        let window = window.get(..window.len().min(2 * LONGEST)).unwrap_or_default();
        let Some(length) = find_close(window, close.as_bytes()) else {
            at = start;
            continue;
        };
        let end = start + length + close.len();
        if let Some(inside) = text.get(start..start + length).filter(|it| !it.trim().is_empty()) {
            let percent = if percent_follows(text, end) { "%" } else { "" };
            found.push((end, Candidate { text: format!("{}{percent}", inside.trim()), plain: false }));
            if found.len() > 2 * MOST {
                found.remove(0);
            }
        }
        at = end;
    }
    found
}

fn find_close(window: &[u8], close: &[u8]) -> Option<usize> {
    (0..window.len()).find(|at| {
        let escaped = *at > 0 && window.get(at - 1) == Some(&b'\\') && close == b"$";
        !escaped && window.get(*at..).is_some_and(|it| it.starts_with(close))
    })
}

/// The last number outside of words, with its fraction and its percent sign, and where it ends.
fn last_number(text: &str) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    // A text has its answer near its end; what stands far before is not looked at.
    let floor = bytes.len().saturating_sub(4 * LONGEST);
    while end > floor {
        let last = bytes.get(floor..end)?.iter().rposition(u8::is_ascii_digit)? + floor;
        let mut start = last;
        while start > floor && bytes.get(start - 1).is_some_and(|it| it.is_ascii_digit() || b".,/".contains(it)) {
            start -= 1;
        }
        while start < last && bytes.get(start).is_some_and(|it| b",/".contains(it)) {
            start += 1;
        }
        let before = text.get(..start)?.chars().next_back();
        if before.is_some_and(|it| it.is_alphanumeric() || it == '_') {
            end = start;
            continue;
        }
        let negative = matches!(before, Some('-'))
            && !text.get(..start - 1)?.trim_end().ends_with(|it: char| it.is_alphanumeric() || it == ')');
        let start = if negative { start - 1 } else { start };
        let after = text.get(last + 1..)?;
        let sign = after.len() - after.trim_start().len();
        let signed = ["%", "\\%", "percent", "pct"].iter().find(|it| after.trim_start().starts_with(**it));
        let stop = signed.map_or(last + 1, |it| last + 1 + sign + it.len());
        return Some((stop, text.get(start..stop)?));
    }
    None
}

/// Words that are no product of two symbols.
const SHORT_WORDS: [&str; 12] = ["it", "is", "so", "to", "of", "at", "an", "as", "we", "be", "by", "if"];

/// Whether words stand outside of formulas that are neither functions nor the unit of a number.
fn is_prose(text: &str) -> bool {
    let mut rest = text;
    let mut formula = false;
    let mut number = false;
    while let Some(first) = rest.chars().next() {
        let run = |text: &str| text.bytes().take_while(u8::is_ascii_alphabetic).count();
        match first {
            '$' => formula = !formula,
            '\\' => {
                let length = run(rest.get(1..).unwrap_or_default());
                let name = rest.get(1..=length).unwrap_or_default();
                rest = rest.get(1 + length..).unwrap_or_default();
                if matches!(words::command(name), words::Meaning::Text) || matches!(name, "begin" | "end" | "mathbb") {
                    rest = rest.split_once('}').map_or("", |(_, after)| after);
                } else if length == 0 {
                    rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
                }
                continue;
            }
            'a'..='z' | 'A'..='Z' => {
                let length = run(rest);
                let word = rest.get(..length).unwrap_or_default();
                rest = rest.get(length..).unwrap_or_default();
                let known = words::word(word).is_some() || (number && words::is_unit(word));
                let symbols = word.chars().all(char::is_uppercase) || word.starts_with("or");
                if (length >= 3 || SHORT_WORDS.contains(&word)) && !formula && !known && !symbols {
                    return true;
                }
                continue;
            }
            '0'..='9' => number = true,
            '?' | '\u{3000}'..='\u{9fff}' => return true,
            _ => {}
        }
        rest = rest.get(first.len_utf8()..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_tags_come_before_boxes_and_boxes_before_hashes() {
        let cases = [
            ("<answer>1</answer> then <answer> 2 </answer>", Some("2")),
            ("\\boxed{3} <answer>4</answer> #### 5", Some("4")),
            ("<answer>so \\boxed{\\frac{1}{2}}</answer>", Some("\\frac{1}{2}")),
            ("\\boxed{1}, so \\boxed{6} #### 7", Some("6")),
            ("9*2=18\n#### 18\n", Some("18")),
            ("\\boxed{8} <answer>9", None),
            ("\\boxed{1} \\boxed{2", None),
            ("<answer></answer>", None),
            ("72", None),
            ("<think>\\boxed{1}", None),
            ("<think>\\boxed{1}</think> \\boxed{2}", Some("2")),
        ];
        for (completion, expected) in cases {
            assert_eq!(marked(completion), expected, "{completion}");
        }
    }

    #[test]
    fn the_likeliest_candidate_comes_first() {
        let cases = [
            ("\\boxed{-2} \\quad \\text{and} \\quad \\boxed{1}", "-2, 1"),
            ("\\boxed{1} no, \\boxed{2}", "2"),
            ("$\\boxed{20}$ percent", "20%"),
            ("it is not 10, it is 1,000.99m²", "1,000.99"),
            ("it was $5$ and is $x < 3$.", "x < 3"),
            ("Final answer: the largest $n$ is 34.", "34"),
            ("10 cm", "10 cm"),
            ("The answer is (B) the third", "B"),
            ("\\boxed{255} so it is 10,455. The final answer is $10,455$.", "$10,455$"),
        ];
        for (text, expected) in cases {
            assert_eq!(candidates(text).first().map(|it| it.text.as_str()), Some(expected), "{text}");
        }
    }
}
