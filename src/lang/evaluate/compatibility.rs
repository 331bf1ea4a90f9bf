//! Whether what goes into one step belongs together: architectures, weights, reports, tokenizers.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{Evaluator, calls::Placed};
use crate::{
    base::{diagnostic::Diagnostic, span::Span, suggest::did_you_mean},
    lang::{
        StepId,
        figures::{is_report_field, report_fields},
        signature::Signature,
        types::Type,
        values::{Artifact, Shape, Value},
    },
};

impl Evaluator<'_> {
    /// Checks what goes into a step against each other.
    pub(super) fn check_compatibility(&mut self, stage: &Signature<'_>, values: &[Placed]) {
        let fits = self.check_shapes(stage, values);
        if stage.path.starts_with("merge.") {
            self.check_weights(stage, values);
            if fits {
                self.check_merge(stage, values);
            }
        }
        if stage.path == "best" {
            self.check_best(stage, values);
        }
        self.check_tokenizers(stage, values);
    }

    /// Models that go into one list become one model, so they must be of one architecture. Whether they are.
    fn check_shapes(&mut self, stage: &Signature<'_>, values: &[Placed]) -> bool {
        let mut fit = true;
        for (parameter, (value, span)) in stage.parameters.iter().zip(values) {
            if !matches!(&parameter.ty, Type::List(inner) if **inner == Type::Model) {
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
            } else if shape.is_mixture() && stands && !self.descend_from_one(one, other) {
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
            if !self.alike(own, other) {
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
            let Some(other) = other.filter(|it| !self.alike(own, *it)) else { continue };
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

    /// Whether two models come of one; where nothing runs nobody knows.
    fn descend_from_one(&self, one: &Artifact, other: &Artifact) -> bool {
        one.origin.zip(other.origin).is_none_or(|(one, other)| self.alike(one, other))
    }

    /// Whether two steps are one, or make the same of the same.
    fn alike(&self, one: StepId, other: StepId) -> bool {
        let mut open = vec![(one, other)];
        let mut compared = BTreeSet::new();
        while let Some((one, other)) = open.pop() {
            if one == other || !compared.insert((one, other)) {
                continue;
            }
            let calls = &self.program.calls;
            let (Some(a), Some(b)) = (calls.get(one.0), calls.get(other.0)) else { continue };
            let same = (&a.stage, &a.arguments, &a.files) == (&b.stage, &b.arguments, &b.files);
            if !same || a.inputs.len() != b.inputs.len() {
                return false;
            }
            for (port, steps) in &a.inputs {
                let others = b.inputs.get(port).map(Vec::as_slice).unwrap_or_default();
                if steps.len() != others.len() {
                    return false;
                }
                open.extend(steps.iter().copied().zip(others.iter().copied()));
            }
        }
        true
    }
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
