//! One rollout: groups of answers to a step's problems, scored; with dynamic sampling, other problems' answers in the
//! place of groups that teach nothing.

use super::{
    advantage::{advantages, deviation, mean},
    arguments::Arguments,
    minibatch::Experience,
};
use crate::{
    data::{
        order::Order,
        rows::{Problem, Sample},
        tokenizer::Tokenizer,
    },
    model::Transformer,
    reward::score::{Score, Scorer},
    stages::{
        Context, StageError,
        context::{Metrics, figures},
        rollout::{Answer, Draw, Numbered, Respondent},
        scorer::{Lenders, score_groups},
    },
};

/// What was sampled in one step, scored.
pub struct Rollout {
    pub experiences: Vec<Experience>,
    pub metrics: Metrics,
    /// Tokens of all prompts and answers, each prompt as often as it is answered.
    pub tokens: u64,
}

/// What a rollout is drawn from.
pub struct Source<'a> {
    pub arguments: &'a Arguments,
    /// The models that the rewards ask.
    pub lenders: &'a Lenders,
    pub model: &'a Transformer,
    pub tokenizer: &'a Tokenizer,
    pub problems: &'a [Problem],
    pub step: u64,
}

/// The answers to one question.
struct Group {
    answers: Vec<Answer>,
    scores: Vec<Score>,
    correct: usize,
}

/// Answers that are drawn instead of others have random numbers of their own, apart from all first ones.
const AGAIN: u64 = 1 << 40;

/// A deviation below this is that of equal rewards.
const EVEN: f64 = 1e-9;

impl Group {
    fn rewards(&self) -> Vec<f64> {
        self.scores.iter().map(|it| it.total).collect()
    }

    /// Whether no answer is better than another, so that nothing is learnt from them.
    fn is_even(&self) -> bool {
        deviation(&self.rewards()) < EVEN
    }
}

impl Source<'_> {
    pub fn roll_out(&self, context: &Context) -> Result<Rollout, StageError> {
        let Arguments { prompts, group, dynamic_sampling, .. } = *self.arguments;
        let respondent = Respondent::new(self.model, self.tokenizer)?;
        let scorer = self.lenders.scorer(self.arguments.reward(self.step)?)?;
        let draw = Draw {
            copies: group,
            temperature: self.arguments.temperature(self.step)?,
            top_p: 1.0,
            top_k: None,
            max_length: self.arguments.max_length(self.step)?,
            seed: self.arguments.seed,
            first_row: self.step * (prompts * group) as u64,
        };
        let first = self.chosen(Order::new(self.arguments.seed, self.problems.len()), self.step, prompts);
        let mut groups = self.answer(context, &respondent, &scorer, &first, draw)?;
        let mut figures = Figures::default();
        figures.add(&groups);
        let mut tries = 0;
        if dynamic_sampling > 0 {
            let mut even = Vec::new();
            divide(&mut groups, &mut even);
            while groups.len() < prompts && tries < dynamic_sampling {
                let at = self.step * dynamic_sampling + tries;
                tries += 1;
                let draw = Draw { first_row: AGAIN + at * (prompts * group) as u64, ..draw };
                // An order of its own, so that a step's first problems do not depend on how the steps before it went.
                let order = Order::new(self.arguments.seed ^ AGAIN, self.problems.len());
                let others = self.chosen(order, at, prompts - groups.len());
                let mut more = self.answer(context, &respondent, &scorer, &others, draw)?;
                figures.add(&more);
                divide(&mut more, &mut even);
                groups.extend(more);
            }
            figures.even_left = prompts.saturating_sub(groups.len());
            groups.extend(even.into_iter().take(figures.even_left));
        }
        let mut metrics = figures.metrics(&scorer);
        if dynamic_sampling > 0 {
            metrics.extend(crate::stages::context::figures([
                ("dynamic_sampling/tries", tries as f64),
                ("dynamic_sampling/groups", figures.groups as f64),
                ("dynamic_sampling/even_left", figures.even_left as f64),
            ]));
        }
        Ok(Rollout { experiences: self.experiences(groups), metrics, tokens: figures.tokens })
    }

    /// Some problems of an order, epoch after epoch.
    fn chosen(&self, order: Order, at: u64, count: usize) -> Vec<Numbered<'_>> {
        let places = order.range(at * self.arguments.prompts as u64, count);
        (0..).zip(places.into_iter().filter_map(|at| self.problems.get(at))).collect()
    }

    fn answer(
        &self,
        context: &Context,
        respondent: &Respondent<'_>,
        scorer: &Scorer,
        chosen: &[Numbered<'_>],
        draw: Draw,
    ) -> Result<Vec<Group>, StageError> {
        let mut answers = respondent.answer(&context.pool, chosen, draw)?.into_iter();
        let mut groups = Vec::with_capacity(chosen.len());
        let mut samples: Vec<Vec<Sample>> = Vec::with_capacity(chosen.len());
        for (_, problem) in chosen {
            let prompt = respondent.prompt(&problem.question)?;
            let answers: Vec<Answer> = answers.by_ref().take(draw.copies).collect();
            samples.push(answers.iter().map(|answer| answer.sample(problem, prompt.clone())).collect());
            let right = |answer: &&Answer| crate::reward::answer::is_correct(&answer.text, &problem.answer);
            let correct = answers.iter().filter(right).count();
            groups.push(Group { answers, scores: Vec::new(), correct });
        }
        let scores = score_groups(scorer, &context.pool, &samples)?;
        groups.iter_mut().zip(scores).for_each(|(group, scores)| group.scores = scores);
        Ok(groups)
    }

    /// The answers with their advantages.
    fn experiences(&self, groups: Vec<Group>) -> Vec<Experience> {
        let rewards: Vec<f64> = groups.iter().flat_map(Group::rewards).collect();
        let advantages = advantages(&rewards, self.arguments.group, self.arguments.normalize);
        let answers = groups.into_iter().flat_map(|it| it.answers);
        let experience = |(answer, advantage): (Answer, f64)| {
            let masked = self.arguments.mask_truncated_completions && !answer.completion.stopped;
            Experience::new(answer.prompt, answer.completion, advantage, masked)
        };
        answers.zip(advantages).map(experience).collect()
    }
}

/// Takes the groups of equal rewards out of `groups`.
fn divide(groups: &mut Vec<Group>, even: &mut Vec<Group>) {
    even.extend(groups.extract_if(.., |it| it.is_even()));
}

/// Figures of all answers that were drawn in a step, whether they are learnt from or not.
#[derive(Default)]
struct Figures {
    scores: Vec<Score>,
    spreads: Vec<f64>,
    lengths: Vec<f64>,
    finished: Vec<f64>,
    correct: usize,
    tokens: u64,
    groups: usize,
    /// Groups of equal rewards that could not be replaced.
    even_left: usize,
}

impl Figures {
    fn add(&mut self, groups: &[Group]) {
        for group in groups {
            self.groups += 1;
            self.correct += group.correct;
            self.spreads.push(deviation(&group.rewards()));
            self.scores.extend(group.scores.iter().cloned());
            for answer in &group.answers {
                let length = answer.completion.ids.len();
                self.tokens += (answer.prompt.len() + length) as u64;
                self.lengths.push(length as f64);
                if answer.completion.stopped {
                    self.finished.push(length as f64);
                }
            }
        }
    }

    fn metrics(&self, scorer: &Scorer) -> Metrics {
        let rewards: Vec<f64> = self.scores.iter().map(|it| it.total).collect();
        let count = self.lengths.len().max(1) as f64;
        let even = self.spreads.iter().filter(|it| **it < EVEN).count() as f64;
        let least = |values: &[f64]| values.iter().copied().reduce(f64::min).unwrap_or(0.0);
        let most = |values: &[f64]| values.iter().copied().reduce(f64::max).unwrap_or(0.0);
        let mut metrics = figures([
            ("reward", mean(&rewards)),
            ("reward_std", deviation(&rewards)),
            ("frac_reward_zero_std", even / self.spreads.len().max(1) as f64),
            ("accuracy", self.correct as f64 / count),
            ("completions/mean_length", mean(&self.lengths)),
            ("completions/min_length", least(&self.lengths)),
            ("completions/max_length", most(&self.lengths)),
            ("completions/mean_terminated_length", mean(&self.finished)),
            ("completions/min_terminated_length", least(&self.finished)),
            ("completions/max_terminated_length", most(&self.finished)),
            ("completions/clipped_ratio", 1.0 - self.finished.len() as f64 / count),
        ]);
        for spread in scorer.spreads(&self.scores) {
            metrics.push((format!("rewards/{}/mean", spread.term).into(), spread.mean));
            metrics.push((format!("rewards/{}/std", spread.term).into(), spread.deviation));
        }
        metrics
    }
}
