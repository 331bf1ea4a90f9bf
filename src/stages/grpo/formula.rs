//! The loss that arguments come to, as a formula: what GRPO means differs from library to library.

use std::fmt::Write;

use serde_json::Value;

use super::{
    advantage::Normalize,
    arguments::{Arguments, read},
    objective::{Estimator, Level, Surrogate},
    weights::Aggregate,
};

/// How many letters of rules a line holds.
const WIDTH: usize = 100;

/// The loss, what its letters stand for, and what else decides over what is learnt; None of arguments that are not those
/// of the stage.
#[must_use]
pub fn formula(arguments: &Value) -> Option<Vec<String>> {
    let arguments = read(arguments).ok()?;
    let mut lines = vec![loss(&arguments), format!("where {}", letters(&arguments).join(", "))];
    // As many rules on a line as a screen takes.
    let mut line = String::new();
    for rule in rules(&arguments) {
        if !line.is_empty() && line.chars().count() + rule.chars().count() > WIDTH {
            lines.push(std::mem::take(&mut line) + ";");
        }
        line = if line.is_empty() { rule } else { format!("{line}; {rule}") };
    }
    lines.push(line);
    Some(lines)
}

/// The sum over answers and tokens.
fn loss(arguments: &Arguments) -> String {
    let policy = policy(arguments);
    let by_answer = arguments.importance_sampling_level == Level::Product || is_sequence_clip(arguments);
    let divergence = match (arguments.kl > 0.0, arguments.use_bias_correction_kl) {
        (false, _) => String::new(),
        (true, false) => format!(" - {} {}", arguments.kl, estimator(arguments)),
        (true, true) => format!(" - {} {} {}", arguments.kl, ratio(arguments), estimator(arguments)),
    };
    let term = if divergence.is_empty() { policy } else { format!("[{policy}{divergence}]") };
    // Where every token of an answer has the same term, the sum over its tokens is a factor.
    let token_free =
        by_answer && arguments.top_entropy_quantile >= 1.0 && (divergence.is_empty() || is_product(arguments));
    let sum = match (arguments.loss, token_free) {
        (Aggregate::Token, false) => "-1/Σ|o| Σ_i Σ_t",
        (Aggregate::Token, true) => "-1/Σ|o| Σ_i |o_i|",
        (Aggregate::Rollout, false) => "-B/Σ|o| Σ_i Σ_t",
        (Aggregate::Rollout, true) => "-B/Σ|o| Σ_i |o_i|",
        (Aggregate::Sequence, false) => "-1/N Σ_i 1/|o_i| Σ_t",
        (Aggregate::Sequence, true) => "-1/N Σ_i",
        (Aggregate::Constant, false) => "-1/(N L) Σ_i Σ_t",
        (Aggregate::Constant, true) => "-1/(N L) Σ_i |o_i|",
        (Aggregate::Sum, false) => "-1/N Σ_i Σ_t",
        (Aggregate::Sum, true) => "-1/N Σ_i |o_i|",
    };
    let entropy = match arguments.entropy_coef {
        coef if coef > 0.0 => format!(" - {coef} mean H_t"),
        _ => String::new(),
    };
    format!("loss = {sum} {term}{entropy}")
}

fn is_product(arguments: &Arguments) -> bool {
    arguments.importance_sampling_level == Level::Product && arguments.surrogate != Surrogate::Cispo
}

/// Whether the policy's part is the same for all tokens of an answer.
fn is_sequence_clip(arguments: &Arguments) -> bool {
    arguments.importance_sampling_level == Level::Sequence && arguments.surrogate != Surrogate::Cispo
}

fn ratio(arguments: &Arguments) -> &'static str {
    if arguments.importance_sampling_level == Level::Sequence { "s" } else { "r" }
}

fn estimator(arguments: &Arguments) -> &'static str {
    match arguments.kl_estimator {
        Estimator::K1 => "k1",
        Estimator::K2 => "k2",
        Estimator::K3 => "k3",
    }
}

fn policy(arguments: &Arguments) -> String {
    let ratio = ratio(arguments);
    let (low, high) = (rounded(1.0 - arguments.clip_low), rounded(1.0 + arguments.clip_high));
    match (arguments.surrogate, arguments.delta) {
        (Surrogate::Clip, None) => format!("min({ratio} A, clip({ratio}, {low}, {high}) A)"),
        (Surrogate::Clip, Some(delta)) => {
            format!("min(min({ratio}, {}) A, clip({ratio}, {low}, {high}) A)", rounded(delta))
        }
        (Surrogate::Cispo, _) => format!("sg(clip({ratio}, {low}, {high})) A log π(o_t)"),
        (Surrogate::Sapo, _) => format!("4/τ sigmoid(τ ({ratio} - 1)) A"),
    }
}

fn letters(arguments: &Arguments) -> Vec<String> {
    let mut letters = Vec::new();
    letters.push(match arguments.importance_sampling_level {
        Level::Token => "r = π(o_t)/π_old(o_t)".to_owned(),
        Level::Sequence => "s = (π(o)/π_old(o))^(1/|o|)".to_owned(),
        Level::Product => "r = π(o)/π_old(o)".to_owned(),
    });
    letters.push(match arguments.normalize {
        Normalize::Group => "A = (R - mean)/std of the group".to_owned(),
        Normalize::Batch => "A = (R - mean of the group)/std of the batch".to_owned(),
        Normalize::None => "A = R - mean of the group".to_owned(),
    });
    if arguments.surrogate == Surrogate::Sapo {
        let (positive, negative) = (arguments.sapo_temperature_pos, arguments.sapo_temperature_neg);
        letters.push(format!("τ = {positive} where A > 0, else {negative}"));
    }
    if arguments.kl > 0.0 {
        let of = if arguments.importance_sampling_level == Level::Product { "o" } else { "o_t" };
        letters.push(match arguments.kl_estimator {
            Estimator::K1 => "k1 = -log x".to_owned(),
            Estimator::K2 => "k2 = (log x)²/2".to_owned(),
            Estimator::K3 => "k3 = x - log x - 1".to_owned(),
        });
        letters.push(format!("x = π_ref({of})/π({of})"));
    }
    if arguments.entropy_coef > 0.0 {
        letters.push("H_t = the entropy of π at o_t".to_owned());
    }
    if arguments.loss == Aggregate::Constant {
        letters.push("L = max_length".to_owned());
    }
    if arguments.loss == Aggregate::Rollout {
        letters.push("B = minibatches".to_owned());
    }
    letters
}

/// What a formula does not say.
fn rules(arguments: &Arguments) -> Vec<String> {
    let mut rules = Vec::new();
    let answers = arguments.prompts * arguments.group;
    let noun = if arguments.prompts == 1 { "question" } else { "questions" };
    let mut batch = format!("{} {noun} of {} answers", arguments.prompts, arguments.group);
    if arguments.minibatches > 1 {
        let size = answers.div_ceil(arguments.minibatches);
        let _ = write!(batch, " in {} minibatches of N = {size}", arguments.minibatches);
    } else {
        let _ = write!(batch, ", N = {answers}");
    }
    if arguments.iterations > 1 {
        let _ = write!(batch, ", each {} times", arguments.iterations);
    }
    rules.push(batch);
    if arguments.kl > 0.0 {
        rules.push(match &arguments.reference {
            None => "π_ref is the model at the start".to_owned(),
            Some(every) if arguments.ref_model_mixup_alpha >= 1.0 => {
                format!("π_ref becomes π every {}", steps(every.count()))
            }
            Some(every) => {
                let share = rounded(arguments.ref_model_mixup_alpha);
                format!("π_ref moves by {share} of the way to π every {}", steps(every.count()))
            }
        });
    }
    if arguments.dynamic_sampling > 0 {
        let times = arguments.dynamic_sampling;
        rules.push(format!("questions whose answers are worth the same are replaced, up to {times} times"));
    }
    if arguments.mask_truncated_completions {
        rules.push("answers that were cut off are left out".to_owned());
    }
    if arguments.top_entropy_quantile < 1.0 {
        let share = rounded(100.0 * arguments.top_entropy_quantile);
        rules.push(format!("the policy learns from the {share} % of tokens with the most entropy"));
    }
    if let Some(most) = arguments.off_policy_mask_threshold {
        rules.push(format!("answers with A < 0 and a mean of log π_old/π above {} are left out", rounded(most)));
    }
    rules
}

fn steps(count: u64) -> String {
    if count == 1 { "step".to_owned() } else { format!("{count} steps") }
}

/// A number without what only its binary form has.
fn rounded(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}
