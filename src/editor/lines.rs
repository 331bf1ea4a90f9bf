//! Places as editors count them: lines from nought, and in a line the units of UTF-16.

use lsp_types::{Position, Range};

/// The byte of a position; the end of the line, or of the text, where it lies beyond.
#[must_use]
pub fn offset(text: &str, position: Position) -> usize {
    let mut start = 0;
    for _ in 0..position.line {
        match text.get(start..).and_then(|it| it.find('\n')) {
            Some(at) => start += at + 1,
            None => return text.len(),
        }
    }
    let line = text.get(start..).unwrap_or_default();
    let mut units = 0;
    for (at, character) in line.char_indices() {
        if units >= position.character || character == '\n' {
            return start + at;
        }
        units += character.len_utf16() as u32;
    }
    text.len()
}

/// The position of a byte.
#[must_use]
pub fn position(text: &str, offset: usize) -> Position {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let units = before.get(start..).unwrap_or_default().chars().map(char::len_utf16).sum::<usize>();
    Position::new(before.matches('\n').count() as u32, units as u32)
}

/// The range of some bytes.
#[must_use]
pub fn range(text: &str, start: usize, end: usize) -> Range {
    Range::new(position(text, start), position(text, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_units_of_utf16() {
        let text = "a\n\u{1f600}ß = b\n";
        let at = text.find('b').unwrap();
        assert_eq!(position(text, at), Position::new(1, 6));
        assert_eq!(offset(text, Position::new(1, 6)), at);
        assert_eq!(offset(text, Position::new(0, 99)), 1);
        assert_eq!(offset(text, Position::new(9, 0)), text.len());
    }
}
