//! Which expert of one mixture is which of another: in two trainings from different seeds, the n-th of one has nothing to
//! do with the n-th of the other, and a sum of the two is no expert at all.

use std::collections::BTreeMap;

use super::{
    MergeError,
    checkpoint::Checkpoint,
    methods::dot,
    options::Experts,
    plan::{Plan, TensorSource},
};

/// For each expert of the result, the expert of a model that takes its place.
pub type Permutation = Vec<usize>;

/// At most so many numbers of each tensor are compared.
const SAMPLE: usize = 1 << 14;

/// Finds the counterparts of experts, and puts them into the plan.
pub fn align(plan: &mut Plan, models: &[Checkpoint], experts: Experts) -> Result<(), MergeError> {
    let routers: Vec<&String> =
        plan.tensors.keys().filter(|name| router(name).is_some_and(|module| has_experts(plan, module))).collect();
    if routers.is_empty() || plan.tensors.values().all(|planned| planned.sources.len() < 2) {
        return Ok(());
    }
    if experts == Experts::Unknown {
        return Err(MergeError::request(
            "the models are mixtures of experts, whose experts belong together only where all descend from one base",
        )
        .with_hint("say `--experts same-base` if they do, or `--experts permute` to match experts by their weights"));
    }
    if experts == Experts::SameBase {
        return Ok(());
    }
    let mut found: BTreeMap<(usize, String), Permutation> = BTreeMap::new();
    for name in routers {
        let planned = &plan.tensors[name];
        let lead = &planned.sources[planned.base.unwrap_or(0)];
        for source in planned.sources.iter().filter(|source| source.model != lead.model) {
            let permutation = compare(models, lead, source, experts)?;
            if permutation.iter().enumerate().any(|(at, it)| at != *it) {
                let Some(module) = router(&source.name) else { continue };
                found.insert((source.model, module.to_owned()), permutation);
            }
        }
    }
    for source in plan.tensors.values_mut().flat_map(|planned| &mut planned.sources) {
        permute(source, &found);
    }
    Ok(())
}

/// The module that a router belongs to: `model.layers.3.mlp` for its `gate.weight`.
fn router(name: &str) -> Option<&str> {
    name.strip_suffix(".gate.weight").or_else(|| name.strip_suffix(".router.weight"))
}

fn has_experts(plan: &Plan, module: &str) -> bool {
    let prefix = format!("{module}.experts.");
    plan.tensors.range(prefix.clone()..).next().is_some_and(|(name, _)| name.starts_with(&prefix))
}

/// The counterparts in `other` of the experts of `lead`, both named by their routers.
fn compare(
    models: &[Checkpoint],
    lead: &TensorSource,
    other: &TensorSource,
    experts: Experts,
) -> Result<Permutation, MergeError> {
    let whole = experts == Experts::Permute;
    let (one, two) =
        (portraits(&models[lead.model], &lead.name, whole)?, portraits(&models[other.model], &other.name, whole)?);
    let likeness: Vec<Vec<f64>> =
        one.iter().map(|a| two.iter().map(|b| a.iter().zip(b).map(|(a, b)| dot(a, b)).sum()).collect()).collect();
    let groups = models[lead.model].size(&["n_group"]).unwrap_or(1).max(1);
    let best = in_groups(&likeness, groups);
    let total = |permutation: &dyn Fn(usize) -> usize| -> f64 {
        likeness.iter().enumerate().map(|(at, row)| row[permutation(at)]).sum()
    };
    let identity: Permutation = (0..likeness.len()).collect();
    // Copies of one expert are alike in any order; they stay where they are.
    if total(&|at| at) >= total(&|at| best[at]) - 1e-6 {
        return Ok(identity);
    }
    if whole {
        return Ok(best);
    }
    let astray = best.iter().enumerate().find(|(at, it)| at != *it).map_or((0, 0), |(at, it)| (at, *it));
    let message = format!(
        "its experts are not those of `{}`: expert {} there is most like expert {} here, so the models do not descend \
         from one base; `align = \"permute\"` matches experts by their weights",
        models[lead.model].folder.display(),
        astray.0,
        astray.1
    );
    Err(MergeError::tensor(&models[other.model].folder, &other.name, message))
}

/// What tells experts apart, each part brought to length one: their rows of the router and, for a whole portrait, an even
/// sample of their weights.
fn portraits(model: &Checkpoint, gate: &str, whole: bool) -> Result<Vec<Vec<Vec<f32>>>, MergeError> {
    let values = model.read(gate)?;
    let count = model.tensors().get(gate).and_then(|it| it.shape.first().copied()).unwrap_or(1).max(1);
    let mut portraits: Vec<Vec<Vec<f32>>> = values.chunks(values.len() / count).map(|row| vec![unit(row)]).collect();
    let Some(module) = router(gate).filter(|_| whole) else { return Ok(portraits) };
    let prefix = format!("{module}.experts.");
    for name in model.tensors().range(prefix.clone()..).map(|(name, _)| name).take_while(|it| it.starts_with(&prefix)) {
        let values = model.read(name)?;
        match name[prefix.len()..].split('.').next().and_then(|it| it.parse::<usize>().ok()) {
            Some(expert) if expert < count => portraits[expert].push(unit(&values)),
            Some(_) => {}
            // All experts in one tensor.
            None => values.chunks(values.len() / count).zip(&mut portraits).for_each(|(part, it)| it.push(unit(part))),
        }
    }
    Ok(portraits)
}

fn unit(values: &[f32]) -> Vec<f32> {
    let sample: Vec<f32> = values.iter().step_by(values.len().div_ceil(SAMPLE).max(1)).copied().collect();
    let norm = dot(&sample, &sample).sqrt().max(1e-12) as f32;
    sample.into_iter().map(|value| value / norm).collect()
}

/// The best matching that keeps groups together, as a router that first chooses groups needs.
fn in_groups(likeness: &[Vec<f64>], groups: usize) -> Permutation {
    let size = likeness.len() / groups;
    let pair = |a: usize, b: usize| {
        let part: Vec<Vec<f64>> =
            likeness[a * size..(a + 1) * size].iter().map(|row| row[b * size..(b + 1) * size].to_vec()).collect();
        let inside = assignment(&part);
        let score: f64 = inside.iter().enumerate().map(|(at, it)| part[at][*it]).sum();
        (inside, score)
    };
    let pairs: Vec<Vec<(Permutation, f64)>> = (0..groups).map(|a| (0..groups).map(|b| pair(a, b)).collect()).collect();
    let scores: Vec<Vec<f64>> = pairs.iter().map(|row| row.iter().map(|(_, score)| *score).collect()).collect();
    let outer = assignment(&scores);
    outer.iter().enumerate().flat_map(|(a, b)| pairs[a][*b].0.iter().map(move |it| b * size + it)).collect()
}

/// The matching of rows to columns with the largest sum (Kuhn and Munkres, in the form with potentials).
fn assignment(score: &[Vec<f64>]) -> Permutation {
    let count = score.len();
    // Row and column 0 stand for none; costs are the scores with their sign turned.
    let (mut rows, mut columns) = (vec![0.0; count + 1], vec![0.0; count + 1]);
    let (mut matched, mut way) = (vec![0usize; count + 1], vec![0usize; count + 1]);
    for row in 1..=count {
        matched[0] = row;
        let mut column = 0;
        let mut least = vec![f64::INFINITY; count + 1];
        let mut used = vec![false; count + 1];
        while matched[column] != 0 {
            used[column] = true;
            let (mut step, mut next) = (f64::INFINITY, 0);
            for other in 1..=count {
                if used[other] {
                    continue;
                }
                let from = matched[column];
                let cost = -score[from - 1][other - 1] - rows[from] - columns[other];
                if cost < least[other] {
                    least[other] = cost;
                    way[other] = column;
                }
                if least[other] < step {
                    step = least[other];
                    next = other;
                }
            }
            for other in 0..=count {
                if used[other] {
                    rows[matched[other]] += step;
                    columns[other] -= step;
                } else {
                    least[other] -= step;
                }
            }
            column = next;
        }
        while column != 0 {
            matched[column] = matched[way[column]];
            column = way[column];
        }
    }
    let mut permutation = vec![0; count];
    for column in 1..=count {
        permutation[matched[column] - 1] = column - 1;
    }
    permutation
}

/// Takes the tensor of the counterpart, or the rows in the order of the counterparts.
fn permute(source: &mut TensorSource, found: &BTreeMap<(usize, String), Permutation>) {
    if let Some((module, rest)) = source.name.split_once(".experts.") {
        let Some(permutation) = found.get(&(source.model, module.to_owned())) else { return };
        let (expert, end) = rest.split_once('.').unwrap_or((rest, ""));
        match expert.parse::<usize>().ok().and_then(|expert| permutation.get(expert)) {
            Some(counterpart) => source.name = format!("{module}.experts.{counterpart}.{end}"),
            None => source.rows = Some(permutation.clone()),
        }
        return;
    }
    let ends = [".gate.weight", ".router.weight", ".gate.e_score_correction_bias", ".router.bias"];
    let module = ends.iter().find_map(|end| source.name.strip_suffix(end));
    if let Some(permutation) = module.and_then(|module| found.get(&(source.model, module.to_owned()))) {
        source.rows = Some(permutation.clone());
    }
}

/// Puts the rows of a tensor, one for each expert, into an order.
#[must_use]
pub fn reorder(values: &[f32], permutation: &[usize]) -> Vec<f32> {
    let width = values.len() / permutation.len().max(1);
    permutation.iter().flat_map(|row| &values[row * width..(row + 1) * width]).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn total(score: &[Vec<f64>], permutation: &[usize]) -> f64 {
        permutation.iter().enumerate().map(|(at, it)| score[at][*it]).sum()
    }

    fn every(count: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![vec![]];
        }
        let shorter = every(count - 1);
        let longer = shorter.iter().flat_map(|it| (0..count).map(move |at| (it, at)));
        longer.map(|(it, at)| [&it[..at], &[count - 1], &it[at..]].concat()).collect()
    }

    proptest! {
        #[test]
        fn no_matching_is_better(score in (1usize..6).prop_flat_map(|count| {
            proptest::collection::vec(proptest::collection::vec(-9i32..9, count), count)
        })) {
            let score: Vec<Vec<f64>> = score.iter().map(|row| row.iter().map(|it| f64::from(*it)).collect()).collect();
            let best = every(score.len()).iter().map(|it| total(&score, it)).fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(total(&score, &assignment(&score)), best);
        }
    }

    #[test]
    fn groups_stay_together() {
        // Expert 0 is most like expert 3, but its neighbour belongs to the other group.
        let score = vec![
            vec![0.8, 0.0, 0.0, 0.9],
            vec![0.0, 0.8, 0.0, 0.0],
            vec![0.0, 0.0, 0.7, 0.0],
            vec![0.0, 0.0, 0.0, 0.7],
        ];
        assert_eq!(in_groups(&score, 2), [0, 1, 2, 3]);
        assert_eq!(reorder(&[1.0, 2.0, 3.0, 4.0], &[1, 0]), [3.0, 4.0, 1.0, 2.0]);
    }
}
