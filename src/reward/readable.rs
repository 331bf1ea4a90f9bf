//! Whether a person would read an answer with ease: the condition on R1-Zero's answers that become the cold start.

use crate::reward::format;

/// The longest word of readable prose, in characters.
const LONGEST_WORD: usize = 64;

/// The longest stretch, in words, that is looked for as a repetition.
const LONGEST_LOOP: usize = 8;

/// Well formed, with a thought that is not empty; printable throughout; in words, and not in one unbroken run; and no
/// stretch of up to eight words three times in a row. Twice is left alone: sums pass through the same total by right.
#[must_use]
pub fn readable(text: &str) -> bool {
    let Some((thought, answer)) = format::parts(text) else { return false };
    let words: Vec<&str> = thought.split_whitespace().collect();
    !words.is_empty()
        && !answer.trim().is_empty()
        && text.chars().all(printable)
        && words.iter().all(|word| word.chars().count() <= LONGEST_WORD)
        && !(1..=LONGEST_LOOP).any(|length| loops(&words, length))
}

fn printable(character: char) -> bool {
    character != char::REPLACEMENT_CHARACTER && (!character.is_control() || matches!(character, '\n' | '\t' | '\r'))
}

/// Whether a stretch of so many words stands three times in a row.
fn loops(words: &[&str], length: usize) -> bool {
    let later = words.get(length..).unwrap_or_default();
    let mut run = 0;
    for (word, next) in words.iter().zip(later) {
        run = if word == next { run + 1 } else { 0 };
        if run == 2 * length {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_readable() {
        let within = |thought: &str| readable(&format!("<think>{thought}</think><answer>1</answer>"));
        assert!(within("3+5=8 8-2=6"));
        assert!(within("4+1=5 5-1=4 4+1=5 5-1=4"));
        assert!(within("it had had to be"));
        assert!(!within(" "));
        assert!(!within("so so so"));
        assert!(!within("x 4+1=5 5-1=4 4+1=5 5-1=4 4+1=5 5-1=4"));
        assert!(!within("a\u{fffd}b"));
        assert!(!within("a\u{7}b"));
        assert!(!within(&"1+1=2,".repeat(11)));
        assert!(!readable("<answer>1</answer>"));
    }
}
