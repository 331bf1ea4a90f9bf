//! What an address or a digest stands for: the record, what went into it, the files, the figures.

use super::{
    format::{self, Align},
    value,
};
use crate::store::{Record, Store};

/// The records that a name stands for: the key or the object of that digest (its first digits are enough), else the
/// newest record of that address.
#[must_use]
pub fn find(store: &Store, name: &str) -> Vec<Record> {
    let mut records = store.records();
    let hex = name.len() >= 4 && name.chars().all(|c| c.is_ascii_hexdigit());
    let named = |record: &Record| hex && (record.key.hex().starts_with(name) || record.output.hex().starts_with(name));
    if records.iter().any(named) {
        records.retain(named);
        return records;
    }
    records.into_iter().find(|record| record.address == name).into_iter().collect()
}

/// All that a record says.
#[must_use]
pub fn record(store: &Store, record: &Record) -> String {
    let mut text = format!("{} ({})\n", record.address, record.stage);
    let state = if store.holds(record) { "" } else { "  (gone or damaged)" };
    let facts = [
        ("key", record.key.hex()),
        ("object", format!("{}{state}", record.output)),
        ("path", store.object(&record.output).display().to_string()),
        ("took", format::duration(record.seconds)),
        ("run", record.run.clone()),
    ];
    let mut rows: Vec<Vec<String>> = facts.into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect();
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Left]));

    text.push_str("made from\n");
    rows = Vec::new();
    for (name, field) in record.fields.as_object().into_iter().flatten() {
        match field.as_object() {
            Some(members) => {
                rows.extend(members.iter().map(|(name, field)| vec![format!("  {name}"), value::text(Some(field))]));
            }
            None if name == "stage" => {}
            None => rows.push(vec![format!("  {name}"), value::text(Some(field))]),
        }
    }
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Left]));

    text.push_str("files\n");
    let files = record.files.iter();
    rows = files.map(|it| vec![format!("  {}", it.name), format::size(it.bytes), it.digest.short()]).collect();
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Right, Align::Left]));
    if !record.metrics.is_empty() {
        text.push_str("last figures\n");
        rows = record.metrics.iter().map(|(name, it)| vec![format!("  {name}"), format::figure(*it)]).collect();
        text.push_str(&format::columns(&rows, &[Align::Left, Align::Right]));
    }
    text
}
