//! What a recipe says, before anyone asks what it means.

use crate::base::span::{SourceId, Span};

/// One recipe file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// The `##` comment at the head of the file, where an empty line divides it from the first item.
    pub docs: String,
    pub items: Vec<Item>,
}

/// A recipe may have a hundred thousand bindings: what is larger, and rarer, stands in a box.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Use(Use),
    Param(Box<Param>),
    Input(Box<Input>),
    Binding(Binding),
    Stage(StageItem),
    Test(Test),
    Require(Require),
    Output(Output),
}

impl File {
    /// The text that the file was parsed from, as far as its items tell.
    #[must_use]
    pub fn source(&self) -> SourceId {
        self.items.first().map(|it| it.span().source).unwrap_or_default()
    }
}

impl Item {
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Use(it) => it.span,
            Self::Param(it) => it.span,
            Self::Input(it) => it.span,
            Self::Binding(it) => it.span,
            Self::Stage(it) => it.span,
            Self::Test(it) => it.span,
            Self::Require(it) => it.span,
            Self::Output(it) => it.span,
        }
    }
}

/// A word and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

/// `use std.r1`, `use std.reward { accuracy, format }`, or `use ./other.rgm as other`.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// The recipe that is used, and the name by which this one calls it; a library where there is none.
    pub file: Option<(Name, Name)>,
    pub path: Vec<Name>,
    pub names: Vec<Name>,
    pub span: Span,
}

/// `param group: int = 16 in 2..64`.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub docs: String,
    pub name: Name,
    pub ty: Type,
    pub default: Option<Expr>,
    pub range: Option<(Expr, Expr)>,
    pub span: Span,
}

/// `input test: Dataset<problem> = "data/test.jsonl" as eval`.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub docs: String,
    pub name: Name,
    pub ty: Type,
    pub default: Option<Expr>,
    /// The digest that the file must have: `@ blake3:9f86..`.
    pub pin: Option<Name>,
    pub label: Option<Name>,
    pub span: Span,
}

/// `zero = grpo(base, math, ..)`, or `held_out = problems(..) as eval`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub docs: String,
    pub name: Name,
    pub value: Expr,
    pub label: Option<Name>,
    pub span: Span,
}

/// `stage sft(model: Model, ..) -> Model = builtin`, or with a body of items.
#[derive(Clone, Debug, PartialEq)]
pub struct StageItem {
    pub docs: String,
    /// `sft`, or `merge.linear`.
    pub path: Vec<Name>,
    pub params: Vec<StageParam>,
    pub returns: Type,
    pub body: StageBody,
    pub span: Span,
}

/// `test "the rate is learnt" { .. }`: a recipe of its own, which sees the stages of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub docs: String,
    pub name: Name,
    pub items: Vec<Item>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum StageBody {
    Builtin,
    Items(Vec<Item>),
}

/// `text: Dataset<text> as train` or `batch: int = 16 in 1..4096`.
#[derive(Clone, Debug, PartialEq)]
pub struct StageParam {
    pub docs: String,
    pub name: Name,
    pub ty: Type,
    pub default: Option<Expr>,
    pub range: Option<(Expr, Expr)>,
    pub label: Option<Name>,
    pub span: Span,
}

/// `require scores[r1].pass1 >= scores[dev1].pass1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    pub condition: Expr,
    pub span: Span,
}

/// `output r1, scores`.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub names: Vec<Name>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    pub kind: TypeKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `int`, `Model`, `Dataset<chat>`, `list<float>`, `Schedule<float>`.
    Named { name: Name, arguments: Vec<Type> },
    /// `text | chat`, `steps | epochs`.
    Union(Vec<Type>),
    /// `int?`.
    Optional(Box<Type>),
    /// `"token"`, one of the words that a choice is between.
    Text(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// `20M tokens`: the number with its suffix applied, and the word that follows it.
    Amount {
        value: f64,
        unit: Name,
    },
    Name(String),
    List(Vec<Expr>),
    /// `grpo(base, lr = 3e-6, seed)`, with `merge.linear(..)` as a field of `merge` that is called.
    Call {
        callee: Box<Expr>,
        arguments: Vec<Argument>,
    },
    /// `command("..", base) -> Model`: a call that says what it makes.
    Typed {
        call: Box<Expr>,
        ty: Box<Type>,
    },
    /// `scores.pass1`
    Field {
        of: Box<Expr>,
        name: Name,
    },
    /// `scores[r1]`
    Index {
        of: Box<Expr>,
        index: Box<Expr>,
    },
    Unary {
        op: UnaryOp,
        operand: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `5e-5 to 5e-6`, the first argument of a curve.
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
    },
    /// `A then B after 300 steps`
    Then {
        first: Box<Expr>,
        next: Box<Expr>,
        after: Box<Expr>,
    },
    /// `if scale == "quick" { 5 steps } else { 120 steps }`, decided when the plan is made.
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `for m in [zero, r1], s in [1, 2] { eval(m, test, seed = s) }`
    For {
        clauses: Vec<(Name, Expr)>,
        body: Box<Expr>,
    },
    /// `repeat i in 1..3 from m { sft(m, data, seed = i) }`: `m` is what the round before has made.
    Repeat {
        clause: Box<(Name, Expr)>,
        from: Box<Name>,
        start: Box<Expr>,
        body: Box<Expr>,
    },
    /// Something that could not be parsed and has been complained of.
    Missing,
}

/// One argument of a call. Without a name it is an input by position, or a name that stands for itself (`seed`).
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    pub name: Option<Name>,
    pub value: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Minus,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
}
