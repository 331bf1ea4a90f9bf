//! One review: its rows, what was decided on them, and the way to decide more.

use std::{path::Path, time::SystemTime};

use crate::{
    base::{
        decision::{Decision, Decisions, Entry, Tally, Verdict},
        digest::Digest,
        suggest::did_you_mean,
    },
    cli::{CliError, recipe::Planned},
    data::{
        DataError,
        rows::{Kind, Sample},
        sheet::{self, Sheet, Slip},
    },
    report::{self, format::counted},
    reward::answer::is_correct,
    run,
    stages::review::rows,
    store::{Asked, Review, Store},
};

/// A review with its rows.
pub struct Case {
    store: Store,
    pub review: Review,
    pub address: String,
    pub asked: Asked,
    pub kind: Kind,
    pub rows: Vec<(Digest, String)>,
    pub decisions: Decisions,
    /// The lines of the journal that are not as they were written.
    pub damaged: Vec<usize>,
}

/// The reviews of a recipe's steps, or all in the store; the newest first.
pub fn find(store: &Store, recipe: Option<&Planned>) -> Result<Vec<Case>, CliError> {
    let mut found = store.reviews();
    if let Some(planned) = recipe {
        let schedule = planned.schedule(store)?;
        let keys: Vec<Digest> = schedule.steps.iter().filter_map(|step| step.key).collect();
        found.retain(|(_, review)| keys.contains(review.key()));
    }
    found.into_iter().map(|(asked, review)| Case::read(store, asked, review)).collect()
}

/// The review that a step's address or the beginning of its key stands for.
pub fn named(cases: Vec<Case>, name: &str, recipe: Option<&Planned>, store: &Store) -> Result<Case, CliError> {
    let hex = name.len() >= 4 && name.chars().all(|c| c.is_ascii_hexdigit());
    let addresses: Vec<String> = cases.iter().map(|case| case.address.clone()).collect();
    let fits = |case: &Case| case.address == name || (hex && case.review.key().hex().starts_with(name));
    if let Some(case) = cases.into_iter().find(fits) {
        return Ok(case);
    }
    let step = recipe.and_then(|planned| planned.plan.at(name));
    Err(match step {
        Some(step) if step.stage != "review" => CliError::Unknown {
            message: format!("`{name}` is a step of `{}`, on which nobody decides", step.stage),
            hint: None,
        },
        Some(_) => CliError::Unknown {
            message: format!("`{name}` has nothing to decide on yet"),
            hint: Some("`regimen run` makes its rows first".to_owned()),
        },
        None => CliError::Unknown {
            message: format!("{} holds no review named `{name}`", store.root().display()),
            hint: did_you_mean(name, addresses.iter().map(String::as_str))
                .or(Some("`regimen review` lists what waits".to_owned())),
        },
    })
}

/// A word on a row.
pub fn slip(row: usize, verdict: Verdict, reason: Option<&str>) -> Slip {
    Slip { row, verdict, reason: reason.map(str::to_owned), edited: None, by: None }
}

impl Case {
    fn read(store: &Store, asked: Asked, review: Review) -> Result<Self, CliError> {
        let rows = rows(&review.rows_file())?;
        let journal = review.journal()?;
        Ok(Self {
            store: store.clone(),
            address: asked.address.clone(),
            kind: sheet::kind_of(&rows),
            decisions: journal.decisions,
            damaged: journal.damaged,
            review,
            asked,
            rows,
        })
    }

    pub fn tally(&self) -> Tally {
        let digests: Vec<Digest> = self.rows.iter().map(|(digest, _)| *digest).collect();
        self.decisions.tally(&digests)
    }

    pub fn is_made(&self) -> bool {
        self.review.is_made()
    }

    pub fn sheet(&self) -> Sheet<'_> {
        Sheet { kind: self.kind, rows: &self.rows }
    }

    pub fn all(&self) -> Vec<usize> {
        (1..=self.rows.len()).collect()
    }

    /// The rows on which nobody has decided; of equal rows the first, as they are decided together.
    pub fn open(&self) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let open = (1..).zip(&self.rows).filter(|(_, (digest, _))| self.decisions.on(digest).is_none());
        open.filter(|(_, (digest, _))| seen.insert(*digest)).map(|(row, _)| row).collect()
    }

    /// What stands on a row.
    pub fn on(&self, row: usize) -> Option<&Decision> {
        self.decisions.on(&self.rows.get(row.checked_sub(1)?)?.0)
    }

    /// What stands on rows, as a sheet shows it.
    pub fn slips(&self, rows: &[usize]) -> Vec<Slip> {
        let slip = |row: &usize| match self.on(*row) {
            None => slip(*row, Verdict::Undecided, None),
            Some(it) => Slip {
                row: *row,
                verdict: it.verdict,
                reason: it.reason.clone(),
                edited: it.edited.clone(),
                by: Some(it.by.clone()),
            },
        };
        rows.iter().map(slip).collect()
    }

    /// What stands above the rows of a sheet.
    pub fn head(&self) -> String {
        let guide = self.review.guide_file().map(|it| format!("The guide is {}\n", it.display())).unwrap_or_default();
        format!(
            "{}: {}, {}\n{guide}Write accept, refuse REASON or undecided behind `decision:`; a changed text is an edit.\n\
             A line that begins with `=== `, `--- ` or a backslash has a backslash before it.",
            self.address,
            counted(self.rows.len(), self.kind.name()),
            self.tally(),
        )
    }

    pub fn must_be_open(&self) -> Result<(), CliError> {
        if self.is_made() { Err(self.too_late()) } else { Ok(()) }
    }

    fn too_late(&self) -> CliError {
        CliError::Unknown {
            message: format!("`{}` is made from what was decided; nothing was recorded", self.address),
            hint: Some(format!("to decide again: `regimen review {} --reopen`", self.address)),
        }
    }

    /// Takes the decisions of a sheet; all of them, or none where something is wrong with it.
    pub fn take_sheet(&mut self, path: &Path, text: &str, by: &str) -> Result<(), CliError> {
        let slips = self.sheet().read(path, text).map_err(|errors| faulty(&errors))?;
        self.record(slips, by)
    }

    /// Records what is new in some slips. It is durable when this returns.
    pub fn record(&mut self, slips: Vec<Slip>, by: &str) -> Result<(), CliError> {
        let at = now();
        let mut entries: Vec<Entry> = Vec::new();
        let mut counts = [0_usize; 4];
        for Slip { row, verdict, reason, edited, by: slip_by } in slips {
            let Some((digest, line)) = row.checked_sub(1).and_then(|at| self.rows.get(at)) else { continue };
            let stands = self.decisions.on(digest);
            // A sheet tells whose word stood when it was written; whoever changes it has a word of his own.
            let by = slip_by.filter(|it| stands.is_none_or(|stands| stands.by != *it)).unwrap_or_else(|| by.to_owned());
            let decision = Decision { row: *digest, verdict, reason, edited, by, at, carried: None };
            if stands.map_or(verdict == Verdict::Undecided, |it| it.says(&decision)) {
                continue;
            }
            if let Some(note) = decision.edited.as_deref().and_then(|new| lost(line, new)) {
                eprintln!("note: row {row}: {note}");
            }
            if let Some(count) = Verdict::ALL.iter().position(|it| *it == verdict).and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
            self.decisions.add(Entry::Decision(decision.clone()));
            entries.push(Entry::Decision(decision));
        }
        if entries.is_empty() {
            println!("nothing new");
            return Ok(());
        }
        if !self.review.append(&entries)? {
            return Err(self.too_late());
        }
        let words = ["accepted", "refused", "edited", "taken back"];
        let counts = counts.iter().zip(words).filter(|(count, _)| **count > 0);
        let counts: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        println!("{}", counts.join(", "));
        Ok(())
    }

    /// Takes over what was decided on the same rows in other reviews of the step, whatever their guide.
    pub fn carry(&mut self, by: &str) -> Result<(), CliError> {
        let digests: Vec<Digest> = self.rows.iter().map(|(digest, _)| *digest).collect();
        let entries = run::earlier(&self.store, &self.review, &digests, |asked| asked.address == self.address)?;
        if !self.review.append(&entries)? {
            return Err(self.too_late());
        }
        println!("{} taken over, as {by} asked", counted(entries.len(), "decision"));
        entries.into_iter().for_each(|entry| self.decisions.add(entry));
        Ok(())
    }

    /// Says that what is undecided stays out.
    pub fn close(&mut self, by: &str) -> Result<(), CliError> {
        let entry = Entry::Done { by: by.to_owned(), at: now() };
        if !self.review.append(std::slice::from_ref(&entry))? {
            return Err(self.too_late());
        }
        self.decisions.add(entry);
        Ok(())
    }

    /// Takes decisions again.
    pub fn reopen(&mut self, by: &str) -> Result<(), CliError> {
        let entry = Entry::Reopen { by: by.to_owned(), at: now() };
        if self.review.reopen(&entry)? {
            println!("`{}` is to be made again: decide, then run", self.address);
        } else {
            println!("`{}` is open", self.address);
        }
        self.decisions.add(entry);
        Ok(())
    }

    /// Says how far the review is, and what to do next.
    pub fn tell(&self) {
        let tally = self.tally();
        let left = tally.rows - tally.decided;
        let next = match (tally.is_complete(), left) {
            (true, 0) => "; the next run goes on".to_owned(),
            (true, _) => format!("; {} left out; the next run goes on", counted(left, "undecided row")),
            (false, _) => String::new(),
        };
        println!("{}: {}{next}", self.address, report::why::review(tally));
    }
}

/// What a person should know of an edit: whether it lost the right answer.
fn lost(old: &str, new: &str) -> Option<&'static str> {
    let right = |line: &str| {
        let sample: Sample = serde_json::from_str(line).ok()?;
        Some(is_correct(&sample.completion, &sample.answer))
    };
    (right(old)? && !right(new)?).then_some("its answer was the right one and is no longer")
}

/// All that is wrong with a sheet, a line each.
fn faulty(errors: &[DataError]) -> CliError {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    CliError::Unknown {
        message: texts.join("\nerror: "),
        hint: Some("nothing was recorded; mend the sheet and hand it in again with `--from`".to_owned()),
    }
}

#[expect(clippy::disallowed_methods, reason = "the journal says when somebody decided")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}
