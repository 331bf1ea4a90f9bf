//! The losses of preference optimisation, with their slopes, by the names that TRL 1.16 has for them.
//!
//! Each is a function of how likely the model and the reference hold the answers of one row. Its derivatives are by the
//! sums of log-probabilities, and so those by the log-probability of every token of the answer.

use serde::Deserialize;

use crate::stages::slopes::{log_sigmoid, sigmoid};

/// Which loss it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Direct preference optimisation (arXiv 2305.18290, equation 7), with smoothed labels (Mitchell, "cDPO").
    Sigmoid,
    /// The same on means over tokens instead of sums.
    SigmoidNorm,
    /// SLiC (arXiv 2305.10425) on the same margins.
    Hinge,
    /// arXiv 2310.12036, equation 17, on means over tokens, as its authors have it.
    Ipo,
    /// For labels of which a share is wrong (arXiv 2403.00409).
    Robust,
    /// arXiv 2402.00856, equation 16.
    ExoPair,
    /// arXiv 2402.05369.
    NcaPair,
    /// arXiv 2404.04656, without the shift of the reward.
    BcoPair,
    /// arXiv 2405.00675, equation 4.7 with certain labels.
    SppoHard,
    /// Anchored (arXiv 2408.06266, equation 7), for answers better than the model's.
    ApoZero,
    /// Anchored (equation 8 there), for answers worse than the model's.
    ApoDown,
    /// arXiv 2406.08414, equation 5.
    Discopop,
    /// arXiv 2405.14734, equation 6: no reference, means over tokens, and a margin.
    Simpo,
    /// arXiv 2401.08417: no reference, and the likelihood of the preferred answer beside it.
    Cpo,
    /// Odds ratios (arXiv 2403.07691, equations 6 and 7): no reference, and the likelihood beside them.
    Orpo,
    /// Kahneman and Tversky's (arXiv 2402.01306, equation 7), of answers one by one.
    Kto,
    /// `apo_zero` of answers one by one.
    ApoZeroUnpaired,
}

/// What the losses are set with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub loss: Loss,
    pub beta: f64,
    /// The share of labels that are taken to be wrong.
    pub label_smoothing: f64,
    /// SimPO's margin between the rewards.
    pub gamma: f64,
    /// How sharply DiscoPOP goes from one of its parts to the other.
    pub tau: f64,
    /// What good answers, and those that are not, weigh in the losses of answers one by one.
    pub weights: [f64; 2],
}

/// How likely one answer is: sums of log-probabilities over its tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub policy: f64,
    /// Under the reference; not read by the losses that have none.
    pub reference: f64,
    pub tokens: f64,
}

/// The loss of a pair, and its derivatives by the sums of log-probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OfPair {
    pub loss: f64,
    pub chosen: f64,
    pub rejected: f64,
}

impl Loss {
    /// Whether answers are looked at one by one.
    #[must_use]
    pub fn is_unpaired(self) -> bool {
        matches!(self, Self::Kto | Self::ApoZeroUnpaired)
    }

    /// Whether a second model says what is usual.
    #[must_use]
    pub fn has_reference(self) -> bool {
        !matches!(self, Self::Simpo | Self::Cpo | Self::Orpo)
    }

    /// Whether answers count by the mean over their tokens.
    fn is_mean(self) -> bool {
        matches!(self, Self::SigmoidNorm | Self::Ipo | Self::Simpo | Self::Orpo)
    }

    /// Whether the likelihood beside the loss is that of the prompt as well, as ORPO has it.
    #[must_use]
    pub fn learns_prompts(self) -> bool {
        self == Self::Orpo
    }

    /// What the likelihood of the preferred answers weighs where nobody says.
    #[must_use]
    pub fn usual_likelihood(self) -> f64 {
        if matches!(self, Self::Cpo | Self::Orpo) { 1.0 } else { 0.0 }
    }

    /// Whether wrong labels are reckoned with.
    #[must_use]
    pub fn smooths(self) -> bool {
        matches!(self, Self::Sigmoid | Self::SigmoidNorm | Self::Robust | Self::ExoPair | Self::Simpo | Self::Cpo)
    }
}

impl Settings {
    /// The loss of a pair.
    #[must_use]
    pub fn of_pair(&self, chosen: Answer, rejected: Answer) -> OfPair {
        let (a, b) = (self.scored(chosen), self.scored(rejected));
        let (loss, by_a, by_b) = self.of_scores(a, b);
        // A mean moves less than the sum that it comes from.
        let size = |answer: Answer| if self.loss.is_mean() { answer.tokens.max(1.0) } else { 1.0 };
        OfPair { loss, chosen: by_a / size(chosen), rejected: by_b / size(rejected) }
    }

    /// The loss of an answer by itself, and its derivative by the sum of log-probabilities. `divergence` is how far the
    /// model has gone from the reference on answers that belong to other prompts.
    #[must_use]
    pub fn of_answer(&self, answer: Answer, good: bool, divergence: f64) -> (f64, f64) {
        let from = if self.loss == Loss::Kto { divergence } else { 0.0 };
        let sign = if good { 1.0 } else { -1.0 };
        let weight = if good { self.weights[0] } else { self.weights[1] };
        let lead = sign * self.beta * (self.scored(answer) - from);
        let value = sigmoid(lead);
        (weight * (1.0 - value), -weight * sign * self.beta * value * sigmoid(-lead))
    }

    /// TRL's reward of an answer.
    #[must_use]
    pub fn reward(&self, answer: Answer) -> f64 {
        let ratio = if self.loss.has_reference() { answer.policy - answer.reference } else { self.scored(answer) };
        self.beta * ratio
    }

    /// What the loss compares: how much likelier the answer has become than it is for the reference, where there is one.
    fn scored(&self, answer: Answer) -> f64 {
        let sum = if self.loss.has_reference() { answer.policy - answer.reference } else { answer.policy };
        if self.loss.is_mean() { sum / answer.tokens.max(1.0) } else { sum }
    }

    /// The loss of what is compared, and its derivatives.
    fn of_scores(&self, a: f64, b: f64) -> (f64, f64, f64) {
        let (beta, smoothing) = (self.beta, self.label_smoothing);
        let apart = |(loss, slope): (f64, f64)| (loss, beta * slope, -beta * slope);
        let lead = beta * (a - b);
        match self.loss {
            Loss::Sigmoid | Loss::SigmoidNorm | Loss::Cpo => apart(smoothed(lead, smoothing)),
            Loss::Simpo => apart(smoothed(lead - self.gamma, smoothing)),
            Loss::Hinge => apart(if lead < 1.0 { (1.0 - lead, -1.0) } else { (0.0, 0.0) }),
            Loss::Ipo => {
                let miss = a - b - 0.5 / beta;
                (miss * miss, 2.0 * miss, -2.0 * miss)
            }
            Loss::Robust => {
                let right = -(1.0 - smoothing) * log_sigmoid(lead) + smoothing * log_sigmoid(-lead);
                let slope = -(1.0 - smoothing) * sigmoid(-lead) - smoothing * sigmoid(lead);
                apart((right / (1.0 - 2.0 * smoothing), slope / (1.0 - 2.0 * smoothing)))
            }
            Loss::ExoPair => {
                let (win, lose) = (sigmoid(lead), sigmoid(-lead));
                let (log_win, log_lose) = ((-smoothing).ln_1p(), smoothing.ln());
                let loss = win * (log_sigmoid(lead) - log_win) + lose * (log_sigmoid(-lead) - log_lose);
                apart((loss, win * lose * (lead - log_win + log_lose)))
            }
            Loss::NcaPair => {
                let (a, b) = (beta * a, beta * b);
                let loss = -log_sigmoid(a) - 0.5 * log_sigmoid(-a) - 0.5 * log_sigmoid(-b);
                (loss, beta * (0.5 * sigmoid(a) - sigmoid(-a)), beta * 0.5 * sigmoid(b))
            }
            Loss::BcoPair => {
                let (a, b) = (beta * a, beta * b);
                (-log_sigmoid(a) - log_sigmoid(-b), -beta * sigmoid(-a), beta * sigmoid(b))
            }
            Loss::SppoHard => {
                let (a, b) = (a - 0.5 / beta, b + 0.5 / beta);
                (a * a + b * b, 2.0 * a, 2.0 * b)
            }
            Loss::ApoZero => {
                let (a, b) = (beta * a, beta * b);
                (sigmoid(-a) + sigmoid(b), -beta * bend(a), beta * bend(b))
            }
            Loss::ApoDown => {
                let a = beta * a;
                (sigmoid(a) + sigmoid(-lead), beta * (bend(a) - bend(lead)), beta * bend(lead))
            }
            Loss::Discopop => {
                let share = sigmoid(lead / self.tau);
                let (near, far) = (-log_sigmoid(lead), (-lead).exp());
                let moved = share * (1.0 - share) / self.tau;
                let slope = -sigmoid(-lead) * (1.0 - share) - near * moved - far * share + far * moved;
                apart((near * (1.0 - share) + far * share, slope))
            }
            Loss::Orpo => {
                // The odds of an answer that is certain are endless.
                let (a, b) = (a.min(-1e-7), b.min(-1e-7));
                let (left_a, left_b) = (-a.exp_m1(), -b.exp_m1());
                let odds = (a - b) - (left_a.ln() - left_b.ln());
                let slope = -beta * sigmoid(-odds);
                (-beta * log_sigmoid(odds), slope / left_a, -slope / left_b)
            }
            // Answers one by one have no pairs.
            Loss::Kto | Loss::ApoZeroUnpaired => (0.0, 0.0, 0.0),
        }
    }
}

/// The logistic loss of a lead of which a share of the labels is taken to be wrong, and its slope.
fn smoothed(lead: f64, smoothing: f64) -> (f64, f64) {
    let right = 1.0 - smoothing;
    (-right * log_sigmoid(lead) - smoothing * log_sigmoid(-lead), -right * sigmoid(-lead) + smoothing * sigmoid(lead))
}

/// The slope of the logistic function.
fn bend(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}
