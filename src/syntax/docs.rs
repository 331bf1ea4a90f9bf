//! Finds the `##` comments that document an item, a stage's parameter or the whole file.

/// The `##` lines that stand directly above a place, where nothing else stands before it on its line.
pub fn above(text: &str, at: usize) -> String {
    let Some(before) = text.get(..at) else { return String::new() };
    let line_start = before.rfind('\n').map_or(0, |it| it + 1);
    let (Some(lines), Some(indent)) = (before.get(..line_start), before.get(line_start..)) else {
        return String::new();
    };
    if !indent.trim().is_empty() {
        return String::new();
    }
    let mut found: Vec<&str> = lines.lines().rev().map_while(line).collect();
    found.reverse();
    found.join("\n")
}

/// The `##` lines at the head of the file. An empty line, or an item that has no docs of its own, must follow them.
pub fn head(text: &str, first_item_has_docs: impl FnOnce() -> bool) -> String {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let found: Vec<&str> = text.lines().map_while(line).collect();
    let next = text.lines().nth(found.len()).unwrap_or_default();
    let is_divided = next.trim().is_empty() || next.trim_start().starts_with('#');
    if found.is_empty() || (!is_divided && first_item_has_docs()) { String::new() } else { found.join("\n") }
}

fn line(line: &str) -> Option<&str> {
    let text = line.trim_matches(|it: char| it.is_whitespace() || it == '\u{feff}').strip_prefix("##")?;
    Some(text.strip_prefix(' ').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_stand_directly_above() {
        let text = "## gone\n\n# note\n## One.\n##   Two.\nparam x: int\n";
        assert_eq!(above(text, text.find("param").unwrap()), "One.\n  Two.");
        assert_eq!(above(text, text.find("int").unwrap()), "");
    }

    #[test]
    fn the_head_is_divided_from_the_first_item() {
        assert_eq!(head("\n## The file.\n\nparam x: int", || true), "The file.");
        assert_eq!(head("## The param.\nparam x: int", || true), "");
        assert_eq!(head("## The file.\nuse std.r1", || false), "The file.");
    }
}
