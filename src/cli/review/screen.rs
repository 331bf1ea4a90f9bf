//! What a person sees of reviews: what waits, the rows of one, a row at length.

use serde_json::{Value, json};

use super::case::Case;
use crate::{
    base::decision::{Decision, Verdict},
    cli::CliError,
    data::sheet::parts,
    report::{
        self,
        format::{self, Align},
    },
};

/// How many letters of a row stand in a table.
const PREVIEW: usize = 72;

/// The reviews that wait.
pub fn list(cases: &[Case], json: bool) {
    let open: Vec<&Case> = cases.iter().filter(|case| !case.is_made()).collect();
    if json {
        for case in open {
            let (tally, people) = (case.tally(), case.decisions.people());
            println!(
                "{}",
                json!({
                    "step": case.address, "key": case.review.key(), "rows": tally.rows, "decided": tally.decided,
                    "done": tally.done, "asked": case.asked.at, "people": people, "damaged": case.damaged,
                    "file": case.review.rows_file(), "guide": case.review.guide_file(),
                })
            );
        }
        return;
    }
    if open.is_empty() {
        println!("nothing waits for a person");
        return;
    }
    let rows: Vec<Vec<String>> = open
        .iter()
        .map(|case| {
            vec![
                case.address.clone(),
                report::why::review(case.tally()),
                format!("asked {} UTC", format::date(case.asked.at)),
                case.review.key().short(),
            ]
        })
        .collect();
    print!("{}", format::columns(&rows, &[Align::Left; 4]));
}

/// What stands above the rows of a review.
pub fn head(case: &Case) {
    println!(
        "{}: {}, {}",
        case.address,
        format::counted(case.rows.len(), case.kind.name()),
        report::why::review(case.tally())
    );
    if let Some(guide) = case.review.guide_file() {
        println!("guide  {}", guide.display());
    }
    for person in case.decisions.people() {
        println!("  {}", report::lines::person(&person));
    }
    if !case.damaged.is_empty() {
        let lines: Vec<String> = case.damaged.iter().map(ToString::to_string).collect();
        let path = case.review.journal_file();
        println!("damaged: line {} of {}; what it said is to be decided anew", lines.join(", "), path.display());
    }
}

/// All rows of a review, a line each.
pub fn table(case: &Case, json: bool) {
    if json {
        case.all().iter().for_each(|row| println!("{}", told(case, *row)));
        return;
    }
    head(case);
    let rows: Vec<Vec<String>> = case
        .all()
        .iter()
        .map(|row| {
            let decision = case.on(*row);
            let word = decision.map_or("-", |it| it.verdict.name()).to_owned();
            let by = decision.map(|it| it.by.clone()).unwrap_or_default();
            vec![format!("  {row}"), word, by, preview(case, *row)]
        })
        .collect();
    print!("{}", format::columns(&rows, &[Align::Right, Align::Left, Align::Left, Align::Left]));
}

/// Some rows at length.
pub fn rows(case: &Case, rows: &[usize], json: bool) -> Result<(), CliError> {
    for row in rows {
        if json { println!("{}", told(case, *row)) } else { print!("{}", self::row(case, *row)) }
    }
    Ok(())
}

/// One row at length, with what each person said of it.
pub fn row(case: &Case, row: usize) -> String {
    let mut text = format!("row {row} of {}\n", case.rows.len());
    let Some((digest, line)) = row.checked_sub(1).and_then(|at| case.rows.get(at)) else { return text };
    text.push_str(&indented(case, line));
    for decision in case.decisions.all_on(digest) {
        text.push_str(&format!("  {}\n", said(decision)));
        if let Some(line) = &decision.edited {
            text.push_str(&indented(case, line));
        }
    }
    text
}

fn said(Decision { verdict, reason, by, at, .. }: &Decision) -> String {
    let word = match verdict {
        Verdict::Accept => "accepted",
        Verdict::Refuse => "refused",
        Verdict::Edit => "edited",
        Verdict::Undecided => "left undecided",
    };
    let reason = reason.as_deref().map(|it| format!(": {it}")).unwrap_or_default();
    format!("{word} by {by} ({} UTC){reason}", format::date(*at))
}

fn indented(case: &Case, line: &str) -> String {
    let object = serde_json::from_str(line).unwrap_or_default();
    let mut text = String::new();
    for (name, part) in parts(case.kind, &object) {
        text.push_str(&format!("  {name}\n"));
        part.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}

/// The parts of a row in one line, as far as they fit.
fn preview(case: &Case, row: usize) -> String {
    let line = row.checked_sub(1).and_then(|at| case.rows.get(at)).map(|(_, line)| line.as_str()).unwrap_or_default();
    let line = case.on(row).and_then(|it| it.edited.as_deref()).unwrap_or(line);
    let object = serde_json::from_str(line).unwrap_or_default();
    let parts: Vec<String> = parts(case.kind, &object).into_iter().map(|(_, part)| part).collect();
    let text = parts.join(" | ").split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= PREVIEW {
        return text;
    }
    text.chars().take(PREVIEW - 3).collect::<String>() + "..."
}

fn told(case: &Case, row: usize) -> Value {
    let (digest, line) = row.checked_sub(1).and_then(|at| case.rows.get(at)).cloned().unzip();
    let said = digest.map(|it| case.decisions.all_on(&it).to_vec()).unwrap_or_default();
    let content = line.and_then(|it| serde_json::from_str::<Value>(&it).ok());
    let decision = case.on(row);
    json!({
        "row": row, "digest": digest, "decision": decision.map_or(Verdict::Undecided, |it| it.verdict),
        "by": decision.map(|it| &it.by), "said": said, "content": content,
    })
}
