//! `ram` and `ramplus_tl`: what one model alone changed is kept whole, what several changed is averaged, so that the
//! sparse task vectors of reinforcement learning do not water each other down (arXiv 2601.13572).

use super::{
    Base, Job, MANY, Method, Scope,
    combine::{each_chunk, subtract, sum},
    number,
};

pub const RAM: Method = Method {
    name: "ram",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[number("epsilon", Scope::All, Some(1e-5))],
    merge: |job| merge(job, None),
};

pub const RAMPLUS_TL: Method = Method {
    name: "ramplus_tl",
    models: (1, MANY),
    base: Base::Required,
    parameters: &[
        number("epsilon", Scope::All, Some(1e-5)),
        number("r", Scope::All, Some(0.1)),
        number("alpha", Scope::All, Some(0.2)),
    ],
    merge: |job| {
        let boost = (job.settings.get("r"), job.settings.get("alpha"));
        merge(job, Some(boost))
    },
};

fn merge(job: Job, boost: Option<(f64, f64)>) -> Result<Vec<f32>, String> {
    let epsilon = job.settings.get("epsilon") as f32;
    let (Some(mut base), inputs) = job.split() else { return Err("expected a base model, found none".to_owned()) };
    let mut differences: Vec<Vec<f32>> = inputs.into_iter().map(|input| input.values).collect();
    differences.iter_mut().for_each(|values| subtract(values, &base));
    let scales: Vec<f32> = match boost {
        None => vec![1.0; differences.len()],
        Some((rate, most)) => {
            (0..differences.len()).map(|at| scale(&differences, at, epsilon, rate, most) as f32).collect()
        }
    };
    each_chunk(&mut base, |start, chunk| {
        for (offset, value) in chunk.iter_mut().enumerate() {
            let (mut active, mut total, mut alone) = (0u32, 0.0f32, 0.0f32);
            for (difference, scale) in differences.iter().zip(&scales) {
                let difference = difference[start + offset];
                if difference.abs() > epsilon {
                    active += 1;
                    total += difference;
                    alone = difference * scale;
                }
            }
            *value += match active {
                0 => 0.0,
                1 => alone,
                _ => total / active as f32,
            };
        }
    });
    Ok(base)
}

/// What a model's own changes are multiplied by: the more it shares with others, the more its own would be drowned.
fn scale(differences: &[Vec<f32>], at: usize, epsilon: f32, rate: f64, most: f64) -> f64 {
    let others = |place: usize| differences.iter().filter(|it| it[place].abs() > epsilon).count();
    let count = |shared: bool| {
        sum(differences[at].len(), |range| {
            let mine = range.filter(|place| differences[at][*place].abs() > epsilon);
            mine.filter(|place| (others(*place) > 1) == shared).count() as f64
        })
    };
    let overlap = count(true) / count(false).max(f64::from(epsilon));
    1.0 + rate * overlap.clamp(0.0, most)
}
