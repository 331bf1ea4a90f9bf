//! Walks a recipe and works out the value of everything in it, adding a call for every step on the way.

mod arguments;
mod calls;
mod coerce;
mod collections;
mod command;
mod comparisons;
mod compatibility;
mod composite;
mod constants;
mod expressions;
mod items;
mod limits;
mod operators;
mod order;
mod ports;
mod schedules;
mod scope;
mod steps;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    base::{
        diagnostic::{Diagnostic, Diagnostics},
        span::{SourceId, Sources},
        suggest::did_you_mean,
    },
    lang::{
        StepId,
        labels::Taint,
        names::Stages,
        overrides::Parsed,
        program::{Call, Program},
        signature::Signature,
        values::Value,
    },
    syntax::ast::{File, Test},
};
use constants::Constants;
use scope::{Frame, FrameId, Scope};

/// Evaluates a whole recipe, or one of its tests, which is a recipe of its own.
pub(super) fn program(
    sources: &Sources,
    recipe: &File,
    test: Option<&Test>,
    stages: &Stages<'_>,
    overrides: &Parsed,
) -> (Program, Diagnostics) {
    let mut evaluator = Evaluator {
        sources,
        stages,
        overrides,
        diagnostics: Diagnostics::default(),
        // The first frame is empty: defaults in signatures see no names but those of stages.
        frames: vec![Frame::new(String::new(), false, recipe.source())],
        path: Vec::new(),
        expanding: Vec::new(),
        expansions: 0,
        parts: 0,
        dry: false,
        untaken: false,
        constants: Constants::default(),
        tainted: BTreeMap::new(),
        targets: BTreeSet::new(),
        program: Program { docs: recipe.docs.clone(), ..Program::default() },
    };
    let items = test.map_or(&recipe.items, |test| &test.items);
    let frame = evaluator.open(items, String::new(), recipe.source());
    if test.is_none() {
        evaluator.check_stages();
        evaluator.program.tests = evaluator.check_tests(recipe);
    }
    evaluator.recipe(frame);
    if test.is_none() {
        evaluator.check_targets();
    }
    evaluator.check_addresses();
    (evaluator.program, evaluator.diagnostics)
}

/// The state of the walk. `'a` is the life of the syntax trees.
struct Evaluator<'a> {
    sources: &'a Sources,
    stages: &'a Stages<'a>,
    overrides: &'a Parsed,
    diagnostics: Diagnostics,
    frames: Vec<Frame<'a>>,
    /// The bindings being evaluated, each within the one before; a name that is met again closes a cycle.
    path: Vec<(FrameId, &'a str)>,
    /// The composite stages being expanded.
    expanding: Vec<&'a str>,
    expansions: usize,
    /// How many parts all values have so far.
    parts: usize,
    /// Whether what is evaluated will never run, such as a branch not taken. It is checked all the same.
    dry: bool,
    /// Whether what is evaluated stands in a branch not taken.
    untaken: bool,
    /// What many steps are called with.
    constants: Constants,
    /// The steps that rewards ask and that evaluation data flows into, with the way it took.
    tainted: BTreeMap<StepId, Taint>,
    /// Everything that `--set` may name; where it names nothing, nobody asks.
    targets: BTreeSet<String>,
    program: Program,
}

impl Evaluator<'_> {
    /// Complains, and gives the value that silences complaints about what follows from this one.
    fn mistake(&mut self, complaint: Diagnostic) -> Value {
        self.diagnostics.push(complaint);
        Value::MISTAKE
    }

    /// Evaluates something that will not run.
    fn dry<T>(&mut self, evaluate: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.dry, true);
        let value = evaluate(self);
        self.dry = before;
        value
    }

    fn add_call(&mut self, call: Call) -> crate::lang::StepId {
        self.program.calls.push(call);
        crate::lang::StepId(self.program.calls.len() - 1)
    }

    /// Complains of every two steps that share an address, so that neither could be named.
    fn check_addresses(&mut self) {
        // Only ever asked; a recipe may have a hundred thousand steps.
        let mut known: HashMap<&str, &Call> = HashMap::with_capacity(self.program.calls.len());
        for call in &self.program.calls {
            let Some(first) = known.insert(&call.address, call) else { continue };
            let complaint = Diagnostic::error(call.span, format!("two steps have the address `{}`", call.address))
                .label(first.span, "the first is made here")
                .hint("give one of them a name of its own, `name = ..`, and use that here");
            self.diagnostics.push(complaint);
        }
    }

    /// Complains of every `--set` that set nothing.
    fn check_targets(&mut self) {
        for one in self.overrides.iter() {
            if self.targets.contains(&one.target) {
                continue;
            }
            let names = self.targets.iter().map(String::as_str);
            let hint = did_you_mean(&one.target, names).or_else(|| self.suggest_target(&one.target));
            self.diagnostics.push(
                Diagnostic::error(one.target_span, format!("nothing to set at `{}`", one.target)).hint(
                    hint.unwrap_or_else(|| {
                        "name a param or an input, or an argument of a step, such as `dev1.lr`".into()
                    }),
                ),
            );
        }
    }

    /// What the parts of a mistyped target suggest, each looked at by itself.
    fn suggest_target(&self, target: &str) -> Option<String> {
        let arguments = |step: &str| {
            let prefix = format!("{step}.");
            let names: Vec<&str> =
                self.targets.iter().filter_map(|it| it.strip_prefix(&prefix)).filter(|it| !it.contains('.')).collect();
            (!names.is_empty()).then_some(names)
        };
        if let Some(names) = arguments(target) {
            return Some(format!("`{target}` is a step; its arguments are {}", names.join(", ")));
        }
        let (step, argument) = target.rsplit_once('.')?;
        if let Some(names) = arguments(step) {
            return did_you_mean(argument, names.iter().copied())
                .or_else(|| Some(format!("the arguments of `{step}` are {}", names.join(", "))));
        }
        let steps = self.targets.iter().filter_map(|it| it.rsplit_once('.')).map(|(step, _)| step);
        did_you_mean(step, steps)
    }
}

impl<'a> Evaluator<'a> {
    fn frame(&self, id: FrameId) -> Option<&Frame<'a>> {
        self.frames.get(id.0)
    }

    /// The stage that a path names where this scope stands.
    fn stage(&self, path: &str, scope: &Scope) -> Option<&'a Signature<'a>> {
        let stages = self.stages;
        stages.get(self.file(scope), path)
    }

    /// The file in which a scope stands.
    fn file(&self, scope: &Scope) -> SourceId {
        self.frame(scope.frame).map(|it| it.file).unwrap_or_default()
    }

    /// The address of a frame's own item.
    fn place(&self, frame: FrameId, name: &str) -> String {
        let prefix = self.frame(frame).map(|it| it.prefix.as_str()).unwrap_or_default();
        [prefix, name].concat()
    }
}
