//! The losses of preferences against TRL, against formulas written out, and against finite differences; what a reward model
//! computes against transformers.

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use regimen::{
    base::rng::Stream,
    model::{Packed, PartLoss, Transformer, gradients},
    stages::{
        dpo::loss::{Answer, Loss, Settings},
        reward_model::loss::{of_label, of_pair},
        slopes::with_slopes,
    },
};
use serde_json::{Value, json};

const TRL: &str = include_str!("fixtures/losses/preference.json");
const SCORES: &str = include_str!("fixtures/scores/scores.json");

const NAMES: [&str; 17] = [
    "sigmoid",
    "sigmoid_norm",
    "hinge",
    "ipo",
    "robust",
    "exo_pair",
    "nca_pair",
    "bco_pair",
    "sppo_hard",
    "apo_zero",
    "apo_down",
    "discopop",
    "simpo",
    "cpo",
    "orpo",
    "kto",
    "apo_zero_unpaired",
];

fn loss(name: &str) -> Loss {
    serde_json::from_value(json!(name)).unwrap()
}

fn settings(case: &Value) -> Settings {
    let number = |name: &str, usual: f64| case.get(name).and_then(Value::as_f64).unwrap_or(usual);
    Settings {
        loss: loss(case["name"].as_str().unwrap()),
        beta: number("beta", 0.1),
        label_smoothing: number("label_smoothing", 0.0),
        gamma: number("gamma", 0.5),
        tau: 0.05,
        weights: [number("desirable", 1.0), number("undesirable", 1.0)],
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|it| it.as_f64().unwrap()).collect()
}

fn close(found: f64, expected: f64, what: &str) {
    // TRL computes odds ratios in 32-bit floats, whatever it is given.
    let tolerance = if what.starts_with("orpo") { 1e-7 } else { 1e-9 };
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{what}: {found}, expected {expected}");
}

/// The loss of all rows, the slope of every token, and what each answer is worth, as the stage puts them together.
struct Found {
    loss: f64,
    slopes: Vec<[Vec<f64>; 2]>,
    answers: Vec<[Answer; 2]>,
}

fn found(case: &Value, file: &Value) -> Found {
    let settings = settings(case);
    let prompts = numbers(&file["prompts"]);
    let rows = |of: &str| -> Vec<[Vec<f64>; 2]> {
        let rows = file[of].as_array().unwrap().iter();
        rows.map(|row| [numbers(&row[0]), numbers(&row[1])]).collect()
    };
    let (policy, reference) = (rows("policy"), rows("reference"));
    let count = policy.len() as f64;
    let likelihood = case.get("likelihood").and_then(Value::as_f64).unwrap_or_else(|| settings.loss.usual_likelihood());
    let own = |row: usize, of: &[f64]| of[prompts[row] as usize - 1..].to_vec();
    let likely = |row: usize| {
        let first = &policy[row][0];
        if settings.loss.learns_prompts() { first.clone() } else { own(row, first) }
    };
    let tokens: f64 = (0..policy.len()).map(|row| likely(row).len() as f64).sum();
    let divergence = case.get("kl").and_then(Value::as_f64).unwrap_or(0.0);
    let mut found = Found { loss: 0.0, slopes: Vec::new(), answers: Vec::new() };
    for row in 0..policy.len() {
        let answer = |at: usize| Answer {
            policy: own(row, &policy[row][at]).iter().sum(),
            reference: own(row, &reference[row][at]).iter().sum(),
            tokens: own(row, &policy[row][at]).len() as f64,
        };
        let answers = [answer(0), answer(1)];
        let slopes = if settings.loss.is_unpaired() {
            let (first, by_first) = settings.of_answer(answers[0], true, divergence);
            let (second, by_second) = settings.of_answer(answers[1], false, divergence);
            found.loss += (first + second) / (2.0 * count);
            [by_first / 2.0, by_second / 2.0]
        } else {
            let pair = settings.of_pair(answers[0], answers[1]);
            found.loss += pair.loss / count;
            [pair.chosen, pair.rejected]
        };
        found.loss -= likelihood * likely(row).iter().sum::<f64>() / tokens;
        let per_token = |at: usize| -> Vec<f64> {
            let before = prompts[row] as usize - 1;
            let is_likely = |token: usize| at == 0 && (token >= before || settings.loss.learns_prompts());
            (0..policy[row][at].len())
                .map(|token| {
                    let own = if token >= before { slopes[at] / count } else { 0.0 };
                    own - if is_likely(token) { likelihood / tokens } else { 0.0 }
                })
                .collect()
        };
        found.slopes.push([per_token(0), per_token(1)]);
        found.answers.push(answers);
    }
    found
}

#[test]
fn every_loss_is_that_of_trl_value_and_gradients() {
    let file: Value = serde_json::from_str(TRL).unwrap();
    let mut seen: Vec<&str> = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        seen.push(name);
        let found = found(case, &file);
        close(found.loss, case["loss"].as_f64().unwrap(), name);
        for (row, slopes) in found.slopes.iter().enumerate() {
            for (at, slopes) in slopes.iter().enumerate() {
                let expected = numbers(&case["gradients"][row][at]);
                assert_eq!(slopes.len(), expected.len());
                slopes.iter().zip(&expected).for_each(|(found, expected)| close(*found, *expected, name));
            }
        }
        let settings = settings(case);
        let count = found.answers.len() as f64;
        let mean = |of: &dyn Fn(&[Answer; 2]) -> f64| found.answers.iter().map(of).sum::<f64>() / count;
        let figures = BTreeMap::from([
            ("rewards/chosen", mean(&|it| settings.reward(it[0]))),
            ("rewards/rejected", mean(&|it| settings.reward(it[1]))),
            ("logps/chosen", mean(&|it| it[0].policy)),
            ("logps/rejected", mean(&|it| it[1].policy)),
            ("rewards/margins", mean(&|it| settings.reward(it[0]) - settings.reward(it[1]))),
            ("rewards/accuracies", mean(&|it| f64::from(u8::from(settings.reward(it[0]) > settings.reward(it[1]))))),
        ]);
        for (figure, expected) in case["metrics"].as_object().unwrap() {
            if let Some(found) = figures.get(figure.as_str()) {
                close(*found, expected.as_f64().unwrap(), &format!("{name} {figure}"));
            }
        }
    }
    assert!(NAMES.iter().all(|name| seen.contains(name)), "{seen:?}");
}

/// Formulas as the papers have them, on one pair: log-probabilities -4 and -6 over 2 and 3 tokens, -5 and -5 before.
#[test]
fn losses_by_hand() {
    let chosen = Answer { policy: -4.0, reference: -5.0, tokens: 2.0 };
    let rejected = Answer { policy: -6.0, reference: -5.0, tokens: 3.0 };
    let of = |name: &str, beta: f64, smoothing: f64| {
        let case = json!({"name": name, "beta": beta, "label_smoothing": smoothing, "gamma": 0.3});
        settings(&case).of_pair(chosen, rejected).loss
    };
    let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
    // The pair leads by two.
    close(of("sigmoid", 0.5, 0.0), -sigma(1.0).ln(), "sigmoid");
    close(of("sigmoid", 0.5, 0.2), -0.8 * sigma(1.0).ln() - 0.2 * sigma(-1.0).ln(), "smoothed");
    close(of("hinge", 0.25, 0.0), 0.5, "hinge");
    close(of("hinge", 1.0, 0.0), 0.0, "hinge beyond the margin");
    close(of("ipo", 0.5, 0.0), (0.5 + 1.0 / 3.0 - 1.0_f64).powi(2), "ipo");
    close(of("robust", 0.5, 0.1), (-0.9 * sigma(1.0).ln() + 0.1 * sigma(-1.0).ln()) / 0.8, "robust");
    close(of("simpo", 2.0, 0.0), -sigma(2.0 * (-2.0 + 2.0) - 0.3).ln(), "simpo");
    close(of("cpo", 0.5, 0.0), -sigma(0.5 * 2.0).ln(), "cpo");
    let odds = |mean: f64| mean.exp() / (1.0 - mean.exp());
    close(of("orpo", 0.1, 0.0), -0.1 * sigma((odds(-2.0) / odds(-2.0)).ln()).ln(), "orpo");
    let kto = settings(&json!({"name": "kto", "beta": 0.5, "undesirable": 2.0}));
    close(kto.of_answer(chosen, true, 0.4).0, 1.0 - sigma(0.5 * (1.0 - 0.4)), "kto, good");
    close(kto.of_answer(rejected, false, 0.4).0, 2.0 * (1.0 - sigma(0.5 * (0.4 + 1.0))), "kto, not good");
    close(of_pair(1.5, 0.5, 0.25, 0.1).loss, -sigma(0.75).ln() + 0.1 * 4.0, "reward model");
    close(of_label(1.5, false).0, -sigma(-1.5).ln(), "label");
}

/// The slope of every loss, by differences along each of its numbers, at many places.
#[test]
fn every_slope_is_that_of_finite_differences() {
    const STEP: f64 = 1e-6;
    let slope = |of: &dyn Fn(f64) -> f64, at: f64| (of(at + STEP) - of(at - STEP)) / (2.0 * STEP);
    let near = |found: f64, expected: f64, what: &str| {
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{what}: {found}, slope {expected}");
    };
    let stream = Stream::new(5, "slopes");
    for round in 0..40 {
        let draw = |column: u64, low: f64, high: f64| low + (high - low) * stream.uniform(round, column);
        let answer = |column: u64| Answer {
            policy: draw(column, -12.0, -0.5),
            reference: draw(column + 1, -12.0, -0.5),
            tokens: 1.0 + stream.below(6, round, column + 2) as f64,
        };
        let (chosen, rejected) = (answer(0), answer(3));
        for name in NAMES {
            let smoothing = if loss(name).smooths() { draw(6, 0.01, 0.4) } else { 0.0 };
            let beta = draw(7, 0.05, 1.0);
            let case = json!({"name": name, "beta": beta, "label_smoothing": smoothing, "desirable": 1.5});
            let settings = Settings { tau: 0.5, ..settings(&case) };
            if settings.loss.is_unpaired() {
                for good in [true, false] {
                    let of = |policy: f64| settings.of_answer(Answer { policy, ..chosen }, good, 0.7).0;
                    near(settings.of_answer(chosen, good, 0.7).1, slope(&of, chosen.policy), name);
                }
                continue;
            }
            let found = settings.of_pair(chosen, rejected);
            // The corner of the hinge has no slope.
            if name == "hinge" && found.loss.abs() < 1e-3 && found.loss > 0.0 {
                continue;
            }
            let first = |policy: f64| settings.of_pair(Answer { policy, ..chosen }, rejected).loss;
            let second = |policy: f64| settings.of_pair(chosen, Answer { policy, ..rejected }).loss;
            near(found.chosen, slope(&first, chosen.policy), name);
            near(found.rejected, slope(&second, rejected.policy), name);
        }
        let (a, b, margin) = (draw(8, -3.0, 3.0), draw(9, -3.0, 3.0), draw(10, 0.0, 2.0));
        let found = of_pair(a, b, margin, 0.05);
        near(found.chosen, slope(&|a| of_pair(a, b, margin, 0.05).loss, a), "reward model");
        near(found.rejected, slope(&|b| of_pair(a, b, margin, 0.05).loss, b), "reward model");
        for good in [true, false] {
            near(of_label(a, good).1, slope(&|a| of_label(a, good).0, a), "label");
        }
    }
}

#[test]
fn a_reward_models_losses_are_those_of_trl_and_torch() {
    let file: Value = serde_json::from_str(TRL).unwrap();
    for case in file["reward"].as_array().unwrap() {
        let scores = numbers(&case["scores"]);
        let margins = if case["margins"].is_null() { vec![0.0; 4] } else { numbers(&case["margins"]) };
        let expected = numbers(&case["gradients"]);
        let (mut loss, half) = (0.0, scores.len() / 2);
        for row in 0..half {
            let found = of_pair(scores[row], scores[half + row], margins[row], case["center"].as_f64().unwrap());
            loss += found.loss / half as f64;
            close(found.chosen / half as f64, expected[row], "chosen");
            close(found.rejected / half as f64, expected[half + row], "rejected");
        }
        close(loss, case["loss"].as_f64().unwrap(), "loss");
    }
    let labels = &file["labels"];
    let scores = numbers(&labels["scores"]);
    let good: Vec<bool> = serde_json::from_value(labels["good"].clone()).unwrap();
    let count = scores.len() as f64;
    let found: Vec<(f64, f64)> = scores.iter().zip(&good).map(|(score, good)| of_label(*score, *good)).collect();
    close(found.iter().map(|it| it.0).sum::<f64>() / count, labels["loss"].as_f64().unwrap(), "labels");
    for ((_, slope), expected) in found.iter().zip(numbers(&labels["gradients"])) {
        close(slope / count, expected, "label");
    }
}

/// A folder as transformers saves a `..ForSequenceClassification`: a fixture's weights under the head of `scores.json`.
fn classifier(name: &str, class: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let mut tensors = candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    tensors.remove("lm_head.weight");
    let width = tensors["model.norm.weight"].elem_count();
    let head: Vec<f32> = (1..=width).map(|at| (at as f64).sin() as f32 / 4.0).collect();
    tensors.insert("score.weight".to_owned(), Tensor::from_vec(head, (1, width), &Device::Cpu).unwrap());
    candle_core::safetensors::save(&tensors, to.join("model.safetensors")).unwrap();
    let mut config: Value = serde_json::from_str(&fs::read_to_string(from.join("config.json")).unwrap()).unwrap();
    config["architectures"] = json!([class]);
    config["id2label"] = json!({"0": "LABEL_0"});
    config["label2id"] = json!({"LABEL_0": 0});
    fs::write(to.join("config.json"), config.to_string()).unwrap();
}

#[test]
fn a_reward_model_of_every_architecture_is_that_of_transformers() {
    let file: Value = serde_json::from_str(SCORES).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    for (name, case) in file["models"].as_object().unwrap() {
        let folder = tempfile::tempdir().unwrap();
        classifier(name, case["class"].as_str().unwrap(), folder.path());
        let complaint = Transformer::load(folder.path()).err().unwrap().to_string();
        assert!(complaint.contains("holds a reward model"), "{complaint}");
        let model = Transformer::load_scoring(folder.path()).unwrap();
        let ids = |of: &str| -> Vec<u32> { serde_json::from_value(case[of].clone()).unwrap() };
        let (chosen, rejected) = (ids("chosen"), ids("rejected"));
        let packed = Packed::new([&chosen[..], &rejected[..]]);
        let rows = [chosen.len() as u32 - 1, packed.ids.len() as u32 - 1];
        let expected = numbers(&case["scores"]);
        let near = |found: f64, expected: f64, what: &str| {
            let scale = expected.abs().max(1.0);
            assert!((found - expected).abs() <= 2e-5 * scale, "{name} {what}: {found}, expected {expected}");
        };
        let learnt = gradients(&model, &pool, &[()], |()| {
            let found = model.scores(&packed, &rows)?;
            let scores = found.scores.to_vec1::<f32>()?;
            scores.iter().zip(&expected).for_each(|(found, expected)| near(f64::from(*found), *expected, "score"));
            let pair = of_pair(f64::from(scores[0]), f64::from(scores[1]), 0.0, 0.0);
            let slopes = vec![pair.chosen as f32, pair.rejected as f32];
            Ok(PartLoss { loss: with_slopes(&found.scores, slopes, pair.loss)?, loads: found.loads })
        })
        .unwrap();
        near(f64::from(learnt.losses[0]), case["loss"].as_f64().unwrap(), "loss");
        let gradient = |tensor: &str| {
            let (at, place) = model.plan().find(tensor).unwrap();
            learnt.tensors[at][place.range()].iter().map(|it| f64::from(*it)).collect::<Vec<_>>()
        };
        for (tensor, of) in [("score.weight", "head_gradient"), ("model.norm.weight", "norm_gradient")] {
            for (found, expected) in gradient(tensor).iter().zip(numbers(&case[of])) {
                near(*found, expected, tensor);
            }
        }
        let norm = gradient("model.embed_tokens.weight").iter().map(|it| it * it).sum::<f64>().sqrt();
        near(norm, case["embedding_gradient_norm"].as_f64().unwrap(), "embedding");
        // Saved and loaded it is the same model, and says of itself what it is.
        let again = folder.path().join("again");
        model.save(&again).unwrap();
        let config: Value = serde_json::from_str(&fs::read_to_string(again.join("config.json")).unwrap()).unwrap();
        assert_eq!((&config["architectures"][0], &config["id2label"]), (&case["class"], &json!({"0": "LABEL_0"})));
        let saved = Transformer::load_scoring(&again).unwrap();
        let scores = |model: &Transformer| model.scores(&packed, &rows).unwrap().scores.to_vec1::<f32>().unwrap();
        assert_eq!(scores(&saved), scores(&model));
        // A score does not depend on what it is read together with.
        let alone = Packed::new([&rejected[..]]);
        let last = model.scores(&alone, &[rejected.len() as u32 - 1]).unwrap().scores.to_dtype(DType::F32).unwrap();
        assert_eq!(last.to_vec1::<f32>().unwrap()[0], scores(&model)[1]);
    }
}
