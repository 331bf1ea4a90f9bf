//! What `gc` removes or would remove: one line for each thing, and the sum.

use serde_json::{Value, json};

use super::format::{self, Align, counted};
use crate::store::gc::{Garbage, Item, Kind};

/// How many lines a person reads.
const SCREENFUL: usize = 40;

/// What was removed, or would be.
pub struct Report<'a> {
    pub garbage: &'a Garbage,
    /// What could go, and stays because others work with the store.
    pub spared: &'a [Item],
    /// The runs that are going on.
    pub live: &'a [String],
    /// Whether it was removed.
    pub removed: bool,
}

impl Report<'_> {
    /// As a person reads it.
    #[must_use]
    pub fn screen(&self) -> String {
        let garbage = self.garbage;
        let (rows, more) = garbage.items.split_at(garbage.items.len().min(SCREENFUL));
        let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        let aligns = [Align::Left, Align::Left, Align::Right, Align::Right, Align::Left];
        let mut text = format::columns(&rows, &aligns);
        if !more.is_empty() {
            text.push_str(&format!("  and {} more; `--json` lists all\n", format::count(more.len() as u64)));
        }
        text.push_str(&match (garbage.items.len(), self.removed) {
            (0, _) => "nothing to remove".to_owned(),
            (count, true) => format!("removed {}: {} freed", counted(count, "thing"), format::size(garbage.bytes())),
            (count, false) => format!("would remove {}: {}", counted(count, "thing"), format::size(garbage.bytes())),
        });
        if garbage.seconds() > 0.0 {
            text.push_str(&format!(", {} to make again", format::duration(garbage.seconds())));
        }
        text.push_str(&format!("; {} kept, {}\n", counted(garbage.kept, "object"), format::size(garbage.kept_bytes)));
        if !self.spared.is_empty() {
            let who = match self.live {
                [] => "another process works with the store".to_owned(),
                runs => format!("run {} is going on", runs.join(", ")),
            };
            let bytes = self.spared.iter().map(|item| item.bytes).sum();
            text.push_str(&format!("{} more could go, but {who}: run `gc` again later\n", format::size(bytes)));
        }
        text
    }

    /// As a program reads it.
    #[must_use]
    pub fn json(&self) -> Value {
        let garbage = self.garbage;
        json!({
            "removed": self.removed,
            "items": garbage.items.iter().map(item).collect::<Vec<_>>(),
            "bytes": garbage.bytes(),
            "seconds": garbage.seconds(),
            "kept": { "objects": garbage.kept, "bytes": garbage.kept_bytes },
            "spared": self.spared.iter().map(item).collect::<Vec<_>>(),
            "live": self.live,
        })
    }
}

fn row(item: &Item) -> Vec<String> {
    let name = match item.makers.as_slice() {
        [] => item.path.file_name().map_or_else(String::new, |it| it.to_string_lossy().chars().take(12).collect()),
        makers => makers.join(", "),
    };
    let note = match item.kind {
        Kind::Scratch => "left by a process that died",
        Kind::Damaged => "set aside",
        Kind::Finished => "its step is done",
        Kind::Abandoned => "nothing asks for its step",
        Kind::Object if item.makers.is_empty() => "no record of it",
        Kind::Object => "",
    };
    let time = if item.seconds > 0.0 { format::duration(item.seconds) } else { String::new() };
    vec![format!("  {}", word(item.kind)), name, format::size(item.bytes), time, note.to_owned()]
}

fn item(item: &Item) -> Value {
    json!({
        "kind": word(item.kind),
        "path": item.path,
        "bytes": item.bytes,
        "seconds": item.seconds,
        "makers": item.makers,
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Scratch => "scratch",
        Kind::Damaged => "damaged",
        Kind::Finished | Kind::Abandoned => "checkpoint",
        Kind::Object => "object",
    }
}
