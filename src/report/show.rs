//! What an address or a digest stands for: the record, what went into it, the files, the figures.

use super::{
    format::{self, Align},
    lineage::Lineage,
    lines, rows, trace, value,
};
use crate::store::{Record, Store};

/// All that a record says.
#[must_use]
pub fn record(store: &Store, lineage: &Lineage<'_>, record: &Record) -> String {
    let mut text = format!("{} ({})\n", record.address, record.stage);
    let state = if store.holds(record) { "" } else { "  (gone or damaged)" };
    let count = lineage.rows(&record.output).map(|rows| ("rows", format::count(rows)));
    let facts = [
        ("key", record.key.hex()),
        ("object", format!("{}{state}", record.output)),
        ("path", store.object(&record.output).display().to_string()),
        ("took", format::duration(record.seconds)),
        ("run", record.run.clone()),
    ];
    let mut rows: Vec<Vec<String>> =
        facts.into_iter().chain(count).map(|(name, value)| vec![format!("  {name}"), value]).collect();
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Left]));

    text.push_str("made from\n");
    rows = Vec::new();
    for (name, field) in record.fields.as_object().into_iter().flatten() {
        match field.as_object() {
            Some(_) if ["files", "inputs"].contains(&name.as_str()) => {}
            Some(members) => {
                rows.extend(members.iter().map(|(name, field)| vec![format!("  {name}"), value::text(Some(field))]));
            }
            None if name == "stage" => {}
            None => rows.push(vec![format!("  {name}"), value::text(Some(field))]),
        }
    }
    let sources = lineage.sources(record).into_iter();
    rows.extend(sources.map(|source| vec![format!("  {}", source.name), trace::described(lineage, &source)]));
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Left]));

    text.push_str("files\n");
    let files = record.files.iter();
    rows = files.map(|it| vec![format!("  {}", it.name), format::size(it.bytes), it.digest.short()]).collect();
    text.push_str(&format::columns(&rows, &[Align::Left, Align::Right, Align::Left]));
    if let Some(figures) = rows::figures(&store.object(&record.output)) {
        text.push_str("figures\n");
        text.push_str(&figures);
    }
    if let Some(review) = &record.review {
        text.push_str("decided on by\n");
        review.people.iter().for_each(|person| text.push_str(&format!("  {}\n", lines::person(person))));
        text.push_str(&format!("  decisions  {}\n", review.decisions.short()));
    } else if record.stage == "review" {
        text.push_str("decided on by nobody: every row was accepted unread\n");
    }
    if !record.metrics.is_empty() {
        text.push_str("last figures\n");
        rows = record.metrics.iter().map(|(name, it)| vec![format!("  {name}"), format::figure(*it)]).collect();
        text.push_str(&format::columns(&rows, &[Align::Left, Align::Right]));
    }
    text
}
