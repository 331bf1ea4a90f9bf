//! Numbers as people and models write them, compared exactly.

/// The longest text that is read as a number.
const LONGEST: usize = 256;

/// An exact fraction in lowest terms, with a positive denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    numerator: i128,
    denominator: i128,
}

/// A number, and whether it was written as a percentage.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    value: Fraction,
    percent: bool,
}

impl Number {
    /// The number that a text spells: `72`, `72.0`, `1,000`, `-5`, `1/2`, `\frac{1}{2}`, `$5`, `50%`, `2e3`, `18 eggs`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let text = text.replace('\u{2212}', "-").replace("\\!", "").replace("\\,", " ").replace("\\$", "$");
        let text = undress(text.trim());
        let (text, percent) = match ["\\%", "%", "percent", "pct"].iter().find_map(|sign| text.strip_suffix(sign)) {
            Some(rest) => (rest.trim_end(), true),
            None => (without_unit(text), false),
        };
        Some(Self { value: fraction(text)?, percent })
    }

    /// Whether both are the same number. A percentage is equal to its share and to its figure: questions that ask
    /// "what percent" are answered with and without the sign.
    #[must_use]
    pub fn equals(self, other: Self) -> bool {
        match (self.percent, other.percent) {
            (false, true) => other.equals(self),
            (true, false) => self.value == other.value || self.share() == Some(other.value),
            _ => self.value == other.value,
        }
    }

    fn share(self) -> Option<Fraction> {
        Fraction::new(self.value.numerator, self.value.denominator.checked_mul(100)?)
    }
}

impl Fraction {
    fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor = divisor(numerator.checked_abs()?, denominator.checked_abs()?);
        if denominator == 0 || divisor == 0 {
            return None;
        }
        let sign = denominator.signum();
        Some(Self { numerator: sign * numerator / divisor, denominator: sign * denominator / divisor })
    }

    fn over(self, other: Self) -> Option<Self> {
        let numerator = self.numerator.checked_mul(other.denominator)?;
        Self::new(numerator, self.denominator.checked_mul(other.numerator)?)
    }

    fn negative(self) -> Self {
        Self { numerator: -self.numerator, ..self }
    }
}

/// Takes off what stands around a number: dollars, brackets, a full stop, `x =`.
fn undress(text: &str) -> &str {
    let mut text = text;
    loop {
        let before = text;
        for (open, close) in [("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("{", "}")] {
            if let Some(inner) = text.strip_prefix(open).and_then(|it| it.strip_suffix(close)) {
                text = inner.trim();
            }
        }
        text = text.trim_end_matches(['.', '€', '£', '$']).trim();
        // A variable, and not a sum: of `x = 5` the right side is the answer.
        if let Some((left, right)) = text.split_once('=')
            && left.trim().chars().all(char::is_alphabetic)
        {
            text = right.trim();
        }
        if text == before {
            return text;
        }
    }
}

/// Drops one word after a number, such as `eggs`, `\text{ cm}` or `°`.
fn without_unit(text: &str) -> &str {
    let text = text.trim_end_matches('°').trim_end_matches("^\\circ").trim_end_matches("^{\\circ}");
    for command in ["\\text{", "\\mathrm{", "\\textbf{", "\\mbox{"] {
        if let Some((number, unit)) = text.split_once(command)
            && unit.strip_suffix('}').is_some_and(|it| it.chars().all(|c| c.is_alphabetic() || " .^²³".contains(c)))
        {
            return number.trim_end();
        }
    }
    match text.rsplit_once(' ') {
        Some((number, unit)) if unit.chars().all(char::is_alphabetic) => number.trim_end(),
        _ => text,
    }
}

fn fraction(text: &str) -> Option<Fraction> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // The sign may stand before or after the currency, but only once.
    let text = text.trim_start_matches(['$', '€', '£']).trim_start();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) if !negative => (true, rest),
        _ => (negative, text),
    };
    let value = match ["\\frac", "\\dfrac", "\\tfrac"].iter().find_map(|command| text.strip_prefix(command)) {
        Some(arguments) => {
            let (above, rest) = argument(arguments.trim_start())?;
            let (below, rest) = argument(rest.trim_start())?;
            if !rest.trim().is_empty() {
                return None;
            }
            signed(above)?.over(signed(below)?)?
        }
        None => match text.split_once('/') {
            Some((above, below)) => decimal(above.trim())?.over(signed(below.trim())?)?,
            None => decimal(text)?,
        },
    };
    Some(if negative { value.negative() } else { value })
}

/// One argument of a LaTeX command: what stands in braces, or a single character.
fn argument(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        Some(rest) => rest.split_once('}'),
        None => text.split_at_checked(1),
    }
}

fn signed(text: &str) -> Option<Fraction> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => decimal(rest).map(Fraction::negative),
        None => decimal(text),
    }
}

/// A number without a sign: digits, maybe grouped by threes, maybe a fraction, maybe a power of ten.
fn decimal(text: &str) -> Option<Fraction> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = ungrouped(whole)?;
    if (whole.is_empty() && part.is_empty()) || !part.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let part = part.trim_end_matches('0');
    let digits = format!("0{whole}{part}").parse::<i128>().ok()?;
    let scale = exponent.checked_sub(i32::try_from(part.len()).ok()?)?;
    let power = 10i128.checked_pow(scale.unsigned_abs())?;
    if scale < 0 { Fraction::new(digits, power) } else { Fraction::new(digits.checked_mul(power)?, 1) }
}

/// Digits without the separators between groups of three, which are all commas or all spaces.
fn ungrouped(text: &str) -> Option<String> {
    let separator = if text.contains(',') { ',' } else { ' ' };
    let groups: Vec<&str> = text.split(separator).collect();
    let digits = groups.iter().all(|group| group.bytes().all(|it| it.is_ascii_digit()));
    let first = groups.first().is_some_and(|group| (1..=3).contains(&group.len()));
    let threes = groups.iter().skip(1).all(|group| group.len() == 3);
    if digits && (groups.len() == 1 || (first && threes)) { Some(groups.concat()) } else { None }
}

fn divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(left: &str, right: &str) -> Option<bool> {
        Some(Number::parse(left)?.equals(Number::parse(right)?))
    }

    #[test]
    fn one_number_has_many_spellings() {
        let classes: [&[&str]; 6] = [
            &["72", "72.0", "+72", " 72. ", "$72$", "72.00", "7.2e1", "144/2", "**72**", "072", "x = 72", "72 eggs"],
            &["-5", "\u{2212}5", "- 5", "-5.", "$-5$", "-10/2", "5/-1", "-$5", "$-5", "-\\frac{10}{2}"],
            &["1000", "1,000", "1 000", "1e3", "$1,000", "\\$1,000.00", "1,000 dollars", "1000€"],
            &["0.5", "1/2", ".5", "\\frac{1}{2}", "\\dfrac12", "2/4", "50%", "50\\%", "50 percent", "50 pct"],
            &["90", "90°", "90^\\circ", "90\\text{ cm}", "$90\\,\\text{cm}$"],
            &["0", "-0", "0.0", "0/7"],
        ];
        for (index, class) in classes.iter().enumerate() {
            for left in *class {
                for (other, right) in classes.iter().enumerate().flat_map(|(i, it)| it.iter().map(move |it| (i, it))) {
                    if other == index {
                        assert_eq!(equal(left, right), Some(true), "{left} = {right}");
                    } else {
                        assert_eq!(equal(left, right), Some(false), "{left} = {right}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_percentage_is_its_share_and_its_figure() {
        assert_eq!(equal("28%", "28"), Some(true));
        assert_eq!(equal("28%", "0.28"), Some(true));
        assert_eq!(equal("28%", "0.28%"), Some(false));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in
            ["", "-", ".", "five", "1/0", "1,00", "1,0000", "--5", "1 2", "1.2.3", "3+5", "e5", "1e999", "5 or 6"]
        {
            assert!(Number::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn no_digit_is_rounded_away() {
        assert_eq!(equal("100000000000000000000000000001", "100000000000000000000000000000"), Some(false));
        assert_eq!(equal("1/3", "0.333333333333333333"), Some(false));
    }
}
