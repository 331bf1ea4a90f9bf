//! Puts the calls of a program into the order of a plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    lang::{Gate, Output, Program, StepId},
    plan::{Graph, Plan, Step},
};

impl Plan {
    /// The plan of a program without errors. `versions` gives the version of each stage's code.
    #[must_use]
    pub fn new(program: &Program, versions: &dyn Fn(&str) -> u32) -> Self {
        let order = order(program);
        let numbers: BTreeMap<StepId, StepId> = (0..).map(StepId).zip(&order).map(|(new, old)| (*old, new)).collect();
        let number = |old: StepId| numbers.get(&old).copied().unwrap_or(old);
        let steps: Vec<Step> = order
            .iter()
            .filter_map(|old| Some((number(*old), program.calls.get(old.0)?)))
            .map(|(id, call)| Step {
                id,
                address: call.address.clone(),
                stage: call.stage.clone(),
                version: versions(&call.stage),
                arguments: call.arguments.clone(),
                files: call.files.clone(),
                inputs: call
                    .inputs
                    .iter()
                    .map(|(port, steps)| (port.clone(), steps.iter().map(|it| number(*it)).collect()))
                    .collect(),
                returns: call.returns.clone(),
                span: call.span,
                argument_spans: call.argument_spans.clone(),
            })
            .collect();
        let keyed = |members: &[(String, StepId)]| -> Vec<(String, StepId)> {
            members.iter().map(|(key, step)| (key.clone(), number(*step))).collect()
        };
        Self {
            docs: program.docs.clone(),
            params: program.params.clone(),
            collections: program.collections.iter().map(|(name, it)| (name.clone(), keyed(it))).collect(),
            gates: program
                .gates
                .iter()
                .map(|it| Gate { condition: it.condition.renumbered(&number), ..it.clone() })
                .collect(),
            outputs: program
                .outputs
                .iter()
                .map(|(name, output)| {
                    let output = match output {
                        Output::Step(step) => Output::Step(number(*step)),
                        Output::Keyed(members) => Output::Keyed(keyed(members)),
                    };
                    (name.clone(), output)
                })
                .collect(),
            graph: Graph::new(&steps),
            steps,
        }
    }
}

/// What is needed comes first; of steps that could come next, the one whose address is first in the alphabet.
fn order(program: &Program) -> Vec<StepId> {
    let mut waiting: BTreeMap<StepId, usize> = BTreeMap::new();
    let mut users: BTreeMap<StepId, Vec<StepId>> = BTreeMap::new();
    let mut ready: BTreeSet<(&str, StepId)> = BTreeSet::new();
    for (id, call) in (0..).map(StepId).zip(&program.calls) {
        let needed: BTreeSet<StepId> = call.inputs.values().flatten().copied().collect();
        if needed.is_empty() {
            ready.insert((&call.address, id));
        }
        waiting.insert(id, needed.len());
        needed.into_iter().for_each(|it| users.entry(it).or_default().push(id));
    }
    let mut order = Vec::with_capacity(program.calls.len());
    while let Some((_, id)) = ready.pop_first() {
        order.push(id);
        for user in users.remove(&id).unwrap_or_default() {
            let Some(count) = waiting.get_mut(&user) else { continue };
            *count -= 1;
            if *count == 0
                && let Some(call) = program.calls.get(user.0)
            {
                ready.insert((&call.address, user));
            }
        }
    }
    order
}
