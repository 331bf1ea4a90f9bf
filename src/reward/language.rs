//! The reward `language(code)`: the share of the thought's words that are of a language (DeepSeek-R1, equation 7).
//!
//! Languages are told apart by the script they are written in, which is what the mixing that the paper fights shows in.
//! Two languages of one script, such as English and German, are not told apart.

use serde_json::Value;

use crate::{
    data::bpe::TAGS,
    reward::{
        RewardError, arguments,
        score::{Function, Needs},
    },
};

pub const FUNCTION: Function = Function::each("language", check, |sample, arguments| {
    let scripts = scripts(arguments::text(arguments, 0)?)?;
    Some(share(thought(&sample.text()), scripts))
})
.needing(Needs::Completion);

/// What words are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Hebrew,
    Arabic,
    Devanagari,
    Thai,
    Han,
    Kana,
    Hangul,
}

const LANGUAGES: &[(&str, &[Script])] = &[
    ("ar", &[Script::Arabic]),
    ("de", &[Script::Latin]),
    ("el", &[Script::Greek]),
    ("en", &[Script::Latin]),
    ("es", &[Script::Latin]),
    ("fr", &[Script::Latin]),
    ("he", &[Script::Hebrew]),
    ("hi", &[Script::Devanagari]),
    ("it", &[Script::Latin]),
    ("ja", &[Script::Kana, Script::Han]),
    ("ko", &[Script::Hangul]),
    ("nl", &[Script::Latin]),
    ("pl", &[Script::Latin]),
    ("pt", &[Script::Latin]),
    ("ru", &[Script::Cyrillic]),
    ("th", &[Script::Thai]),
    ("tr", &[Script::Latin]),
    ("uk", &[Script::Cyrillic]),
    ("vi", &[Script::Latin]),
    ("zh", &[Script::Han]),
];

/// The share of the thought's words that are of a language; None where there is no such language.
#[must_use]
pub fn of_language(completion: &str, code: &str) -> Option<f64> {
    Some(share(thought(completion), scripts(code)?))
}

/// The share of the thought's words that are of the language of the question; where that has no words, of the language
/// that most of the thought is in.
#[must_use]
pub fn of_the_question(completion: &str, question: &str) -> f64 {
    let thought = thought(completion);
    let main = main(question).or_else(|| main(thought));
    main.map_or(1.0, |scripts| share(thought, &scripts))
}

/// The scripts of the language that most words of a text are of; the one that comes first where several are.
fn main(text: &str) -> Option<Vec<Script>> {
    let all: Vec<Script> = words(text).collect();
    // Japanese is known by its own letters, and is written in two scripts.
    if all.contains(&Script::Kana) && all.iter().all(|it| matches!(it, Script::Kana | Script::Han)) {
        return Some(vec![Script::Kana, Script::Han]);
    }
    let count = |script: Script| all.iter().filter(|it| **it == script).count();
    let most = all.iter().map(|it| count(*it)).max()?;
    all.iter().find(|it| count(**it) == most).map(|it| vec![*it])
}

fn check(name: &str, arguments: &[Value]) -> Result<(), RewardError> {
    let known = LANGUAGES.iter().map(|(code, _)| format!("`{code}`")).collect::<Vec<_>>().join(", ");
    let met = arguments.len() == 1 && arguments::text(arguments, 0).and_then(scripts).is_some();
    arguments::expect(name, &format!("a language, one of {known}"), met, arguments)
}

fn scripts(code: &str) -> Option<&'static [Script]> {
    LANGUAGES.iter().find(|(it, _)| *it == code).map(|(_, scripts)| *scripts)
}

/// Whether all words of a text are of one script; Japanese is written in two.
#[must_use]
pub fn one_language(text: &str) -> bool {
    // The names of the tags are no words of the answer: a thought in Chinese stands between English ones.
    let text = TAGS.iter().fold(text.to_owned(), |text, tag| text.replace(tag, " "));
    let mut words = words(&text);
    let Some(first) = words.next() else { return true };
    let family = |script| if script == Script::Kana { Script::Han } else { script };
    words.all(|it| family(it) == family(first))
}

/// The part of a completion that thinks; all that comes before the answer where no thought is marked.
fn thought(text: &str) -> &str {
    let after = text.split_once("<think>").map_or(text, |(_, after)| after);
    let end = after.find("</think>").or_else(|| after.find("<answer>")).unwrap_or(after.len());
    after.get(..end).unwrap_or(after)
}

/// The share of words of some scripts. Where there are no words, none is of another language.
fn share(text: &str, scripts: &[Script]) -> f64 {
    let (mut all, mut target) = (0_u64, 0_u64);
    for script in words(text) {
        all += 1;
        target += u64::from(scripts.contains(&script));
    }
    if all == 0 { 1.0 } else { target as f64 / all as f64 }
}

/// The script of each word. Single letters are symbols, what follows a backslash is a command; in scripts without
/// spaces every character is a word. A word that changes its script counts by its first letter.
fn words(text: &str) -> impl Iterator<Item = Script> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(|it| script(it).is_some())?;
            let command = rest.get(..at)?.ends_with('\\');
            rest = rest.get(at..)?;
            let first = rest.chars().next()?;
            let kind = script(first)?;
            if matches!(kind, Script::Han | Script::Kana) {
                rest = rest.get(first.len_utf8()..)?;
                return Some(kind);
            }
            let spaced = |it: char| script(it).is_none_or(|it| matches!(it, Script::Han | Script::Kana));
            let end = rest.find(spaced).unwrap_or(rest.len());
            let word = rest.get(..end)?;
            rest = rest.get(end..)?;
            if !command && word.chars().nth(1).is_some() {
                return Some(kind);
            }
        }
    })
}

fn script(character: char) -> Option<Script> {
    Some(match character {
        'a'..='z' | 'A'..='Z' => Script::Latin,
        '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}' if character != '×' && character != '÷' => Script::Latin,
        '\u{370}'..='\u{3ff}' => Script::Greek,
        '\u{400}'..='\u{52f}' => Script::Cyrillic,
        '\u{5d0}'..='\u{5ea}' => Script::Hebrew,
        '\u{620}'..='\u{64a}' => Script::Arabic,
        '\u{900}'..='\u{963}' => Script::Devanagari,
        '\u{e01}'..='\u{e4e}' => Script::Thai,
        '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' => Script::Kana,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}' => {
            Script::Han
        }
        '\u{ac00}'..='\u{d7a3}' => Script::Hangul,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_the_thought_alone() {
        let value = |text: &str, code: &str| share(thought(text), scripts(code).unwrap());
        assert_eq!(value("<think>so we add three</think><answer>三</answer>", "en"), 1.0);
        assert_eq!(value("<think>we add 三个苹果</think>", "en"), 2.0 / 6.0);
        assert_eq!(value("<think>we add 三个苹果</think>", "zh"), 4.0 / 6.0);
        assert_eq!(value("<think>тогда x = \\frac{1}{2}</think>", "ru"), 1.0);
        assert_eq!(value("<think>3+5=8</think>", "en"), 1.0);
        assert_eq!(value("ここで足します。<answer>8</answer>", "ja"), 1.0);
    }

    #[test]
    fn the_language_of_the_question_is_that_of_most_of_its_words() {
        assert_eq!(of_the_question("<think>we add 三个苹果</think>", "How many apples 呢?"), 2.0 / 6.0);
        assert_eq!(of_the_question("<think>we add 三个苹果</think>", "有几个苹果?"), 4.0 / 6.0);
        assert_eq!(of_the_question("<think>we add 三个苹果</think>", "3+5=?"), 4.0 / 6.0);
        assert_eq!(of_the_question("<think>三を足します</think>", "いくつですか?"), 1.0);
        assert_eq!(of_the_question("<think>3+5=8</think>", "3+5=?"), 1.0);
        assert_eq!(of_language("<think>we add 三个苹果</think>", "en"), Some(2.0 / 6.0));
        assert_eq!(of_language("", "xx"), None);
    }

    #[test]
    fn a_mixed_text_is_not_of_one_language() {
        assert!(one_language("add three and x"));
        assert!(one_language("1+1=2"));
        assert!(!one_language("add three 然后 two"));
        assert!(one_language("<think>先 1+2=3 再 3+3=6</think><answer>6</answer>"));
        assert!(!one_language("<think>先 1+2=3 then 3+3=6</think><answer>6</answer>"));
    }
}
