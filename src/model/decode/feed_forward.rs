//! The feed-forward half of a layer: one gated network, or experts chosen for each token.

use crate::model::ops::swiglu;
use crate::model::router::Router;

use super::kernels::{add, add_scaled};
use super::matrix::Matrix;
use super::pass::Room;

/// A gated network: `down(silu(gate(x)) * up(x))`.
#[derive(Clone, Debug)]
pub struct Gated {
    /// Gates first, ups after.
    pub gate_up: Matrix,
    pub down: Matrix,
}

impl Gated {
    /// Writes the network's answer to each row to `out`.
    pub fn answer(&self, out: &mut [f32], rows: &[f32], room: &mut Room) {
        let inner = self.inner(rows, room);
        self.down.product(out, &inner);
        room.give(inner);
    }

    /// Adds the network's answer to each row to `out`.
    pub fn add_answer(&self, out: &mut [f32], rows: &[f32], room: &mut Room) {
        let inner = self.inner(rows, room);
        self.down.add_product(out, &inner);
        room.give(inner);
    }

    fn inner(&self, rows: &[f32], room: &mut Room) -> Vec<f32> {
        let count = rows.len() / self.gate_up.depth();
        let mut gate_up = room.take(count * self.gate_up.width());
        self.gate_up.product(&mut gate_up, rows);
        let mut inner = room.take(count * self.down.depth());
        swiglu::forward(&gate_up, &mut inner, self.down.depth());
        room.give(gate_up);
        inner
    }
}

/// Experts that each see their own tokens, and a shared network that sees all.
#[derive(Clone, Debug)]
pub struct Experts {
    pub router: Router,
    pub router_weight: Matrix,
    /// What corrects the choice; empty where nothing does.
    pub router_bias: Vec<f32>,
    pub routed: Vec<Gated>,
    pub shared: Option<Gated>,
}

/// An expert chosen for a token, and the weight of its answer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Assignment {
    row: usize,
    expert: u32,
    weight: f32,
}

impl Experts {
    /// Adds the experts' answers to each row to `out`. A row's answers are summed in the order of experts.
    pub fn add_answer(&self, out: &mut [f32], rows: &[f32], room: &mut Room) {
        let width = self.router_weight.depth();
        let assignments = self.assign(rows, room);
        let mut sum = room.zeros(rows.len());
        for assignments in assignments.chunk_by(|a, b| a.expert == b.expert) {
            let mut gathered = room.take(assignments.len() * width);
            for (place, assignment) in gathered.chunks_exact_mut(width).zip(assignments) {
                place.copy_from_slice(&rows[assignment.row * width..][..width]);
            }
            let mut answers = room.take(gathered.len());
            self.routed[assignments[0].expert as usize].answer(&mut answers, &gathered, room);
            for (answer, assignment) in answers.chunks_exact(width).zip(assignments) {
                add_scaled(&mut sum[assignment.row * width..][..width], assignment.weight, answer);
            }
            room.give(answers);
            room.give(gathered);
        }
        if let Some(shared) = &self.shared {
            shared.add_answer(&mut sum, rows, room);
        }
        add(out, &sum);
        room.give(sum);
    }

    /// The assignments of all rows, by expert, and by row within an expert.
    fn assign(&self, rows: &[f32], room: &mut Room) -> Vec<Assignment> {
        let count = rows.len() / self.router_weight.depth();
        let mut scores = room.take(count * self.router.experts);
        self.router_weight.product(&mut scores, rows);
        let mut assignments = Vec::with_capacity(count * self.router.chosen);
        let mut experts = Vec::with_capacity(self.router.chosen);
        let mut weights = room.take(self.router.chosen);
        for (row, scores) in scores.chunks_exact_mut(self.router.experts).enumerate() {
            self.router.score(scores);
            experts.clear();
            self.router.choose(scores, &self.router_bias, &mut experts);
            self.router.weigh(scores, &experts, &mut weights);
            let chosen = experts.iter().zip(&weights);
            assignments.extend(chosen.map(|(expert, weight)| Assignment { row, expert: *expert, weight: *weight }));
        }
        room.give(weights);
        room.give(scores);
        assignments.sort_by_key(|it| it.expert);
        assignments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ops::math::sigmoid;
    use crate::model::router::Scoring;

    /// A network that answers `(x, 1)` with `(factor * x, 0)`: the gate is open for every positive `x`.
    fn linear(factor: f32) -> Gated {
        Gated { gate_up: Matrix::pack(2, &[&[100.0, 0.0], &[0.0, factor]]), down: Matrix::pack(1, &[&[0.01], &[0.0]]) }
    }

    #[test]
    fn each_row_gets_the_weighted_answers_of_its_experts_and_the_shared_answer() {
        let router = Router {
            scoring: Scoring::Sigmoid,
            experts: 3,
            chosen: 2,
            groups: 1,
            kept_groups: 1,
            normalise: false,
            scale: 2.0,
        };
        let experts = Experts {
            router,
            router_weight: Matrix::pack(2, &[&[1.0, 0.0], &[-1.0, 0.0], &[0.5, 0.0]]),
            router_bias: vec![0.0, 0.0, 0.0],
            routed: vec![linear(1.0), linear(10.0), linear(100.0)],
            shared: Some(linear(1000.0)),
        };
        let mut out = vec![0.5; 4];
        experts.add_answer(&mut out, &[1.0, 1.0, 3.0, 1.0], &mut Room::default());
        // Experts 0 and 2 answer 1 and 100 times the gate, weighed by twice the sigmoids of their logits.
        let answer = |x: f32| 0.5 + x * (2.0 * sigmoid(x) + 200.0 * sigmoid(0.5 * x) + 1000.0);
        for (found, expected) in out.iter().zip([answer(1.0), 0.5, answer(3.0), 0.5]) {
            assert!((found - expected).abs() < 1e-5 * expected, "{out:?}");
        }
    }
}
