//! The runs of a store: when, what, how each ended, and what it made.

use serde_json::{Value, json};

use super::{
    format::{self, Align},
    lineage::events,
    status::Standing,
};
use crate::{
    run::{Event, Status},
    store::Store,
};

/// What a run came to.
#[derive(Debug, Default)]
pub struct Run {
    pub id: String,
    pub recipe: Option<String>,
    pub sets: Vec<String>,
    pub steps: usize,
    pub made: usize,
    pub found: usize,
    pub failed: usize,
    pub seconds: f64,
    pub status: Option<Status>,
    pub live: bool,
    began: u64,
    last: u64,
}

impl Run {
    /// Reads a run's log.
    #[must_use]
    pub fn read(store: &Store, id: &str) -> Self {
        let mut run = Self { id: id.to_owned(), live: store.is_live(id), ..Self::default() };
        for logged in events(&store.run_file(id)) {
            if run.began == 0 {
                run.began = logged.at;
            }
            run.last = logged.at;
            match logged.event {
                Event::Plan { steps, recipe, sets, .. } => {
                    run.steps = steps;
                    run.recipe = recipe.map(|path| path.display().to_string());
                    run.sets = sets;
                }
                Event::StepHit { .. } => run.found += 1,
                Event::StepFinished { .. } => run.made += 1,
                Event::StepFailed { .. } => run.failed += 1,
                Event::Finished { status, .. } => run.status = Some(status),
                _ => {}
            }
        }
        run.seconds = run.last.saturating_sub(run.began) as f64 / 1e3;
        run
    }

    /// How it ended, in a word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.status, self.live) {
            (Some(Status::Done), _) => "done",
            (Some(Status::Failed), _) => "failed",
            (Some(Status::GateFailed), _) => "gate failed",
            (Some(Status::Waiting), _) => "waiting",
            (Some(Status::Interrupted), _) => "interrupted",
            (None, true) => "running",
            (None, false) => "killed",
        }
    }

    /// As an object for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "run": self.id, "began": self.began, "recipe": self.recipe, "sets": self.sets, "status": self.word(),
            "steps": self.steps, "made": self.made, "found": self.found, "failed": self.failed,
            "seconds": self.seconds,
        })
    }
}

/// The runs as a table, in the order given.
#[must_use]
pub fn table(runs: &[Run]) -> String {
    let heads = ["run", "began (UTC)", "recipe", "ended", "steps", "made", "found", "took"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for run in runs {
        let number = |count: usize| format::count(count as u64);
        rows.push(vec![
            run.id.clone(),
            format::date(run.began),
            run.recipe.clone().unwrap_or_else(|| "-".to_owned()),
            run.word().to_owned(),
            number(run.steps),
            number(run.made),
            number(run.found),
            format::duration(run.seconds),
        ]);
    }
    let [left, right] = [Align::Left, Align::Right];
    format::columns(&rows, &[left, left, left, left, right, right, right, right])
}

/// One run at length: what it was asked for, and how each step that it began stands.
#[must_use]
pub fn at_length(store: &Store, run: &Run) -> String {
    let mut standing = Standing::default();
    events(&store.run_file(&run.id)).for_each(|event| standing.add(&event));
    let mut text = standing.text(&run.id, run.live);
    let mut facts = vec![vec!["  began".to_owned(), format!("{} UTC", format::date(run.began))]];
    facts.extend(run.recipe.iter().map(|recipe| vec!["  recipe".to_owned(), recipe.clone()]));
    facts.extend(run.sets.iter().map(|set| vec!["  set".to_owned(), set.clone()]));
    facts.push(vec!["  found".to_owned(), format!("{} made before", format::counted(run.found, "step"))]);
    let facts = format::columns(&facts, &[Align::Left, Align::Left]);
    let end = text.find('\n').map_or(text.len(), |at| at + 1);
    text.insert_str(end, &facts);
    text
}
