//! Steps: the use of a built-in stage, and the files that stand for steps which read them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Evaluator,
    calls::{Placed, STEP},
    coerce::stand_in,
    limits,
    scope::Scope,
};
use crate::{
    base::{diagnostic::Diagnostic, named::Named, span::Span},
    lang::{
        StepId,
        kinds::{Kind, Kinds, unknown_kind},
        program::Call,
        signature::Signature,
        types::Type,
        values::{Artifact, Shape, Value},
    },
};

/// Arguments of a model's initialisation that do not decide what it can be merged with.
const BESIDE_THE_SHAPE: [&str; 3] = ["max_length", "seed", "std"];

impl<'a> Evaluator<'a> {
    /// Adds a step, and gives what it makes.
    pub(super) fn step(&mut self, stage: &'a Signature<'a>, values: Vec<Placed>, span: Span, scope: &Scope) -> Value {
        self.count(limits::PARTS_OF_A_STEP + values.iter().map(|(value, _)| value.parts() - 1).sum::<usize>(), span);
        let artifacts = || values.iter().flat_map(|(value, _)| value.artifacts());
        // What a stage holds its rows against leaves no trace in them but what is left out.
        let sources =
            || stage.parameters.iter().zip(&values).filter(|(it, _)| !it.examines).map(|(_, (value, _))| value);
        let taint = sources().find_map(|value| self.taint(value));
        let kinds = sources().flat_map(|value| value.artifacts());
        let kinds = kinds.filter_map(|it| if let Type::Dataset(kinds) = it.ty { Some(kinds) } else { None });
        let returns = self.returns(stage, kinds.collect(), &values);
        self.check_compatibility(stage, &values);
        self.check_lengths(stage, &values);
        let tokenizer = tokenizer(&values);
        let shape = match (&returns, artifacts().find(|it| it.ty == Type::Model)) {
            (Type::Model, Some(model)) => model.shape.clone(),
            (Type::Model, None) => shape(stage, &values),
            _ => None,
        };
        let mut call = Call {
            address: scope.address.to_string(),
            stage: stage.path.clone(),
            arguments: Named::default(),
            files: BTreeMap::new(),
            inputs: Named::default(),
            returns: returns.clone(),
            span,
            argument_spans: stage
                .parameters
                .iter()
                .zip(&values)
                .map(|(it, (_, span))| (it.key.clone(), *span))
                .collect(),
        };
        let mut arguments = Vec::with_capacity(stage.parameters.len());
        for (parameter, (value, span)) in stage.parameters.iter().zip(&values) {
            let name = parameter.key.clone();
            match value {
                value if parameter.ty.is_artifact() => {
                    let steps: Vec<StepId> = value.artifacts().filter_map(|it| it.step).collect();
                    if !steps.is_empty() {
                        call.inputs.insert(name, steps);
                    }
                }
                Value::Path(path) if parameter.ty.is_path() => {
                    call.files.insert(name.to_string(), path.into());
                }
                _ if parameter.ty.is_path() => {}
                value => {
                    let mut argument = self.constants.argument(*span, value);
                    if matches!(parameter.ty.present(), Type::Reward | Type::Schedule(_)) {
                        let mut steps = Vec::new();
                        let mut taken = Json::clone(&argument);
                        take_steps(&mut taken, &mut steps);
                        if !steps.is_empty() {
                            argument = taken.into();
                            call.inputs.insert(name.clone(), steps);
                        }
                    }
                    arguments.push((name, argument));
                }
            }
        }
        call.arguments = arguments.into_iter().collect();
        let origin = artifacts().find(|it| it.ty == Type::Model).and_then(|it| it.origin);
        let step = if self.dry { None } else { Some(self.add_call(call)) };
        let origin = origin.or(step);
        // A report tells of evaluation data without being it.
        let taint = taint.filter(|_| returns != Type::Report);
        let tokenizer = if returns == Type::Tokenizer { step } else { tokenizer };
        Value::Artifact(Artifact { step, ty: returns, taint, tokenizer, shape, origin, foreign: false })
    }

    /// What a step makes: for `Dataset` without a kind, rows of the kinds that come in, or of the kind it names.
    fn returns(&mut self, stage: &Signature<'_>, inherited: Kinds, values: &[Placed]) -> Type {
        let Type::Dataset(kinds) = &stage.returns else { return stage.returns.clone() };
        if *kinds != Kinds::ALL {
            return stage.returns.clone();
        }
        if !inherited.is_empty() {
            return Type::Dataset(inherited);
        }
        let kind = stage.position("kind").and_then(|at| values.get(at));
        let Some((Value::Text(word), span)) = kind else { return stage.returns.clone() };
        match Kind::parse(word) {
            Some(kind) => Type::Dataset(kind.into()),
            None => {
                self.diagnostics.push(unknown_kind(word, *span));
                stage.returns.clone()
            }
        }
    }

    /// The step that reads a file where an artifact is asked for.
    pub(super) fn load(&mut self, ty: &Type, path: String, span: Span, scope: &Scope) -> Value {
        let (name, kind) = match ty {
            Type::Dataset(kinds) => match kinds.only() {
                Some(kind) => ("dataset", Some(kind)),
                None => {
                    let complaint = Diagnostic::error(span, format!("expected {ty}, found str"));
                    let hint = format!("say what the rows are: `dataset(\"{path}\", kind = \"..\")`");
                    self.mistake(complaint.hint(hint));
                    return stand_in(ty);
                }
            },
            Type::Tokenizer => ("load_tokenizer", None),
            Type::RewardModel => ("load_reward_model", None),
            _ => ("load", None),
        };
        let Some(stage) = self.stage(name, scope) else { return stand_in(ty) };
        let file = Value::Path(self.overrides.resolve(path, span));
        let mut values = Vec::new();
        for parameter in &stage.parameters {
            let given = match parameter.name {
                _ if parameter.positional => Some(file.clone()),
                "kind" => kind.map(|kind| Value::Text(kind.name().to_owned())),
                _ => None,
            };
            let target = format!("{}.{}", scope.address, parameter.name);
            let set = self.overridden(&target, &parameter.ty, None);
            values.push(match (set.or(parameter.default), given) {
                (None, Some(value)) => (value, span),
                (Some(_), Some(value)) if set.is_none() => (value, span),
                (Some(expr), _) => (self.ranged(expr, &parameter.ty, parameter.range, scope), expr.span),
                (None, None) => (Value::None, span),
            });
        }
        let value = self.step(stage, values, span, scope);
        self.coerce(value, ty, span, scope)
    }
}

/// The tokenizer that what is made of these values has: the models' own, or the one that is given, or that of the text.
fn tokenizer(values: &[Placed]) -> Option<StepId> {
    let known = |wanted: &dyn Fn(&Type) -> bool| {
        let all = values.iter().flat_map(|(value, _)| value.artifacts());
        all.filter(|it| wanted(&it.ty)).find_map(|it| it.tokenizer)
    };
    let has_model = values.iter().flat_map(|(value, _)| value.artifacts()).any(|it| it.ty == Type::Model);
    match known(&|it| *it == Type::Model) {
        None if has_model => None,
        found => found
            .or_else(|| known(&|it| *it == Type::Tokenizer))
            .or_else(|| known(&|it| matches!(it, Type::Dataset(_)))),
    }
}

/// Replaces every step in a reward by its position among the artifacts that come with it, `{"input": 0}`.
fn take_steps(argument: &mut Json, steps: &mut Vec<StepId>) {
    match argument {
        Json::Object(members) => {
            let marked = members.get(STEP).filter(|_| members.len() == 1).and_then(Json::as_u64);
            let Some(step) = marked else {
                return members.values_mut().for_each(|it| take_steps(it, steps));
            };
            let step = StepId(step as usize);
            let at = steps.iter().position(|it| *it == step).unwrap_or_else(|| {
                steps.push(step);
                steps.len() - 1
            });
            *argument = json!({ "input": at });
        }
        Json::Array(elements) => elements.iter_mut().for_each(|it| take_steps(it, steps)),
        _ => {}
    }
}

/// The architecture that a stage gives the model it makes from nothing.
fn shape(stage: &Signature<'_>, values: &[Placed]) -> Option<Shape> {
    if stage.parameters.iter().any(|it| it.ty.is_path()) {
        return None;
    }
    let fields = stage.parameters.iter().zip(values).filter(|(parameter, (value, _))| {
        !parameter.ty.is_artifact()
            && !BESIDE_THE_SHAPE.contains(&parameter.name)
            && !matches!(value, Value::Unknown(_))
    });
    Some(Shape(fields.map(|(parameter, (value, _))| (parameter.name.to_owned(), value.to_json())).collect()))
}
