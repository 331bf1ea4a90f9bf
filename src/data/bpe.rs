//! Trains a byte-level BPE tokenizer whose bytes are a function of the texts and the size, and of nothing else.

use std::collections::HashSet;

use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, Tokenizer, Trainer,
    models::bpe::{BPE, BpeTrainer},
    normalizer::SplitDelimiterBehavior,
    pre_tokenizers::{
        PreTokenizerWrapper,
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
    utils::parallelism::set_parallelism,
};

use crate::data::DataError;

pub const PAD: &str = "<|pad|>";
pub const BOS: &str = "<|bos|>";
pub const EOS: &str = "<|eos|>";
pub const USER: &str = "<|user|>";
pub const ASSISTANT: &str = "<|assistant|>";

/// The tokens that texts cannot be split inside of, in the order of their ids.
pub const CONTROL: [&str; 5] = [PAD, BOS, EOS, USER, ASSISTANT];

/// The tags of thoughts and answers. They are text to a reader, so decoding never leaves them out.
pub const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// The fewest tokens a vocabulary can have: the special ones and one for every byte.
pub const SMALLEST: usize = CONTROL.len() + TAGS.len() + 256;

/// What merges never cross: a digit, a word or a run of signs with the space before it, a run of white space.
///
/// Digits stand one by one: a number is then read digit by digit, which small models need in order to reckon. Unlike the
/// pattern of GPT-2 this one looks at nothing beyond its match, so that it runs on an automaton and not on a
/// backtracking engine.
const WORDS: &str = r"\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+";

/// Trains on texts, up to `vocabulary` tokens; fewer come out where the texts have no more pairs to merge.
pub fn train(texts: &[String], vocabulary: usize) -> Result<Tokenizer, DataError> {
    if vocabulary < SMALLEST {
        return Err(DataError::Request(format!(
            "expected a vocabulary of at least {SMALLEST} tokens (the special ones and every byte), found {vocabulary}"
        )));
    }
    let fail = |error: tokenizers::Error| DataError::Tokenizer(error.to_string());
    // No other part of the program may bring threads in here: the counts would not change, but the order could.
    set_parallelism(false);
    let pattern = SplitPattern::Regex(WORDS.to_owned());
    let split = PreTokenizerWrapper::Sequence(Sequence::new(vec![
        Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(fail)?.into(),
        ByteLevel::new(false, true, false).into(),
    ]));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        // A pair seen once teaches nothing but that text.
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(added())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect::<HashSet<char>>())
        .build();
    let pieces = texts.iter().flat_map(|text| ordinary(text));
    trainer.feed(pieces, |piece| words(&split, piece)).map_err(fail)?;
    let mut model = BPE::default();
    trainer.train(&mut model).map_err(fail)?;

    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(split)).with_decoder(Some(ByteLevel::new(false, true, true)));
    tokenizer.add_special_tokens(added()).map_err(fail)?;
    Ok(tokenizer)
}

fn added() -> Vec<AddedToken> {
    let control = CONTROL.map(|it| AddedToken::from(it, true).normalized(false));
    let tags = TAGS.map(|it| AddedToken::from(it, false).normalized(false));
    control.into_iter().chain(tags).collect()
}

/// The stretches of a text between special tokens, so that no merge learns the spelling of a special token.
fn ordinary(text: &str) -> Vec<&str> {
    let mut pieces = vec![text];
    for token in CONTROL.iter().chain(&TAGS) {
        pieces = pieces.into_iter().flat_map(|piece| piece.split(token)).filter(|it| !it.is_empty()).collect();
    }
    pieces
}

fn words(split: &PreTokenizerWrapper, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut pieces = PreTokenizedString::from(text);
    split.pre_tokenize(&mut pieces)?;
    let pieces = pieces.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(pieces.into_iter().map(|(word, _, _)| word.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_part_the_text() {
        assert_eq!(ordinary("<|bos|>1+2<think>a < b</think>"), ["1+2", "a < b"]);
    }

    #[test]
    fn a_vocabulary_too_small_for_the_bytes_is_refused() {
        let error = train(&[], 100).err().unwrap().to_string();
        assert_eq!(error, "expected a vocabulary of at least 265 tokens (the special ones and every byte), found 100");
    }
}
