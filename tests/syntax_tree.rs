//! What each construct of the language becomes in the syntax tree.

use std::fmt::Write as _;

use regimen::{
    base::span::SourceId,
    syntax::{
        ast::{Argument, Expr, ExprKind, File, Item, Name, StageBody, Type, TypeKind},
        parse,
    },
};

/// The tree of a text that must be without mistakes, an item a line.
fn tree(text: &str) -> String {
    let (file, diagnostics) = parse(SourceId(0), text);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    show_file(&file)
}

fn show_file(file: &File) -> String {
    let docs = if file.docs.is_empty() { String::new() } else { format!("docs {:?}\n", file.docs) };
    docs + &file.items.iter().map(|it| item(it) + "\n").collect::<String>()
}

fn item(item: &Item) -> String {
    let bounds = |range: &Option<(Expr, Expr)>| {
        range.as_ref().map_or(String::new(), |(from, to)| format!(" in {} {}", expr(from), expr(to)))
    };
    let default = |value: &Option<Expr>| value.as_ref().map_or(String::new(), |it| format!(" = {}", expr(it)));
    let label = |label: &Option<Name>| label.as_ref().map_or(String::new(), |it| format!(" as {}", it.text));
    let docs = |docs: &str| if docs.is_empty() { String::new() } else { format!(" ## {docs:?}") };
    match item {
        Item::Use(it) => format!("use {} {{{}}}", names(&it.path, "."), names(&it.names, " ")),
        Item::Param(it) => {
            format!(
                "param {}: {}{}{}{}",
                it.name.text,
                ty(&it.ty),
                default(&it.default),
                bounds(&it.range),
                docs(&it.docs)
            )
        }
        Item::Input(it) => {
            format!(
                "input {}: {}{}{}{}",
                it.name.text,
                ty(&it.ty),
                default(&it.default),
                label(&it.label),
                docs(&it.docs)
            )
        }
        Item::Binding(it) => {
            format!("{} = {}{}{}", it.name.text, expr(&it.value), label(&it.label), docs(&it.docs))
        }
        Item::Test(it) => {
            let mut shown = format!("test {:?}{}", it.name.text, docs(&it.docs));
            it.items.iter().for_each(|it| shown += &format!("\n  {}", self::item(it)));
            shown
        }
        Item::Require(it) => format!("require {}", expr(&it.condition)),
        Item::Output(it) => format!("output {}", names(&it.names, " ")),
        Item::Stage(it) => {
            let mut shown = format!("stage {} -> {}{}", names(&it.path, "."), ty(&it.returns), docs(&it.docs));
            for it in &it.params {
                let tail = [default(&it.default), bounds(&it.range), label(&it.label), docs(&it.docs)].concat();
                write!(shown, "\n  ({}: {}{tail})", it.name.text, ty(&it.ty)).unwrap();
            }
            match &it.body {
                StageBody::Builtin => shown += "\n  builtin",
                StageBody::Items(items) => items.iter().for_each(|it| shown += &format!("\n  {}", self::item(it))),
            }
            shown
        }
    }
}

fn names(names: &[Name], between: &str) -> String {
    names.iter().map(|it| it.text.as_str()).collect::<Vec<_>>().join(between)
}

fn ty(shown: &Type) -> String {
    match &shown.kind {
        TypeKind::Named { name, arguments } if arguments.is_empty() => name.text.clone(),
        TypeKind::Named { name, arguments } => {
            format!("{}<{}>", name.text, arguments.iter().map(ty).collect::<Vec<_>>().join(", "))
        }
        TypeKind::Union(parts) => format!("({})", parts.iter().map(ty).collect::<Vec<_>>().join(" | ")),
        TypeKind::Optional(inner) => format!("{}?", ty(inner)),
        TypeKind::Text(word) => format!("{word:?}"),
    }
}

fn expr(shown: &Expr) -> String {
    let all = |parts: &[Expr]| parts.iter().map(expr).collect::<Vec<_>>().join(" ");
    match &shown.kind {
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Int(value) => value.to_string(),
        ExprKind::Float(value) => format!("{value:?}"),
        ExprKind::Text(value) => format!("{value:?}"),
        ExprKind::Amount { value, unit } => format!("<{value} {}>", unit.text),
        ExprKind::Name(name) => name.clone(),
        ExprKind::List(parts) => format!("[{}]", all(parts)),
        ExprKind::Call { callee, arguments } => {
            let argument = |it: &Argument| {
                it.name.as_ref().map_or(String::new(), |name| format!("{}: ", name.text)) + &expr(&it.value)
            };
            format!("{}({})", expr(callee), arguments.iter().map(argument).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Typed { call, ty } => format!("({} -> {})", expr(call), self::ty(ty)),
        ExprKind::Field { of, name } => format!("{}.{}", expr(of), name.text),
        ExprKind::Index { of, index } => format!("{}[{}]", expr(of), expr(index)),
        ExprKind::Unary { op, operand } => format!("({op:?} {})", expr(operand)),
        ExprKind::Binary { op, left, right } => format!("({op:?} {} {})", expr(left), expr(right)),
        ExprKind::Range { from, to } => format!("({}..{})", expr(from), expr(to)),
        ExprKind::Then { first, next, after } => format!("(then {} {} {})", expr(first), expr(next), expr(after)),
        ExprKind::If { condition, then, otherwise } => {
            format!("(if {} {} {})", expr(condition), expr(then), expr(otherwise))
        }
        ExprKind::For { clauses, body } => {
            let clauses: Vec<String> =
                clauses.iter().map(|(name, it)| format!("{} in {}", name.text, expr(it))).collect();
            format!("(for {} {})", clauses.join(", "), expr(body))
        }
        ExprKind::Repeat { clause, from, start, body } => {
            let (name, source) = &**clause;
            format!("(repeat {} {} {} {} {})", name.text, expr(source), from.text, expr(start), expr(body))
        }
        ExprKind::Missing => "?".to_owned(),
    }
}

const SIGNATURE: &str = r#"
## The file.

use std.r1
use std.reward { accuracy, format, }
## Answers per question.
## At least two.
param group: int = 16 in 2..64
param scale: str = "full"
input base: Model
input test: Dataset<problem> = "data/test.jsonl" as eval  # never trained on
output base, test
"#;

#[test]
fn the_signature_of_a_file() {
    insta::assert_snapshot!(tree(SIGNATURE), @r#"
    docs "The file."
    use std.r1 {}
    use std.reward {accuracy format}
    param group: int = 16 in 2 64 ## "Answers per question.\nAt least two."
    param scale: str = "full"
    input base: Model
    input test: Dataset<problem> = "data/test.jsonl" as eval
    output base test
    "#);
}

const NUMBERS: &str = r#"
a = [600k, 20M, 1_000, 1.5M, 3e-6, 0.5, 1e3, 2T, 1.0]
b = [10_400 steps, 20M tokens, 24 GiB, 2 h, -5 rows, 1.5 parsecs]
c = [1..3, 5e-5 to 5e-6, true, none, "a \"b\"\n\\"]
d = 5e-5
    to 5e-6
"#;

#[test]
fn numbers_amounts_and_texts() {
    insta::assert_snapshot!(tree(NUMBERS), @r#"
    a = [600000 20000000 1000 1500000 3e-6 0.5 1000.0 2000000000000 1.0]
    b = [<10400 steps> <20000000 tokens> <24 GiB> <2 h> (Minus <5 rows>) <1.5 parsecs>]
    c = [(1..3) (5e-5..5e-6) true none "a \"b\"\n\\"]
    d = (5e-5..5e-6)
    "#);
}

const OPERATORS: &str = r#"
a = 1 + 2 * 3 - 4 / -5
b = not x == y and z or w
c = (1 + 2) * 3
d = correct and length < 2k tokens
e = a then b after 300 steps then c after 500 steps
f = rules then rules + preference(taste) after 1_300 steps
g = 32k tokens then 64k tokens after 8_200 steps
h = 1 .. n + 1
require scores[r1].pass1 >= scores[dev1].pass1
"#;

#[test]
fn operators_bind_as_they_should() {
    insta::assert_snapshot!(tree(OPERATORS), @r#"
    a = (Subtract (Add 1 (Multiply 2 3)) (Divide 4 (Minus 5)))
    b = (Or (And (Not (Equal x y)) z) w)
    c = (Multiply (Add 1 2) 3)
    d = (And correct (Less length <2000 tokens>))
    e = (then (then a b <300 steps>) c <500 steps>)
    f = (then rules (Add rules preference(taste)) <1300 steps>)
    g = (then <32000 tokens> <64000 tokens> <8200 steps>)
    h = (1..(Add n 1))
    require (GreaterOrEqual scores[r1].pass1 scores[dev1].pass1)
    "#);
}

const CALLS: &str = r#"
zero = grpo(base, math, reward = rules, lr = cosine(5e-5 to 5e-6, warmup = 20 steps), seed,
            reference = refresh(400 steps),  # a comment ( in between
)
soup = merge.ties([dev2, r1,], base, density = 0.5).inner[0](x)
held = problems(seed = 3) as eval
size = if scale == "quick" { 5 steps } else if big { 10 steps } else { 120 steps }
scores = for m in [zero, r1], s in 1..3 { eval(m, test, seed = s) }
long = a
  + b
  then c
  after 3 steps
"#;

#[test]
fn calls_and_choices() {
    insta::assert_snapshot!(tree(CALLS), @r#"
    zero = grpo(base, math, reward: rules, lr: cosine((5e-5..5e-6), warmup: <20 steps>), seed, reference: refresh(<400 steps>))
    soup = merge.ties([dev2 r1], base, density: 0.5).inner[0](x)
    held = problems(seed: 3) as eval
    size = (if (Equal scale "quick") <5 steps> (if big <10 steps> <120 steps>))
    scores = (for m in [zero r1], s in (1..3) eval(m, test, seed: s))
    long = (then (Add a b) c <3 steps>)
    "#);
}

const STAGES: &str = r#"
## Supervised fine-tuning.
stage sft(
    model: Model,
    ## The texts to learn.
    data: Dataset<text | chat> as train,
    budget: steps | epochs = 1 epoch,
    lr: Schedule<float> = 1e-4 in 0..1,
    limit: (steps | epochs)? = none,
) -> Model = builtin

stage merge.linear(models: list<Model>, weights: list<float>? = none) -> Model = builtin
stage twice(model: Model, data: Dataset) -> Model {
    ## First.
    once = sft(model, data)

    again = sft(once,
                data)
    output again
}
stage nothing() -> Report { output x }
"#;

#[test]
fn stages() {
    insta::assert_snapshot!(tree(STAGES), @r#"
    stage sft -> Model ## "Supervised fine-tuning."
      (model: Model)
      (data: Dataset<(text | chat)> as train ## "The texts to learn.")
      (budget: (steps | epochs) = <1 epoch>)
      (lr: Schedule<float> = 0.0001 in 0 1)
      (limit: (steps | epochs)? = none)
      builtin
    stage merge.linear -> Model
      (models: list<Model>)
      (weights: list<float>? = none)
      builtin
    stage twice -> Model
      (model: Model)
      (data: Dataset)
      once = sft(model, data) ## "First."
      again = sft(once, data)
      output again
    stage nothing -> Report
      output x
    "#);
}

/// The recipe of the design page.
const RECIPE: &str = include_str!("fixtures/design.rgm");

#[test]
fn the_recipe_of_the_design_page() {
    insta::assert_snapshot!(tree(RECIPE), @r#"
    docs "DeepSeek-R1, the whole recipe."
    use std.r1 {}
    use std.reward {accuracy format language preference}
    param seed: int = 17
    param group: int = 16 in 2 64
    input base: Model = "models/v3-base"
    input cot: Dataset<chat> = "data/cold_start.jsonl"
    input math: Dataset<problem> = "data/math.jsonl"
    input general: Dataset<chat> = "data/general.jsonl"
    input test: Dataset<problem> = "data/test.jsonl" as eval
    rules = (Add accuracy format)
    zero = grpo(base, math, reward: rules, budget: <10400 steps>, lr: 3e-6, kl: 0.001, group, seed, reference: refresh(<400 steps>), max_length: (then <32000 tokens> <64000 tokens> <8200 steps>))
    drafts = sample(zero, math, n: 4, temperature: 1.0, seed)
    cold = review(rewrite(filter(drafts, where: (And correct readable)), with: base), guide: "docs/guide.md")
    dev1 = sft(base, mix([cot cold]), budget: <2 epochs>, lr: cosine((5e-5..5e-6)), seed)
    dev2 = grpo(dev1, math, reward: (Add rules language("en")), budget: <8000 steps>, clip: 10.0, group, seed)
    thoughts = reject(dev2, math, n: 16, keep: (And correct one_language), rows: 600000, seed)
    dev3 = sft(base, mix([thoughts general], rows: [600000 200000]), budget: <2 epochs>, lr: cosine((5e-5..5e-6)), seed)
    taste = reward_model(base, "data/pairs.jsonl", budget: <1 epoch>)
    r1 = grpo(dev3, mix([math general]), reward: (then rules (Add rules preference(taste)) <1300 steps>), budget: <1700 steps>, temperature: 0.7, group, seed)
    soup = merge.ties([dev2 r1], base, density: 0.5)
    scores = (for m in [zero dev1 dev2 dev3 r1 soup] eval(m, test, samples: 16))
    require (GreaterOrEqual scores[r1].pass1 scores[dev1].pass1)
    output r1 scores
    "#);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_say_nothing() {
    assert_eq!(
        tree("\u{feff}## Docs.\r\na = [1,\r\n2] # c\r\nb = \"x\"\r\n"),
        tree("## Docs.\na = [1, 2]\nb = \"x\"\n")
    );
}

#[test]
fn spans_cover_what_they_name() {
    let text = "a = f(x, lr = (1 + 2) * 3) as eval";
    let (file, _) = parse(SourceId(7), text);
    let [Item::Binding(binding)] = file.items.as_slice() else { panic!("one binding") };
    let ExprKind::Call { arguments, .. } = &binding.value.kind else { panic!("a call") };
    let slice = |span: regimen::base::span::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(binding.span.source, SourceId(7));
    let spans = [binding.span, binding.name.span, binding.value.span, arguments[1].value.span];
    assert_eq!(spans.map(slice), [text, "a", "f(x, lr = (1 + 2) * 3)", "(1 + 2) * 3"]);
}

/// A broken item keeps its name, and a broken body the items around the mistake.
#[test]
fn broken_items_are_kept_as_far_as_they_go() {
    let text = "x = f(\nparam p: int = )\ninput q\nstage s(a: int) -> Model {\n  y = )\n  output y\n}\nz = 3\n";
    let (file, diagnostics) = parse(SourceId(0), text);
    assert_eq!(diagnostics.iter().count(), 4);
    insta::assert_snapshot!(show_file(&file), @r#"
    x = ?
    param p: int = ?
    q = ?
    stage s -> Model
      (a: int)
      y = ?
      output y
    z = 3
    "#);
}
