//! The losses that balance experts: their values against sums written out by hand in f64, their gradients against finite
//! differences of those sums, and what transformers makes of the same logits.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;
use regimen::base::rng::Stream;
use regimen::model::{Balance, Router, Scoring, ops};

/// A token's scores for the experts, in f64.
fn scores(logits: &[f64], scoring: Scoring) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|it| it.exp()).collect();
    match scoring {
        Scoring::Sigmoid => powers.iter().map(|it| it / (1.0 + it)).collect(),
        Scoring::Softmax => powers.iter().map(|it| it / powers.iter().sum::<f64>()).collect(),
    }
}

/// The places of the largest scores.
fn best(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(count);
    order
}

/// Equations 17 to 20 of the DeepSeek-V3 report, one sequence after the other; `chosen` are held fast, as no gradient
/// flows through a count.
fn by_sequence(logits: &[Vec<f64>], lengths: &[usize], chosen: &[Vec<usize>], per_token: usize, weight: f64) -> f64 {
    let (experts, mut start, mut loss) = (logits[0].len(), 0, 0.0);
    for length in lengths {
        let tokens = start..start + length;
        for expert in 0..experts {
            let count = tokens.clone().filter(|token| chosen[*token].contains(&expert)).count() as f64;
            let f = experts as f64 / (per_token * length) as f64 * count;
            let p: f64 = tokens
                .clone()
                .map(|token| {
                    let scores = scores(&logits[token], Scoring::Sigmoid);
                    scores[expert] / scores.iter().sum::<f64>()
                })
                .sum();
            loss += weight * f * p / *length as f64;
        }
        start += length;
    }
    loss
}

/// transformers' `load_balancing_loss_func` for the logits of all layers.
fn by_batch(layers: &[Vec<Vec<f64>>], chosen: &[Vec<Vec<usize>>], weight: f64) -> f64 {
    let logits: Vec<&Vec<f64>> = layers.iter().flatten().collect();
    let chosen: Vec<&Vec<usize>> = chosen.iter().flatten().collect();
    let (experts, tokens) = (logits[0].len(), logits.len() as f64);
    let of_expert = |expert: usize| {
        let share = chosen.iter().filter(|it| it.contains(&expert)).count() as f64 / tokens;
        let mean = logits.iter().map(|it| scores(it, Scoring::Softmax)[expert]).sum::<f64>() / tokens;
        share * mean
    };
    weight * experts as f64 * (0..experts).map(of_expert).sum::<f64>()
}

fn logits(rows: usize, experts: usize, seed: u64) -> Vec<Vec<f64>> {
    let stream = Stream::new(seed, "logits");
    let number = |row: usize, expert: usize| f64::from(stream.normal(row as u64, expert as u64) as f32);
    (0..rows).map(|row| (0..experts).map(|expert| number(row, expert)).collect()).collect()
}

fn router(scoring: Scoring, experts: usize, chosen: usize) -> Router {
    let groups = if scoring == Scoring::Sigmoid && experts.is_multiple_of(2) { 2 } else { 1 };
    Router { scoring, experts, chosen, groups, kept_groups: 1, normalise: true, scale: 1.5 }
}

/// The value of a balance loss, and the gradient that it adds to that of the weights.
fn found(logits: &[Vec<f64>], router: &Router, bias: &[f32], balance: &Balance, lengths: &[usize]) -> (f64, Vec<f64>) {
    let values: Vec<f32> = logits.iter().flatten().map(|it| *it as f32).collect();
    let var = Var::from_vec(values, (logits.len(), logits[0].len()), &Device::Cpu).unwrap();
    let gradient = |balance: Option<(&Balance, &[usize])>| {
        let (_, weights, loss) = ops::route_balanced(&var, router, bias, balance).unwrap();
        let pull = Tensor::arange(0.0, weights.elem_count() as f32, &Device::Cpu).unwrap().sin().unwrap();
        let out = (&weights * pull.reshape(weights.shape()).unwrap()).unwrap().sum_all().unwrap();
        let gradient = out.backward().unwrap().get(var.as_tensor()).unwrap().flatten_all().unwrap();
        (loss, gradient.to_vec1::<f32>().unwrap())
    };
    let ((none, plain), (loss, pulled)) = (gradient(None), gradient(Some((balance, lengths))));
    assert_eq!(none, 0.0);
    (loss, pulled.iter().zip(plain).map(|(pulled, plain)| f64::from(*pulled) - f64::from(plain)).collect())
}

/// The slope of a function at every number of the logits.
fn slopes(logits: &[Vec<f64>], of: impl Fn(&[Vec<f64>]) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let mut moved = logits.to_vec();
    let mut slopes = Vec::new();
    for row in 0..logits.len() {
        for expert in 0..logits[row].len() {
            let mut at = |by: f64| {
                moved[row][expert] = logits[row][expert] + by;
                of(&moved)
            };
            slopes.push((at(step) - at(-step)) / (2.0 * step));
            at(0.0);
        }
    }
    slopes
}

fn check(found: (f64, Vec<f64>), value: f64, slopes: &[f64]) -> Result<(), TestCaseError> {
    prop_assert!((found.0 - value).abs() < 1e-5 * value, "value {}, expected {value}", found.0);
    let largest = slopes.iter().fold(1e-3, |most: f64, it| most.max(it.abs()));
    for (found, slope) in found.1.iter().zip(slopes) {
        prop_assert!((found - slope).abs() < 2e-5 * largest + 1e-6, "gradient {found}, slope {slope}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn within_sequences(lengths in prop::collection::vec(1..9_usize, 1..4), experts in 2..9_usize, chosen in 1..4_usize, seed in any::<u64>()) {
        let router = router(Scoring::Sigmoid, experts, chosen.min(experts / 2).max(1));
        let logits = logits(lengths.iter().sum(), experts, seed);
        // Neither the bias nor the groups have a part in what is counted.
        let bias: Vec<f32> = (0..experts).map(|it| (it as f32).sin()).collect();
        let chosen: Vec<Vec<usize>> = logits.iter().map(|it| best(it, router.chosen)).collect();
        let of = |logits: &[Vec<f64>]| by_sequence(logits, &lengths, &chosen, router.chosen, 0.3);
        let balance = Balance::Sequence { weight: 0.3 };
        check(found(&logits, &router, &bias, &balance, &lengths), of(&logits), &slopes(&logits, of))?;
    }

    #[test]
    fn over_a_batch(rows in 1..12_usize, experts in 2..9_usize, chosen in 1..4_usize, seed in any::<u64>()) {
        let router = router(Scoring::Softmax, experts, chosen.min(experts));
        let layers = [logits(rows, experts, seed), logits(rows, experts, seed ^ 1)];
        let chosen = [0, 1].map(|layer| layers[layer].iter().map(|it| best(it, router.chosen)).collect::<Vec<_>>());
        let count = |layer: &Vec<Vec<usize>>| -> Vec<u64> {
            (0..experts).map(|expert| layer.iter().filter(|it| it.contains(&expert)).count() as u64).collect()
        };
        let balance = Balance::batch(0.7, &chosen.iter().map(count).collect::<Vec<_>>(), router.chosen);
        let mut value = 0.0;
        for layer in 0..2 {
            let of = |moved: &[Vec<f64>]| {
                let mut layers = layers.clone();
                layers[layer] = moved.to_vec();
                by_batch(&layers, &chosen, 0.7)
            };
            let found = found(&layers[layer], &router, &[], &balance, &[rows]);
            value += found.0;
            check((of(&layers[layer]), found.1), of(&layers[layer]), &slopes(&layers[layer], of))?;
        }
        let expected = by_batch(&layers, &chosen, 0.7);
        prop_assert!((value - expected).abs() < 1e-5 * expected, "value {value}, expected {expected}");
    }
}

/// The file is made by `tests/fixtures/balance/make.py`.
#[test]
fn over_a_batch_as_transformers_has_it() {
    let file: serde_json::Value = serde_json::from_str(include_str!("fixtures/balance/expected.json")).unwrap();
    let layers = |name: &str| -> Vec<Vec<Vec<f64>>> { serde_json::from_value(file[name].clone()).unwrap() };
    let (logits, slopes) = (layers("logits"), layers("slopes"));
    let (experts, chosen) = (file["experts"].as_u64().unwrap() as usize, file["chosen"].as_u64().unwrap() as usize);
    let router = router(Scoring::Softmax, experts, chosen);
    let load = |layer: &Vec<Vec<f64>>| -> Vec<u64> {
        let values: Vec<f32> = layer.iter().flatten().map(|it| *it as f32).collect();
        let tensor = Tensor::from_vec(values, (layer.len(), experts), &Device::Cpu).unwrap();
        ops::route(&tensor, &router, &[]).unwrap().0.loads()
    };
    let balance = Balance::batch(1.0, &logits.iter().map(load).collect::<Vec<_>>(), chosen);
    let mut loss = 0.0;
    for (logits, slopes) in logits.iter().zip(&slopes) {
        let (value, gradient) = found(logits, &router, &[], &balance, &[logits.len()]);
        loss += value;
        for (found, slope) in gradient.iter().zip(slopes.iter().flatten()) {
            assert!((found - slope).abs() < 1e-6, "gradient {found}, slope {slope}");
        }
    }
    let expected = file["loss"].as_f64().unwrap();
    assert!((loss - expected).abs() < 1e-5 * expected, "loss {loss}, expected {expected}");
}
