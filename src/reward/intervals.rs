//! Intervals for shares of right answers, where several answers to one question are not independent.

/// The 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A mean and the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// The mean of the shares of right answers to some questions, each asked `copies` times, and where the mean over many
/// more questions of their kind lies.
///
/// The questions are a sample of clusters. The variance between them gives the number of independent answers that would
/// tell as much, `p (1 - p) / se²` with `se² = Σ (share - p)² / (n (n - 1))` (Kish's effective size), which lies between
/// the number of questions and that of answers; the score interval of Wilson (1927) is taken at that size (Dean and
/// Pagano 2015, "Evaluating confidence interval methods for binomial proportions in clustered surveys"), with Student's
/// quantile for `n - 1` where the variance was estimated. Unlike the mean plus and minus two standard errors it keeps its
/// rate near 0 and 1. For one answer to each question it is Wilson's interval itself.
#[must_use]
pub fn interval(shares: &[f64], copies: usize) -> Interval {
    let n = shares.len() as f64;
    if shares.is_empty() {
        return Interval { mean: 0.0, low: 0.0, high: 1.0 };
    }
    let mean = shares.iter().sum::<f64>() / n;
    if copies <= 1 || shares.len() < 2 {
        return wilson(mean, n, Z);
    }
    let squares = shares.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>();
    let variance = squares / (n * (n - 1.0));
    // Where all questions agree nothing is known of the variance, and questions are what was seen.
    let size = if variance > 0.0 { mean * (1.0 - mean) / variance } else { n };
    wilson(mean, size.clamp(n, n * copies as f64), student(n - 1.0))
}

/// The ends are the shares that lie `quantile` of their own standard errors from the one that was seen.
fn wilson(mean: f64, size: f64, quantile: f64) -> Interval {
    let square = quantile * quantile;
    let spread = quantile * (mean * (1.0 - mean) / size + square / (4.0 * size * size)).sqrt();
    let centre = mean + square / (2.0 * size);
    let scale = 1.0 + square / size;
    Interval { mean, low: ((centre - spread) / scale).max(0.0), high: ((centre + spread) / scale).min(1.0) }
}

/// The 97.5 % point of Student's distribution: exact for one and two degrees of freedom, and by the expansion of Cornish
/// and Fisher for more (Abramowitz and Stegun, 26.7.5).
fn student(degrees: f64) -> f64 {
    if degrees < 1.5 {
        return 12.706_204_736_432_1;
    }
    if degrees < 2.5 {
        return 4.302_652_729_911_28;
    }
    let power = |exponent: i32| Z.powi(exponent);
    let terms = [
        (power(3) + Z) / 4.0,
        (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / 96.0,
        (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / 384.0,
        (79.0 * power(9) + 776.0 * power(7) + 1482.0 * power(5) - 1920.0 * power(3) - 945.0 * Z) / 92_160.0,
    ];
    (1..).zip(terms).fold(Z, |sum, (order, term)| sum + term / degrees.powi(order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Stream;

    /// The ends of the interval are the shares whose own standard error puts 0.45 just 1.96 of it away.
    #[test]
    fn for_one_answer_each_the_interval_is_that_of_wilson() {
        let shares: Vec<f64> = (0..100).map(|at| f64::from(u8::from(at < 45))).collect();
        let found = interval(&shares, 1);
        for end in [found.low, found.high] {
            let error = (end * (1.0 - end) / 100.0).sqrt();
            assert!(((0.45 - end).abs() / error - 1.959_964).abs() < 1e-5, "{end}");
        }
        assert_eq!(interval(&[0.0; 10], 1).low, 0.0);
        assert_eq!(interval(&[], 4), Interval { mean: 0.0, low: 0.0, high: 1.0 });
    }

    /// Answers that always agree are no more than one, and those that agree as chance has it are as many as there are.
    #[test]
    fn the_effective_size_lies_between_questions_and_answers() {
        let agreeing: Vec<f64> = (0..100).map(|at| f64::from(u8::from(at % 2 == 0))).collect();
        let (one, four) = (interval(&agreeing, 1), interval(&agreeing, 4));
        assert!((four.high - four.low) > (one.high - one.low) && (four.high - four.low) < 1.02 * (one.high - one.low));
        assert_eq!(interval(&[0.5; 100], 4), wilson(0.5, 100.0, student(99.0)));
        let even: Vec<f64> = (0..100).map(|at| 0.5 + if at % 2 == 0 { 0.01 } else { -0.01 }).collect();
        let even = interval(&even, 4);
        assert_eq!(even, wilson(0.5, 400.0, student(99.0)));
    }

    /// Values of tables.
    #[test]
    fn students_quantiles() {
        for (degrees, expected) in
            [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (9.0, 2.262), (29.0, 2.045), (99.0, 1.984)]
        {
            assert!((student(degrees) - expected).abs() < 6e-3, "{degrees}");
        }
    }

    /// How often the interval holds the truth, over questions whose chances of a right answer are spread in several ways,
    /// and how wide it is. The seed is fixed, so that the figures are too.
    #[test]
    fn intervals_cover_at_the_stated_rate() {
        // The chances of a question, as a function of a uniform number; the mean over all questions follows.
        type Chance = fn(f64) -> f64;
        let kinds: [(&str, Chance, f64); 4] = [
            ("all alike", |_| 0.6, 0.6),
            ("even spread", |it| it, 0.5),
            ("easy or hopeless", |it| if it < 0.7 { 0.98 } else { 0.05 }, 0.7 * 0.98 + 0.3 * 0.05),
            ("nearly solved", |it| 1.0 - 0.2 * it * it, 1.0 - 0.2 / 3.0),
        ];
        let stream = Stream::new(11, "coverage");
        let mut text = String::new();
        let (mut trial, mut rates) = (0_u64, Vec::new());
        for (name, chance, truth) in kinds {
            for (questions, copies) in [(30_u64, 1_u64), (30, 8), (100, 1), (100, 4), (100, 16)] {
                const TRIALS: u64 = 1_000;
                let (mut held, mut width) = (0, 0.0);
                for _ in 0..TRIALS {
                    trial += 1;
                    let share = |question: u64| {
                        let chance = chance(stream.uniform(trial, question * 32));
                        let right =
                            (1..=copies).filter(|it| stream.uniform(trial, question * 32 + it) < chance).count();
                        right as f64 / copies as f64
                    };
                    let found = interval(&(0..questions).map(share).collect::<Vec<_>>(), copies as usize);
                    held += u64::from(found.low <= truth && truth <= found.high);
                    width += (found.high - found.low) / TRIALS as f64;
                }
                let rate = held as f64 / TRIALS as f64;
                text += &format!("{name}, {questions} x {copies}: {rate:.3} in {width:.3}\n");
                // Wilson's own interval swings about its rate where one answer in so few is all that can change.
                assert!((0.92..=0.985).contains(&rate), "{text}");
                rates.push(rate);
            }
        }
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        assert!((0.945..=0.965).contains(&mean), "{mean:.4} on the mean of\n{text}");
        println!("{mean:.4} on the mean of\n{text}");
    }
}
