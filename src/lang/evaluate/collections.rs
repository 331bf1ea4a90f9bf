//! Fan-out: `for m in [zero, r1] { .. }`, and the choice of one member by its key.

use std::collections::BTreeSet;

use super::{
    Evaluator,
    scope::{Address, Scope},
};
use crate::{
    base::{diagnostic::Diagnostic, span::Span, suggest::did_you_mean},
    lang::{
        types::Type,
        values::{Element, Value},
    },
    syntax::ast::{Expr, Name},
};

/// The most members that a range may make; a slip of a digit should not make a million steps.
const LONGEST_RANGE: i64 = 10_000;

impl<'a> Evaluator<'a> {
    pub(super) fn for_each(&mut self, clauses: &'a [(Name, Expr)], body: &'a Expr, scope: &Scope) -> Value {
        let mut members = Vec::new();
        let whole = self.clause(clauses, body, scope, &scope.address, (Vec::new(), 1), &mut members);
        if !whole {
            return Value::MISTAKE;
        }
        Value::Collection(members)
    }

    /// Goes over the first clause, and over the others within; false where a clause could not be gone over. `key` is that
    /// of the clauses before, which go over their members in so many `ways`. The members have their addresses `at` that of the whole.
    fn clause(
        &mut self,
        clauses: &'a [(Name, Expr)],
        body: &'a Expr,
        scope: &Scope,
        at: &Address,
        (key, ways): (Vec<String>, usize),
        members: &mut Vec<(Vec<String>, Value)>,
    ) -> bool {
        let Some(((name, source), rest)) = clauses.split_first() else {
            let word = key.join(", ");
            let scope = scope.at(Address::Member(at, &word));
            let value = self.eval(body, &scope);
            let fits = self.count(value.parts(), body.span);
            members.push((key, value));
            return fits;
        };
        let of = scope.at(Address::Argument(at, &name.text));
        let Some(elements) = self.elements(source, &of) else {
            // The body is looked at once all the same.
            let local = scope.variable(&name.text, Value::MISTAKE, name.text.clone());
            self.dry(|me| {
                me.clause(rest, body, &scope.with(&local), at, (vec![name.text.clone()], 1), &mut Vec::new())
            });
            return false;
        };
        if elements.is_empty() {
            let complaint = Diagnostic::error(source.span, "expected at least one member, found an empty list");
            self.mistake(complaint.hint("`for` over nothing makes nothing; name what to go over"));
            return false;
        }
        if let Some(twice) = repeated(elements.iter().map(|(keys, _)| keys.join(", "))) {
            let complaint = Diagnostic::error(source.span, format!("two members have the key `{twice}`"));
            self.mistake(complaint.hint("name each member once"));
            return false;
        }
        let ways = ways.saturating_mul(elements.len());
        let mut whole = self.fans_out(ways, source.span);
        for element in elements {
            if !self.fits() {
                return false;
            }
            let (keys, value) = element;
            let local = scope.variable(&name.text, value, keys.join(", "));
            let key = [key.clone(), keys].concat();
            whole &= self.clause(rest, body, &scope.with(&local), at, (key, ways), members);
        }
        whole
    }

    /// `repeat i in 1..3 from m { .. }`: what the last round makes, each round having what the one before has made.
    pub(super) fn repeat(
        &mut self,
        (name, source): &'a (Name, Expr),
        from: &'a Name,
        start: &'a Expr,
        body: &'a Expr,
        scope: &Scope,
    ) -> Value {
        let mut value = self.eval(start, &scope.argument(&from.text));
        let of = scope.argument(&name.text);
        let elements = self.elements(source, &of).unwrap_or_default().into_iter();
        let elements: Vec<Element> = elements.map(|(keys, value)| Element { key: keys.join(", "), value }).collect();
        let round = |me: &mut Self, element: Element, value: Value| {
            let Element { key, value: turn } = element;
            let scope = scope.member(&key);
            let turn = scope.variable(&name.text, turn, key.clone());
            let scope = scope.with(&turn);
            let before = scope.variable(&from.text, value, from.text.clone());
            me.eval(body, &scope.with(&before))
        };
        if elements.is_empty() {
            let stand_in = Element { key: name.text.clone(), value: Value::MISTAKE };
            self.dry(|me| round(me, stand_in, value));
            let complaint = Diagnostic::error(source.span, "expected at least one round, found an empty list");
            // Where it is not a list at all, that has been said.
            if !self.diagnostics.iter().any(|it| it.span == Some(source.span)) {
                self.diagnostics.push(complaint.hint("name the rounds, such as `1..3`"));
            }
            return Value::MISTAKE;
        }
        if let Some(twice) = repeated(elements.iter().map(|it| it.key.clone())) {
            let complaint = Diagnostic::error(source.span, format!("two rounds have the key `{twice}`"));
            return self.mistake(complaint.hint("name each round once"));
        }
        for element in elements {
            let next = round(self, element, value.clone());
            if !self.fits() {
                return Value::MISTAKE;
            }
            let (was, is) = (value.describe(), next.describe());
            let known = |it: &Value| !matches!(it, Value::Unknown(_));
            if was != is && known(&value) && known(&next) {
                let complaint = Diagnostic::error(body.span, format!("expected {was}, found {is}"));
                return self.mistake(complaint.hint("each round makes what the next starts from"));
            }
            value = next;
        }
        value
    }

    /// What `for` goes over, each with its key; members of a collection over several clauses have several.
    fn elements(&mut self, source: &'a Expr, scope: &Scope) -> Option<Vec<(Vec<String>, Value)>> {
        match self.eval(source, scope) {
            Value::List(elements) => Some(elements.into_iter().map(|it| (vec![it.key], it.value)).collect()),
            Value::Collection(members) => Some(members),
            Value::Unknown(Type::Unknown | Type::List(_)) => None,
            other => {
                let message = format!("expected a list, found {}", other.describe());
                self.mistake(Diagnostic::error(source.span, message).hint("write a list: `[zero, r1]`, or `1..3`"));
                None
            }
        }
    }

    /// `1..3` as the list of its whole numbers, both ends included.
    pub(super) fn range(&mut self, span: Span, from: &'a Expr, to: &'a Expr, scope: &Scope) -> Value {
        match (self.eval(from, scope), self.eval(to, scope)) {
            (Value::Int(from), Value::Int(to)) if to.saturating_sub(from) < LONGEST_RANGE => {
                Value::List((from..=to).map(|it| Element { key: it.to_string(), value: Value::Int(it) }).collect())
            }
            (Value::Int(_), Value::Int(_)) => {
                self.mistake(Diagnostic::error(span, format!("a range has at most {LONGEST_RANGE} members")))
            }
            (Value::Unknown(_), _) | (_, Value::Unknown(_)) => Value::MISTAKE,
            _ => {
                let hint = "a range of whole numbers is a list; a curve is `cosine(a to b)`";
                self.mistake(Diagnostic::error(span, "a range cannot stand here").hint(hint))
            }
        }
    }

    /// `scores[r1]`: the member with that key, or, of a collection over several clauses, the members that start with it.
    pub(super) fn index(&mut self, of: &'a Expr, index: &'a Expr, scope: &Scope) -> Value {
        let members: Vec<(Vec<String>, Value)> = match self.eval(of, scope) {
            Value::Collection(members) => members,
            Value::List(elements) => {
                let keyed = |(at, it): (usize, Element)| {
                    let by_position = self.sources.slice(index.span) == at.to_string();
                    (vec![if by_position { at.to_string() } else { it.key }], it.value)
                };
                elements.into_iter().enumerate().map(keyed).collect()
            }
            Value::Unknown(_) => return Value::MISTAKE,
            other => {
                let message = format!("{} has no members", other.describe());
                let hint = "only a list, or what `for` makes, has members";
                return self.mistake(Diagnostic::error(of.span, message).hint(hint));
            }
        };
        let has = |key: &str| members.iter().any(|(it, _)| it.first().is_some_and(|first| first == key));
        let mut key = self.key(index, scope);
        if !key.as_deref().is_some_and(has) {
            // Not the key itself, so perhaps the name of a param that holds the key.
            let known =
                self.frame(scope.frame).is_some_and(|frame| key.as_deref().is_none_or(|key| frame.contains(key)));
            let value = if known { self.eval(index, scope) } else { Value::None };
            key = match value {
                Value::Text(text) | Value::Path(text) => Some(text),
                Value::Int(value) => Some(value.to_string()),
                Value::Unknown(_) => return Value::MISTAKE,
                _ => key,
            };
        }
        // `0.001` is the member that is spelt `1e-3`.
        let number = |text: &str| text.replace('_', "").parse::<f64>().ok();
        if let Some(wanted) = key.as_deref().filter(|it| !has(it)).and_then(number) {
            let mut keys = members.iter().filter_map(|(key, _)| key.first());
            key = keys.find(|it| number(it) == Some(wanted)).cloned().or(key);
        }
        let Some(key) = key.filter(|key| has(key)) else {
            let mut keys: Vec<&str> = members.iter().filter_map(|(key, _)| Some(key.first()?.as_str())).collect();
            keys.dedup();
            let text = self.sources.slice(index.span);
            let hint = did_you_mean(text, keys.iter().copied())
                .unwrap_or_else(|| format!("the members are {}", keys.join(", ")));
            return self.mistake(Diagnostic::error(index.span, format!("no member `{text}`")).hint(hint));
        };
        let mut chosen: Vec<(Vec<String>, Value)> = members
            .into_iter()
            .filter(|(it, _)| it.first() == Some(&key))
            .map(|(it, value)| (it.into_iter().skip(1).collect(), value))
            .collect();
        match chosen.pop() {
            Some((rest, value)) if rest.is_empty() => value,
            Some(last) => {
                chosen.push(last);
                Value::Collection(chosen)
            }
            None => Value::MISTAKE,
        }
    }
}

/// A key that two elements have.
fn repeated(keys: impl Iterator<Item = String>) -> Option<String> {
    let mut seen = BTreeSet::new();
    keys.into_iter().find(|key| !seen.insert(key.clone()))
}
