//! The words of mathematical text: what commands and names mean, and which words are units.

use crate::reward::math::tokens::{Sign, Token};

/// Functions of one argument that are written before it.
pub const FUNCTIONS: &[&str] = &[
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "lg",
    "exp", "sqrt", "frac", "binom", "abs",
];

const GREEK: &[(&str, char)] = &[
    ("alpha", 'α'),
    ("beta", 'β'),
    ("gamma", 'γ'),
    ("delta", 'δ'),
    ("epsilon", 'ε'),
    ("varepsilon", 'ε'),
    ("zeta", 'ζ'),
    ("eta", 'η'),
    ("theta", 'θ'),
    ("kappa", 'κ'),
    ("lambda", 'λ'),
    ("mu", 'μ'),
    ("nu", 'ν'),
    ("xi", 'ξ'),
    ("pi", 'π'),
    ("rho", 'ρ'),
    ("sigma", 'σ'),
    ("tau", 'τ'),
    ("phi", 'φ'),
    ("varphi", 'φ'),
    ("chi", 'χ'),
    ("psi", 'ψ'),
    ("omega", 'ω'),
    ("Gamma", 'Γ'),
    ("Delta", 'Δ'),
    ("Theta", 'Θ'),
    ("Lambda", 'Λ'),
    ("Sigma", 'Σ'),
    ("Phi", 'Φ'),
    ("Psi", 'Ψ'),
    ("Omega", 'Ω'),
    ("ell", 'ℓ'),
];

/// Units that are too short to be told from symbols by their length; longer words after a number are units anyway.
const UNITS: &[&str] = &[
    "cm", "mm", "km", "dm", "nm", "kg", "mg", "lb", "lbs", "oz", "ft", "mi", "yd", "hr", "hrs", "sec", "secs", "min",
    "mins", "ms", "ml", "mL", "kW", "kWh", "Hz", "kHz", "MHz", "GHz", "Pa", "kPa", "mol", "rad", "mph", "kmh", "GB",
    "MB", "KB", "TB", "am", "pm", "USD", "EUR", "yrs", "cents", "deg", "cubic", "square", "units", "unit", "inch",
    "inches", "feet", "miles", "meters", "metres", "hours", "days", "years", "degrees", "dollars", "points",
];

/// Commands that only set the page.
const SILENT: &[&str] = &[
    "left",
    "right",
    "big",
    "Big",
    "bigg",
    "Bigg",
    "bigl",
    "bigr",
    "Bigl",
    "Bigr",
    "biggl",
    "biggr",
    "displaystyle",
    "textstyle",
    "limits",
    "nolimits",
    "quad",
    "qquad",
    "hspace",
    "phantom",
    "rm",
    "bf",
    "it",
    "middle",
    "hline",
];

/// Commands whose argument is taken as it is.
const TRANSPARENT: &[&str] = &[
    "boxed",
    "fbox",
    "mathbf",
    "boldsymbol",
    "mathit",
    "mathcal",
    "overline",
    "vec",
    "underline",
    "bm",
    "tilde",
    "hat",
];

/// Commands whose argument is text.
const TEXT: &[&str] =
    &["text", "textbf", "textit", "textrm", "mathrm", "mbox", "operatorname", "mathsf", "texttt", "hbox"];

/// What a command stands for.
pub enum Meaning {
    Token(Token),
    Silent,
    Transparent,
    Text,
    Unknown,
}

/// What the command `\name` stands for.
#[must_use]
pub fn command(name: &str) -> Meaning {
    let mark = |mark: char| Meaning::Token(Token::Mark(mark));
    let sign = |sign: Sign| Meaning::Token(Token::Sign(sign));
    if let Some((_, letter)) = GREEK.iter().find(|(it, _)| *it == name) {
        return Meaning::Token(Token::Letter(*letter));
    }
    if SILENT.contains(&name) {
        return Meaning::Silent;
    }
    if TRANSPARENT.contains(&name) {
        return Meaning::Transparent;
    }
    if TEXT.contains(&name) {
        return Meaning::Text;
    }
    match name {
        "dfrac" | "tfrac" | "cfrac" | "frac" => Meaning::Token(Token::Function("frac")),
        "dbinom" | "tbinom" | "binom" | "choose" => Meaning::Token(Token::Function("binom")),
        "times" | "cdot" | "ast" | "cdotp" | "bullet" => mark('*'),
        "div" => mark('/'),
        "cup" | "bigcup" => mark('∪'),
        "cap" | "bigcap" => mark('∩'),
        "setminus" | "backslash" => mark('∖'),
        "infty" => mark('∞'),
        "circ" | "degree" => mark('°'),
        "prime" => mark('\''),
        "emptyset" | "varnothing" => mark('∅'),
        "lvert" | "rvert" | "vert" | "mid" => mark('|'),
        "lfloor" => mark('⌊'),
        "rfloor" => mark('⌋'),
        "lceil" => mark('⌈'),
        "rceil" => mark('⌉'),
        "langle" | "lparen" => mark('('),
        "rangle" | "rparen" => mark(')'),
        "lbrack" => mark('['),
        "rbrack" => mark(']'),
        "lbrace" => mark('⦃'),
        "rbrace" => mark('⦄'),
        "colon" => mark(':'),
        "pm" => Meaning::Token(Token::PlusMinus(true)),
        "mp" => Meaning::Token(Token::PlusMinus(false)),
        "le" | "leq" | "leqslant" | "leqq" => sign(Sign::LessOrEqual),
        "ge" | "geq" | "geqslant" | "geqq" => sign(Sign::GreaterOrEqual),
        "lt" => sign(Sign::Less),
        "gt" => sign(Sign::Greater),
        "ne" | "neq" => sign(Sign::NotEqual),
        "approx" | "simeq" | "thickapprox" => sign(Sign::Near),
        "in" => sign(Sign::In),
        "equiv" => sign(Sign::Equal),
        "and" | "land" | "wedge" => Meaning::Token(Token::Text("and".to_owned())),
        "or" | "lor" | "vee" => Meaning::Token(Token::Text("or".to_owned())),
        _ => match FUNCTIONS.iter().find(|it| **it == name) {
            Some(function) => Meaning::Token(Token::Function(function)),
            None => Meaning::Unknown,
        },
    }
}

/// What a run of letters stands for, where it is more than letters beside each other.
#[must_use]
pub fn word(name: &str) -> Option<Token> {
    Some(match name {
        "pi" => Token::Letter('π'),
        "infinity" | "infty" | "inf" | "oo" => Token::Mark('∞'),
        "percent" | "pct" | "percentage" => Token::Mark('%'),
        "degrees" | "degree" => Token::Mark('°'),
        "and" | "or" => Token::Text(name.to_owned()),
        "arcsin" | "asin" => Token::Function("arcsin"),
        "arccos" | "acos" => Token::Function("arccos"),
        "arctan" | "atan" => Token::Function("arctan"),
        "in" => Token::Sign(Sign::In),
        _ => Token::Function(FUNCTIONS.iter().find(|it| **it == name && **it != "frac" && **it != "binom")?),
    })
}

/// Whether a word after a number is its unit. In running text a longer word is one whatever it says.
#[must_use]
pub fn is_unit(word: &str) -> bool {
    UNITS.contains(&word) || (word.chars().count() >= 4 && word.chars().all(char::is_lowercase))
}
