//! Lays pieces out on lines: as much on one line as fits, and what does not fit below the bracket it stands in.

use super::{
    STEP, WIDTH,
    pieces::{Comment, Entry, Group, Piece, width},
};

/// Arguments hang below their bracket only where that leaves this much room for them.
const LEAST_ROOM: usize = 48;

/// The lines so far.
#[derive(Default)]
pub struct Page {
    pub text: String,
    column: usize,
}

impl Page {
    pub fn put(&mut self, text: &str) {
        self.text += text;
        self.column += text.chars().count();
    }

    pub fn pad(&mut self, columns: usize) {
        self.put(&" ".repeat(columns));
    }

    pub fn column(&self) -> usize {
        self.column
    }

    /// A new line, moved in.
    pub fn line(&mut self, indent: usize) {
        while self.text.ends_with(' ') {
            self.text.pop();
        }
        self.text.push('\n');
        self.column = 0;
        self.pad(indent);
    }

    /// Lays pieces out. `indent` is that of lines that go on with them, `tail` the room to leave after the last.
    pub fn pieces(&mut self, pieces: &[Piece<'_>], indent: usize, tail: usize) {
        for (at, piece) in pieces.iter().enumerate() {
            let rest = pieces.get(at + 1..).unwrap_or_default();
            let fresh = at > 0 && matches!(pieces.get(at - 1), Some(Piece::Comment { .. }));
            match piece {
                Piece::Word { text, blank, joins } => {
                    if *joins && at > 0 && !fresh && !self.fits(piece, rest, tail) {
                        self.line(indent + STEP);
                        self.put(text);
                        continue;
                    }
                    if *blank && at > 0 && !fresh {
                        self.put(" ");
                    }
                    self.put(text);
                }
                Piece::Group(group) => {
                    if group.blank && at > 0 && !fresh {
                        self.put(" ");
                    }
                    let (follow, _) = follow(rest, tail);
                    match group.width() {
                        Some(width) if self.column + width - usize::from(group.blank) + follow <= WIDTH => {
                            self.flat_group(group);
                        }
                        _ => self.broken(group, indent, follow),
                    }
                }
                Piece::Comment { text, own_line } => {
                    if *own_line {
                        self.line(indent + STEP);
                    } else {
                        self.put("  ");
                    }
                    self.put(text);
                    self.line(indent + STEP);
                }
            }
        }
    }

    /// Whether the pieces up to the next place where the line may be broken fit on it.
    fn fits(&self, piece: &Piece<'_>, rest: &[Piece<'_>], tail: usize) -> bool {
        let mut needed = piece.width().unwrap_or_default();
        let mut whole = true;
        for it in rest {
            if matches!(it, Piece::Word { joins: true, .. } | Piece::Comment { .. }) {
                return self.column + needed <= WIDTH;
            }
            match it.width() {
                Some(width) => needed += width,
                None => whole = false,
            }
        }
        whole && self.column + needed + tail <= WIDTH
    }

    fn flat(&mut self, pieces: &[Piece<'_>]) {
        for (at, piece) in pieces.iter().enumerate() {
            match piece {
                Piece::Word { text, blank, .. } => {
                    if *blank && at > 0 {
                        self.put(" ");
                    }
                    self.put(text);
                }
                Piece::Group(group) => {
                    if group.blank && at > 0 {
                        self.put(" ");
                    }
                    self.flat_group(group);
                }
                Piece::Comment { .. } => {}
            }
        }
    }

    fn flat_group(&mut self, group: &Group<'_>) {
        let brace = group.open == "{" && !group.entries.is_empty();
        self.put(group.open);
        if brace {
            self.put(" ");
        }
        for (at, entry) in group.entries.iter().enumerate() {
            if at > 0 {
                self.put(", ");
            }
            self.flat(&entry.pieces);
        }
        if brace {
            self.put(" ");
        }
        self.put(group.close);
    }

    /// A group over several lines.
    fn broken(&mut self, group: &Group<'_>, indent: usize, follow: usize) {
        self.put(group.open);
        let room = WIDTH.saturating_sub(self.column);
        let commented = group.width().is_none() && group.comments();
        if commented {
            self.one_per_line(group, indent);
        } else if group.open == "{" || room < LEAST_ROOM.max(widest(group).min(WIDTH / 2)) {
            self.line(indent + STEP);
            self.fill(&group.entries, indent + STEP, 0);
            self.line(indent);
            self.put(group.close);
        } else {
            self.fill(&group.entries, self.column, follow + 1);
            self.put(group.close);
        }
    }

    /// As many entries on each line as fit, all below the first.
    fn fill(&mut self, entries: &[Entry<'_>], indent: usize, tail: usize) {
        for (at, entry) in entries.iter().enumerate() {
            let after = if at + 1 < entries.len() { 1 } else { tail };
            if at > 0 {
                self.put(",");
                match entry.width() {
                    Some(width) if self.column + 1 + width + after <= WIDTH => self.put(" "),
                    _ => self.line(indent),
                }
            }
            self.pieces(&entry.pieces, indent, after);
        }
    }

    /// Every entry on a line of its own, with its comments.
    pub fn one_per_line(&mut self, group: &Group<'_>, indent: usize) {
        let inner = indent + STEP;
        if let Some(comment) = group.opening {
            self.put("  ");
            self.put(comment);
        }
        for (at, entry) in group.entries.iter().enumerate() {
            self.comments(&entry.lead, inner, at == 0);
            if entry.apart && !(at == 0 && entry.lead.is_empty()) {
                self.line(0);
            }
            self.line(inner);
            self.pieces(&entry.pieces, inner, 1);
            if at + 1 < group.entries.len() || group.commas {
                self.put(",");
            }
            if let Some(trail) = entry.trail {
                self.put("  ");
                self.put(trail);
            }
        }
        self.comments(&group.dangling, inner, group.entries.is_empty());
        self.line(indent);
        self.put(group.close);
    }

    fn comments(&mut self, comments: &[Comment<'_>], indent: usize, first: bool) {
        for (at, comment) in comments.iter().enumerate() {
            if comment.apart && !(first && at == 0) {
                self.line(0);
            }
            self.line(indent);
            self.put(comment.text);
        }
    }
}

/// The width of what follows a group up to where the line may be broken next, and whether that is its end.
fn follow(rest: &[Piece<'_>], tail: usize) -> (usize, bool) {
    let mut needed = 0;
    for it in rest {
        match it {
            Piece::Word { joins: true, .. } | Piece::Comment { .. } => return (needed, false),
            Piece::Word { .. } => needed += it.width().unwrap_or_default(),
            Piece::Group(group) => return (needed + 1 + usize::from(group.blank), false),
        }
    }
    (needed + tail, true)
}

fn widest(group: &Group<'_>) -> usize {
    group.entries.iter().filter_map(|it| width(&it.pieces)).max().unwrap_or_default()
}

impl Group<'_> {
    /// Whether comments stand directly in the group, not only in brackets within it.
    fn comments(&self) -> bool {
        let directly = |entry: &Entry<'_>| !entry.lead.is_empty() || entry.trail.is_some();
        self.opening.is_some() || !self.dangling.is_empty() || self.entries.iter().any(directly)
    }
}
