//! Finds the answer in a completion and holds it against the one that is known to be right.

use crate::reward::number::Number;

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Correct,
    Wrong,
    /// No answer was found, or none of the form of the right one.
    Unparseable,
}

/// The longest answer that is looked at; a longer one is no answer but a text.
const LONGEST: usize = 1024;

/// Judges a completion by the answer in it.
#[must_use]
pub fn judge(completion: &str, right: &str) -> Verdict {
    extract(completion).map_or(Verdict::Unparseable, |answer| compare(answer, right))
}

/// Whether a completion gives the right answer.
#[must_use]
pub fn is_correct(completion: &str, right: &str) -> bool {
    judge(completion, right) == Verdict::Correct
}

/// Judges an answer that was found.
#[must_use]
pub fn compare(answer: &str, right: &str) -> Verdict {
    let correct = match (Number::parse(right), Number::parse(answer)) {
        (Some(right), Some(answer)) => answer.equals(right),
        (Some(_), None) => return Verdict::Unparseable,
        (None, _) => words(answer) == words(right),
    };
    if correct { Verdict::Correct } else { Verdict::Wrong }
}

/// The answer of a completion: that in the last pair of answer tags; where no such tag was opened, what the last
/// `\boxed{}` holds; and without that, what follows the last `####` in its line.
#[must_use]
pub fn extract(completion: &str) -> Option<&str> {
    let answer = if completion.contains("<answer>") {
        let (before, _) = completion.rsplit_once("</answer>")?;
        let (_, inside) = before.rsplit_once("<answer>")?;
        boxed(inside).unwrap_or(inside)
    } else if completion.contains("\\boxed{") {
        boxed(completion)?
    } else {
        let (_, after) = completion.rsplit_once("####")?;
        after.lines().next()?
    };
    let answer = answer.trim();
    if answer.is_empty() || answer.len() > LONGEST { None } else { Some(answer) }
}

/// What the last `\boxed{}` holds, if its braces close.
fn boxed(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once("\\boxed{")?;
    let mut depth = 1;
    for (at, character) in after.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return after.get(..at);
        }
    }
    None
}

/// A text that is no number, as its words: spaces and the dress of LaTeX text do not count.
fn words(text: &str) -> String {
    let text = text.trim_matches('$').replace("\\text{", "{");
    let text = text.trim().strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
            ("\\boxed{1} and \\boxed{6} #### 7", Some("6")),
            ("9*2=18\n#### 18\n", Some("18")),
            ("\\boxed{8} <answer>9", None),
            ("\\boxed{1} \\boxed{2", None),
            ("<answer></answer>", None),
            ("72", None),
        ];
        for (completion, expected) in cases {
            assert_eq!(extract(completion), expected, "{completion}");
        }
    }

    #[test]
    fn verdicts() {
        assert_eq!(judge("<answer>14.0</answer>", "14"), Verdict::Correct);
        assert_eq!(judge("<answer>15</answer>", "14"), Verdict::Wrong);
        assert_eq!(judge("<answer>fourteen</answer>", "14"), Verdict::Unparseable);
        assert_eq!(judge("14", "14"), Verdict::Unparseable);
        assert_eq!(judge("\\boxed{\\text{Evelyn}}", "$\\text{Evelyn}$"), Verdict::Correct);
        assert_eq!(judge("<answer>B</answer>", "A"), Verdict::Wrong);
    }
}
