//! What a plan needs from the store: what must stay there so that nothing of it is made twice.

use crate::{
    base::digest::Digest,
    plan::{KeyFields, Plan, Step, StepId, differences},
    schedule::{FileDigests, Schedule, State, key_fields},
    store::{History, gc::Roots},
};

impl Schedule {
    /// Adds what the plan of this schedule needs: what its steps made, what they may turn out to have made once their
    /// inputs are there, and the states from which unfinished steps go on.
    pub fn needs(&self, plan: &Plan, files: &FileDigests, history: &dyn History, roots: &mut Roots) {
        for (step, scheduled) in plan.steps.iter().zip(&self.steps) {
            roots.objects.extend(scheduled.made.map(|done| done.output));
            match scheduled.state {
                State::Hit => {}
                State::Run => roots.keys.extend(scheduled.key),
                State::Waits => {
                    roots.all_unfinished = true;
                    roots.objects.extend(self.candidates(step, files, history));
                }
            }
        }
    }

    /// What a step that waits was made of before, as far as its own arguments and files tell: should its inputs come out
    /// as they were, it is one of these.
    fn candidates(&self, step: &Step, files: &FileDigests, history: &dyn History) -> Vec<Digest> {
        let stand_in = |id: StepId| {
            let made = self.get(id).and_then(|it| it.made).map(|done| done.output);
            made.or(Some(Digest::of(b"")))
        };
        let Some(now) = key_fields(step, files, &stand_in) else { return Vec::new() };
        let past = history.of_stage(&step.stage);
        let same = past.all().filter(|record| {
            let then: Option<KeyFields> = serde_json::from_value(record.fields.clone()).ok();
            then.is_some_and(|then| differences(&then, &now).iter().all(|it| it.input().is_some()))
        });
        same.map(|record| record.output).collect()
    }
}
