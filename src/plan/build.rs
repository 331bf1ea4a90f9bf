//! Puts the calls of a program into the order of a plan.

use std::collections::BTreeSet;

use crate::{
    base::device::Device,
    lang::{Call, Gate, Output, Program, StepId},
    plan::{Graph, Plan, Step},
};

impl Plan {
    /// The plan of a program without errors. `versions` gives the version of each stage's code.
    #[must_use]
    pub fn new(program: &Program, versions: &dyn Fn(&str) -> u32) -> Self {
        Self::of(program.clone(), versions)
    }

    /// As [`Plan::new`], of a program that nothing else needs: a large one is not copied.
    #[must_use]
    pub fn of(program: Program, versions: &dyn Fn(&str) -> u32) -> Self {
        let order = order(&program);
        let mut numbers = vec![StepId(0); program.calls.len()];
        for (new, old) in order.iter().enumerate() {
            numbers.get_mut(old.0).into_iter().for_each(|it| *it = StepId(new));
        }
        let number = |old: StepId| numbers.get(old.0).copied().unwrap_or(old);
        let mut calls: Vec<Option<Call>> = program.calls.into_iter().map(Some).collect();
        let calls = order.iter().filter_map(|old| calls.get_mut(old.0)?.take());
        let steps: Vec<Step> = (0..)
            .map(StepId)
            .zip(calls)
            .map(|(id, call)| {
                let mut inputs = call.inputs;
                inputs.values_mut().flatten().for_each(|it| *it = number(*it));
                Step {
                    id,
                    address: call.address,
                    version: versions(&call.stage),
                    device: Device::default(),
                    stage: call.stage,
                    arguments: call.arguments,
                    files: call.files,
                    inputs,
                    returns: call.returns,
                    span: call.span,
                    argument_spans: call.argument_spans,
                }
            })
            .collect();
        let keyed = |members: Vec<(String, StepId)>| -> Vec<(String, StepId)> {
            members.into_iter().map(|(key, step)| (key, number(step))).collect()
        };
        Self {
            docs: program.docs,
            params: program.params,
            collections: program.collections.into_iter().map(|(name, it)| (name, keyed(it))).collect(),
            gates: program
                .gates
                .into_iter()
                .map(|it| Gate { condition: it.condition.renumbered(&number), ..it })
                .collect(),
            outputs: program
                .outputs
                .into_iter()
                .map(|(name, output)| {
                    let output = match output {
                        Output::Step(step) => Output::Step(number(step)),
                        Output::Keyed(members) => Output::Keyed(keyed(members)),
                    };
                    (name, output)
                })
                .collect(),
            graph: Graph::new(&steps),
            steps,
        }
    }
}

/// What is needed comes first; of steps that could come next, the one whose address is first in the alphabet.
fn order(program: &Program) -> Vec<StepId> {
    let mut waiting = vec![0_usize; program.calls.len()];
    let mut users: Vec<Vec<StepId>> = vec![Vec::new(); program.calls.len()];
    let mut ready: BTreeSet<(&str, StepId)> = BTreeSet::new();
    for ((id, call), waiting) in (0..).map(StepId).zip(&program.calls).zip(&mut waiting) {
        let mut needed: Vec<StepId> = call.inputs.values().flatten().copied().collect();
        needed.sort_unstable();
        needed.dedup();
        if needed.is_empty() {
            ready.insert((&call.address, id));
        }
        *waiting = needed.len();
        for it in needed {
            users.get_mut(it.0).into_iter().for_each(|users| users.push(id));
        }
    }
    let mut order = Vec::with_capacity(program.calls.len());
    while let Some((_, id)) = ready.pop_first() {
        order.push(id);
        for user in users.get_mut(id.0).map(std::mem::take).unwrap_or_default() {
            let Some(count) = waiting.get_mut(user.0) else { continue };
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
