//! Steps: the use of a built-in stage, and the files that stand for steps which read them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    Evaluator,
    calls::{Placed, STEP},
    coerce::stand_in,
    scope::Scope,
};
use crate::{
    base::{
        diagnostic::Diagnostic,
        named::{Name, Named},
        span::Span,
        suggest::did_you_mean,
    },
    lang::{
        StepId,
        figures::{is_report_field, report_fields},
        program::Call,
        signature::Signature,
        types::{Kind, Type, unknown_kind},
        values::{Artifact, Shape, Value},
    },
};

/// Arguments of a model's initialisation that do not decide what it can be merged with.
const BESIDE_THE_SHAPE: [&str; 3] = ["max_length", "seed", "std"];

/// How far upstream two tokenizers are compared.
const MOST_ALIKE: usize = 32;

impl<'a> Evaluator<'a> {
    /// Adds a step, and gives what it makes.
    pub(super) fn step(&mut self, stage: &'a Signature<'a>, values: Vec<Placed>, span: Span, scope: &Scope) -> Value {
        let artifacts = || values.iter().flat_map(|(value, _)| value.artifacts());
        // What a stage holds its rows against leaves no trace in them but what is left out.
        let sources =
            || stage.parameters.iter().zip(&values).filter(|(it, _)| !it.examines).map(|(_, (value, _))| value);
        let taint = sources().find_map(|value| self.taint(value));
        let kinds = sources().flat_map(|value| value.artifacts());
        let kinds = kinds.filter_map(|it| if let Type::Dataset(kinds) = &it.ty { Some(kinds) } else { None });
        let inherited = kinds.flatten().copied().collect::<Vec<Kind>>();
        let returns = self.returns(stage, inherited, &values);
        let fits = self.check_shapes(stage, &values);
        if stage.path.starts_with("merge.") {
            self.check_weights(stage, &values);
            if fits {
                self.check_merge(stage, &values);
            }
        }
        if stage.path == "best" {
            self.check_best(stage, &values);
        }
        self.check_tokenizers(stage, &values);
        self.check_lengths(stage, &values);
        let tokenizer = tokenizer(&values);
        let shape = match (&returns, artifacts().find(|it| it.ty == Type::Model)) {
            (Type::Model, Some(model)) => model.shape.clone(),
            (Type::Model, None) => shape(stage, &values),
            _ => None,
        };
        let mut call = Call {
            address: scope.address.clone(),
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
    fn returns(&mut self, stage: &Signature<'_>, mut inherited: Vec<Kind>, values: &[Placed]) -> Type {
        let Type::Dataset(kinds) = &stage.returns else { return stage.returns.clone() };
        if kinds.len() < Kind::ALL.len() {
            return stage.returns.clone();
        }
        if !inherited.is_empty() {
            inherited.sort_unstable();
            inherited.dedup();
            return Type::Dataset(inherited);
        }
        let kind = stage.position("kind").and_then(|at| values.get(at));
        let Some((Value::Text(word), span)) = kind else { return stage.returns.clone() };
        match Kind::parse(word) {
            Some(kind) => Type::Dataset(vec![kind]),
            None => {
                self.diagnostics.push(unknown_kind(word, *span));
                stage.returns.clone()
            }
        }
    }

    /// Models that go into one list become one model, so they must be of one architecture. Whether they are.
    fn check_shapes(&mut self, stage: &Signature<'_>, values: &[Placed]) -> bool {
        let mut fit = true;
        for (parameter, (value, span)) in stage.parameters.iter().zip(values) {
            if parameter.ty != Type::List(Box::new(Type::Model)) {
                continue;
            }
            if let Value::List(elements) = value
                && elements.is_empty()
            {
                let message = format!("`{}` needs at least one model", stage.path);
                self.diagnostics.push(Diagnostic::error(*span, message));
            }
            let models = value.keyed_artifacts();
            let known: Vec<_> = models.iter().filter_map(|(key, it)| Some((key, it.shape.as_ref()?))).collect();
            let Some(((first, one), rest)) = known.split_first() else { continue };
            for (key, other) in rest {
                let Some((field, a, b)) = one.difference(other) else { continue };
                let message = format!("cannot merge `{first}` and `{key}`: their architectures differ");
                let complaint = Diagnostic::error(*span, message)
                    .note(format!("`{field}` is {a} in `{first}` and {b} in `{key}`"))
                    .hint("merge models that come from one `init`");
                self.diagnostics.push(complaint);
                fit = false;
                break;
            }
        }
        fit
    }

    /// A merge has a weight for each model.
    fn check_weights(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        let argument = |name: &str| stage.position(name).and_then(|at| values.get(at));
        let (Some((Value::List(weights), span)), Some((Value::List(models), _))) =
            (argument("weights"), argument("models"))
        else {
            return;
        };
        if weights.len() != models.len() {
            let message = format!("expected a weight for each of {} models, found {}", models.len(), weights.len());
            self.diagnostics.push(Diagnostic::error(*span, message));
        }
    }

    /// A choice has a report for each model, and every report the figure to choose by.
    fn check_best(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        let argument = |name: &str| stage.position(name).and_then(|at| values.get(at));
        let (Some((models, _)), Some((reports, span)), Some((Value::Text(by), by_span))) =
            (argument("models"), argument("reports"), argument("by"))
        else {
            return;
        };
        // What stands in for a mistake is not counted.
        let count = |value: &Value| {
            let members = match value {
                Value::List(elements) => elements.len(),
                Value::Collection(members) => members.len(),
                _ => return None,
            };
            Some(members).filter(|it| *it == value.artifacts().count())
        };
        if let (Some(models), Some(reports)) = (count(models), count(reports))
            && models != reports
        {
            let message = format!("expected a report for each of {models} models, found {reports}");
            let complaint = Diagnostic::error(*span, message);
            self.diagnostics.push(complaint.hint("score each: `for model in models { eval(model, data) }`"));
        }
        // A report beside another model than the one it is of would choose the wrong one.
        let steps: Vec<Option<StepId>> = models.artifacts().map(|it| it.step).collect();
        for ((key, model), report) in models.keyed_artifacts().into_iter().zip(reports.artifacts()) {
            let call = report.step.and_then(|it| self.program.calls.get(it.0));
            let of = call.and_then(|it| it.inputs.get("model")?.first().copied());
            if of.is_some() && of != model.step && steps.contains(&of) {
                let complaint =
                    Diagnostic::error(*span, format!("the report beside `{key}` is of another of the models"));
                self.diagnostics.push(complaint.hint("put the reports into the order of the models"));
                return;
            }
        }
        for report in reports.artifacts().filter(|it| !it.foreign) {
            let made_by = report.step.and_then(|it| self.program.calls.get(it.0)).map(|it| it.stage.as_str());
            if made_by.is_some() && !is_report_field(made_by, by) {
                let fields = report_fields(made_by);
                let hint = did_you_mean(by, fields.iter().copied())
                    .unwrap_or_else(|| format!("its figures are {}", fields.join(", ")));
                let message = format!("the report has no figure `{by}`");
                self.diagnostics.push(Diagnostic::error(*by_span, message).hint(hint));
                return;
            }
        }
    }

    /// Whether two steps are one, or make the same of the same.
    fn is_one_step(&self, one: Option<StepId>, other: Option<StepId>) -> bool {
        // Where nothing runs nobody knows.
        let (Some(one), Some(other)) = (one, other) else { return true };
        let (Some(a), Some(b)) = (self.program.calls.get(one.0), self.program.calls.get(other.0)) else { return true };
        let same = |(port, steps): (&Name, &Vec<StepId>)| {
            let others = b.inputs.get(port).map(Vec::as_slice).unwrap_or_default();
            let mut pairs = steps.iter().zip(others);
            steps.len() == others.len() && pairs.all(|(a, b)| self.is_one_step(Some(*a), Some(*b)))
        };
        one == other
            || (&a.stage, &a.arguments, &a.files) == (&b.stage, &b.arguments, &b.files)
                && a.inputs.len() == b.inputs.len()
                && a.inputs.iter().all(same)
    }

    /// What is merged must fit the base, and hold experts that belong together.
    fn check_merge(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        let mut models: Vec<(String, &Artifact, Span)> = Vec::new();
        for (parameter, (value, span)) in stage.parameters.iter().zip(values) {
            for (key, artifact) in value.keyed_artifacts().into_iter().filter(|(_, it)| it.shape.is_some()) {
                let key = if key.is_empty() { parameter.name.to_owned() } else { key.to_string() };
                models.push((key, artifact, *span));
            }
        }
        let align = stage.position("align").and_then(|at| values.get(at));
        let stands = align.is_some_and(|(value, _)| *value == Value::None);
        let Some(((first, one, _), others)) = models.split_first() else { return };
        let Some(shape) = &one.shape else { return };
        for (key, other, span) in others {
            let difference = other.shape.as_ref().and_then(|other| shape.difference(other));
            let complaint = if let Some((field, a, b)) = difference {
                Diagnostic::error(*span, format!("cannot merge `{first}` and `{key}`: their architectures differ"))
                    .note(format!("`{field}` is {a} in `{first}` and {b} in `{key}`"))
                    .hint("merge models that come from one `init`")
            } else if shape.is_mixture() && stands && !self.is_one_step(one.origin, other.origin) {
                Diagnostic::error(
                    *span,
                    format!("cannot merge `{first}` and `{key}`: their experts do not belong together"),
                )
                .note("the n-th expert of one is the n-th of another only where both descend from one model")
                .hint("merge models that come from one `init`, or match experts with `align = \"permute\"`")
            } else {
                continue;
            };
            self.diagnostics.push(complaint);
            return;
        }
    }

    /// A text that was written for one tokenizer is of little use to a model that reads with another.
    fn check_tokenizers(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        // Most steps have nothing to compare, and are asked first.
        let own = |value: &Value| value.artifacts().any(|it| it.ty == Type::Model && it.tokenizer.is_some());
        if !values.iter().any(|(value, _)| own(value)) {
            return;
        }
        let keyed =
            values.iter().flat_map(|(value, span)| value.keyed_artifacts().into_iter().map(move |it| (it, *span)));
        let mut models = keyed
            .filter(|((_, it), _)| it.ty == Type::Model)
            .filter_map(|((key, it), span)| it.tokenizer.map(|tokenizer| (key, tokenizer, span)));
        let Some((first, own, _)) = models.next() else { return };
        for (key, other, span) in models {
            if !self.alike(own, other, MOST_ALIKE) {
                let complaint =
                    Diagnostic::error(span, format!("cannot merge `{first}` and `{key}`: their tokenizers differ"))
                        .note(format!("they read with `{}` and `{}`", self.address(own), self.address(other)))
                        .hint("merge models that come from one `init`");
                self.diagnostics.push(complaint);
                return;
            }
        }
        for (parameter, (value, span)) in stage.parameters.iter().zip(values).filter(|(it, _)| it.trains) {
            let other = value.artifacts().find_map(|it| it.tokenizer);
            let Some(other) = other.filter(|it| !self.alike(own, *it, MOST_ALIKE)) else { continue };
            let (own, other) = (self.address(own), self.address(other));
            let message =
                format!("`{}` is written for the tokenizer `{other}`, the model reads with `{own}`", parameter.name);
            let complaint = Diagnostic::error(*span, message);
            self.diagnostics.push(complaint.hint(format!("write it for the model: `tokenizer = {own}`")));
        }
    }

    fn address(&self, step: StepId) -> &str {
        self.program.calls.get(step.0).map_or("", |it| it.address.as_str())
    }

    /// Whether two steps make the same, as far as `depth` steps upstream tell.
    fn alike(&self, one: StepId, other: StepId, depth: usize) -> bool {
        if one == other || depth == 0 {
            return true;
        }
        let (Some(a), Some(b)) = (self.program.calls.get(one.0), self.program.calls.get(other.0)) else { return true };
        let same_inputs = |(a, b): (&Vec<StepId>, &Vec<StepId>)| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.alike(*a, *b, depth - 1))
        };
        a.stage == b.stage
            && a.arguments == b.arguments
            && a.files == b.files
            && a.inputs.len() == b.inputs.len()
            && a.inputs.values().zip(b.inputs.values()).all(same_inputs)
    }

    /// The step that reads a file where an artifact is asked for.
    pub(super) fn load(&mut self, ty: &Type, path: String, span: Span, scope: &Scope) -> Value {
        let (name, kind) = match ty {
            Type::Dataset(kinds) => match kinds.as_slice() {
                [kind] => ("dataset", Some(*kind)),
                _ => {
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

impl Shape {
    /// Whether tokens are sent to experts.
    fn is_mixture(&self) -> bool {
        let field = |name: &str| self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value);
        let architecture = field("architecture").and_then(Json::as_str).unwrap_or_default();
        architecture.contains("deepseek") || architecture.contains("moe")
    }

    /// The first field that two shapes know and disagree on.
    fn difference<'s>(&'s self, other: &'s Self) -> Option<(&'s str, &'s Json, &'s Json)> {
        self.0.iter().find_map(|(field, a)| {
            let (_, b) = other.0.iter().find(|(it, _)| it == field)?;
            (a != b).then_some((field.as_str(), a, b))
        })
    }
}
