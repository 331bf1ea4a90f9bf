//! What every device must compute: the values of transformers 5.23, and what the processor's own operations give.
//!
//! Each test is a function of a device, run by one macro on all that there are: the processor's own operations, the plain
//! compositions that other devices run, and a graphics card where the program is built for one and finds it.

use candle_core::Tensor;
use regimen::base::device::Device;
use regimen::base::rng::Stream;
use regimen::model::{
    AdamW, AdamWSettings, Balance, Config, Gradients, ModelError, Packed, PartLoss, Prompt, Router, Sampler, Sampling,
    Scoring, Transformer, gradients,
};
use serde_json::{Value, json};

use crate::model::{FIXTURES, Fixture, all_rows, by_name, mean_loss, next_tokens, norm, packed, pool, worst};

macro_rules! on_every_device {
    ($($test:ident),* $(,)?) => {
        mod cpu {
            $(#[test] fn $test() { super::$test(super::Device::Cpu); })*
        }
        mod plain {
            $(#[test] fn $test() { super::$test(super::Device::Plain); })*
        }
        #[cfg(feature = "cuda")]
        mod cuda {
            $(#[test] fn $test() {
                match super::Device::Cuda.check() {
                    Ok(()) => super::$test(super::Device::Cuda),
                    Err(error) => eprintln!("not run: {error}"),
                }
            })*
        }
    };
}

on_every_device!(
    logits_and_losses_are_those_of_transformers,
    gradients_are_those_of_transformers,
    six_steps_of_adamw_give_the_losses_of_torch,
    losses_that_look_ahead_and_balance_experts_pull_alike,
    entropy_pulls_alike,
    a_model_that_scores_scores_alike,
    greedy_tokens_are_those_of_transformers,
    sampled_log_probabilities_are_those_of_training,
    what_a_prompt_becomes_depends_on_no_other,
    a_model_comes_back_as_it_went,
);

/// A fixture whose model is on a device.
fn open(name: &str, device: Device) -> Fixture {
    let mut fixture = Fixture::open(name);
    fixture.model = fixture.model.on(device).unwrap();
    fixture
}

/// A fresh model of a fixture's sizes; DeepSeek-V3 with a layer that looks ahead.
fn fresh(name: &str) -> Transformer {
    let path = format!("{}/tests/fixtures/{name}/config.json", env!("CARGO_MANIFEST_DIR"));
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    if name.starts_with("dsv3") {
        value["num_nextn_predict_layers"] = json!(1);
    }
    value["initializer_range"] = json!(0.1);
    Transformer::init(Config::from_json(&value).unwrap(), 7).unwrap()
}

/// Holds gradients against those of the processor's own operations: each tensor by the norm of what lies between.
fn assert_close(name: &str, found: &Gradients, expected: &Gradients) {
    for (found, expected) in found.losses.iter().zip(&expected.losses) {
        assert!((found - expected).abs() <= 2e-6 * expected.abs().max(1.0), "{name}: loss {found}, {expected}");
    }
    assert_eq!(found.loads, expected.loads, "{name}");
    for (at, (found, expected)) in found.tensors.iter().zip(&expected.tensors).enumerate() {
        let apart = norm(found.iter().zip(expected).map(|(a, b)| a - b));
        let size = norm(expected.iter().copied());
        assert!(size > 0.0 && apart <= 2e-5 * size, "{name}: variable {at}: {apart} of {size}");
    }
}

fn logits_and_losses_are_those_of_transformers(device: Device) {
    for name in FIXTURES {
        let fixture = open(name, device);
        let batch = packed(&fixture.sequences("input_ids"));
        let logits = fixture.model.forward(&batch, &all_rows(&batch)).unwrap().logits;
        let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
        let apart = worst(&logits, &fixture.expected("logits"));
        assert!(apart < 1e-4, "{name}: {apart}");
        let (rows, targets) = next_tokens(&batch);
        let result = fixture.model.log_probs(&batch, &rows, &targets).unwrap();
        let found: Vec<f32> = result.log_probs.to_vec1().unwrap();
        let apart = worst(&found, &fixture.expected("token_logprobs"));
        assert!(apart < 1e-4, "{name}: {apart}");
        let loss = -found.iter().sum::<f32>() / found.len() as f32;
        assert!((loss - fixture.expected("loss")[0]).abs() < 1e-5, "{name}: {loss}");
        // A sequence sees no other.
        let alone = packed(&fixture.sequences("input_ids")[1..]);
        let alone = fixture.model.forward(&alone, &all_rows(&alone)).unwrap().logits.flatten_all().unwrap();
        let expected = fixture.expected("logits");
        let apart = worst(&alone.to_vec1().unwrap(), &expected[expected.len() - alone.elem_count()..]);
        assert!(apart < 1e-4, "{name}: {apart}");
    }
}

fn gradients_are_those_of_transformers(device: Device) {
    for name in FIXTURES {
        let fixture = open(name, device);
        let found = mean_loss(&fixture.model, &[packed(&fixture.sequences("input_ids"))], 1);
        let known = fixture.meta["grads"].as_object().unwrap();
        let named = by_name(&fixture.model, &found);
        assert_eq!(named.len(), known.len(), "{name}");
        for (tensor, values) in named {
            let number = |field: &str| known[tensor][field].as_f64().unwrap();
            let (size, sum) = (norm(values.iter().copied()), values.iter().map(|it| f64::from(*it)).sum::<f64>());
            assert!((size - number("norm")).abs() <= 1e-4 * number("norm"), "{name} {tensor}: norm {size}");
            assert!((sum - number("sum")).abs() <= 1e-4 * number("sum").abs().max(size), "{name} {tensor}: sum {sum}");
            if let Some(expected) = fixture.expected.get(&format!("grad.{tensor}")) {
                let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
                let apart = norm(values.iter().zip(&expected).map(|(a, b)| a - b));
                assert!(apart <= 1e-4 * size, "{name} {tensor}: {apart} of {size}");
            }
        }
    }
}

fn six_steps_of_adamw_give_the_losses_of_torch(device: Device) {
    for name in FIXTURES {
        let fixture = open(name, device);
        let settings = AdamWSettings { decay_vectors: true, ..AdamWSettings::default() };
        let mut optimizer = AdamW::new(&fixture.model, settings);
        let parts = [packed(&fixture.sequences("input_ids"))];
        for expected in fixture.expected("adamw_losses") {
            let found = mean_loss(&fixture.model, &parts, 2);
            assert!((found.losses[0] - expected).abs() < 1e-4 * expected, "{name}: {:?} {expected}", found.losses);
            optimizer.step(&fixture.model, &found, 1e-3, &pool(2)).unwrap();
        }
    }
}

/// Sequences of random tokens, in two parts.
fn parts() -> [Packed; 2] {
    let stream = Stream::new(5, "devices");
    let sequence = |row, length| -> Vec<u32> { (0..length).map(|at| stream.below(256, row, at) as u32).collect() };
    [packed(&[sequence(0, 19), sequence(1, 1), sequence(2, 40)]), packed(&[sequence(3, 33)])]
}

fn losses_that_look_ahead_and_balance_experts_pull_alike(device: Device) {
    for name in ["dsv3_group", "qwen3_moe"] {
        let learn = |model: &Transformer| {
            let balance = match Router::new(model.config()).unwrap().scoring {
                Scoring::Sigmoid => Balance::Sequence { weight: 0.5 },
                Scoring::Softmax => Balance::batch(0.5, &model.loads(&parts()[0]).unwrap(), 2),
            };
            let loss = |part: &Packed| {
                let (rows, targets) = next_tokens(part);
                let found = model.log_probs_to_learn(part, &rows, &targets, true, Some(balance.clone()))?;
                assert!(found.balance > 0.0);
                Ok(PartLoss { loss: found.loss(90, 0.3)?, loads: found.next.loads })
            };
            gradients(model, &pool(2), &parts(), loss).unwrap()
        };
        let expected = learn(&fresh(name));
        assert_close(name, &learn(&fresh(name).on(device).unwrap()), &expected);
    }
}

fn entropy_pulls_alike(device: Device) {
    for name in ["dsv3_noqlora", "llama", "qwen2"] {
        let learn = |model: &Transformer| {
            let loss = |part: &Packed| -> Result<PartLoss, ModelError> {
                let (rows, targets) = next_tokens(part);
                let found = model.log_probs_and_entropy(part, &rows, &targets, 0.7)?;
                let loss = (found.log_probs.mean_all()? + (found.entropy.mean_all()? * 0.3)?)?;
                Ok(PartLoss { loss, loads: found.loads })
            };
            gradients(model, &pool(1), &parts(), loss).unwrap()
        };
        let mut model = fresh(name);
        // A layer that looks ahead has no part in this loss.
        if let Config::DeepseekV3(config) = model.config() {
            let config = regimen::model::DeepseekConfig { num_nextn_predict_layers: 0, ..config.clone() };
            model = Transformer::init(Config::DeepseekV3(config), 7).unwrap();
        }
        let expected = learn(&model);
        assert_close(name, &learn(&model.on(device).unwrap()), &expected);
    }
}

fn a_model_that_scores_scores_alike(device: Device) {
    let scores = |model: Transformer| {
        let model = model.into_scoring(3, Some(0)).unwrap();
        let [part, _] = parts();
        model.scores(&part, &[18, 19, 59]).unwrap().scores.to_vec1::<f32>().unwrap()
    };
    let expected = scores(Fixture::open("llama").model);
    let apart = worst(&scores(open("llama", device).model), &expected);
    assert!(apart < 1e-6, "{apart} of {expected:?}");
}

fn greedy_tokens_are_those_of_transformers(device: Device) {
    for name in FIXTURES {
        let fixture = open(name, device);
        let (prompt, expected) = (&fixture.sequences("prompt")[0], &fixture.sequences("greedy_ids")[0]);
        let settings = Sampling { temperature: 0.0, max_new: expected.len() - prompt.len(), ..Sampling::default() };
        let prompts = [Prompt { ids: prompt.clone(), row: 0, copies: 1 }];
        let found = Sampler::new(&fixture.model).unwrap().generate(&pool(1), &prompts, &settings).unwrap();
        assert_eq!([prompt.as_slice(), &found[0].ids].concat(), *expected, "{name}");
    }
}

/// On the processor they are the same to the last bit, as the tests of the sampler say.
fn sampled_log_probabilities_are_those_of_training(device: Device) {
    for name in FIXTURES {
        let model = open(name, device).model;
        let prompts = [Prompt { ids: vec![5, 6, 7, 8], row: 3, copies: 3 }, Prompt { ids: vec![9], row: 9, copies: 1 }];
        let settings = Sampling { temperature: 0.7, max_new: 12, seed: 4, stop: vec![1], ..Sampling::default() };
        let found = Sampler::new(&model).unwrap().generate(&pool(2), &prompts, &settings).unwrap();
        assert_eq!(found.iter().map(|it| it.row).collect::<Vec<_>>(), [3, 4, 5, 9]);
        for (completion, prompt) in found.iter().zip([0, 0, 0, 1].map(|at: usize| &prompts[at].ids)) {
            let whole = [prompt.as_slice(), &completion.ids].concat();
            let rows: Vec<u32> = (0..completion.ids.len()).map(|at| (prompt.len() - 1 + at) as u32).collect();
            let trained = model.log_probs_at(&Packed::new([whole.as_slice()]), &rows, &completion.ids, 0.7).unwrap();
            let apart = worst(&completion.log_probs, &trained.log_probs.to_vec1::<f32>().unwrap());
            assert!(apart <= 1e-5, "{name}: {apart}");
        }
    }
}

fn what_a_prompt_becomes_depends_on_no_other(device: Device) {
    let sampler = Sampler::new(&open("dsv3_group", device).model).unwrap();
    let prompt = |at: u32| Prompt { ids: (0..1 + at % 5).map(|it| 3 * at + it).collect(), row: at.into(), copies: 2 };
    let prompts: Vec<Prompt> = (0..6).map(|at| prompt(at * 2)).collect();
    let settings = Sampling { max_new: 10, seed: 4, stop: vec![1, 2, 3, 4, 5, 6], ..Sampling::default() };
    let together = sampler.generate(&pool(2), &prompts, &settings).unwrap();
    assert!(together.iter().any(|it| it.stopped) && together.iter().any(|it| !it.stopped));
    let apart = prompts.iter().map(|it| sampler.generate(&pool(1), std::slice::from_ref(it), &settings).unwrap());
    assert_eq!(apart.collect::<Vec<_>>().concat(), together);
    let until = sampler.generate_until(&pool(1), &prompts, &settings, &|ids| ids.len() == 3).unwrap();
    assert!(until.iter().all(|it| it.ids.len() <= 3 && it.stopped));
    let none = Sampling { max_new: 0, ..settings };
    assert!(sampler.generate(&pool(1), &prompts, &none).unwrap().iter().all(|it| it.ids.is_empty()));
}

fn a_model_comes_back_as_it_went(device: Device) {
    for name in ["dsv3_group", "qwen2"] {
        let bytes = |model: &Transformer| {
            let dir = tempfile::tempdir().unwrap();
            model.save(dir.path()).unwrap();
            std::fs::read(dir.path().join("model.safetensors")).unwrap()
        };
        let expected = bytes(&Fixture::open(name).model);
        let model = open(name, device).model;
        assert_eq!(model.device(), device);
        assert!(bytes(&model) == expected);
        let copy = model.copy().unwrap();
        assert!(copy.device() == device && bytes(&copy) == expected);
        let weight = model.weight("model.embed_tokens.weight").unwrap();
        assert_eq!(weight, Fixture::open(name).model.weight("model.embed_tokens.weight").unwrap());
        // Trained for a step, it is another, and the copy is what it was.
        let mut optimizer = AdamW::new(&model, AdamWSettings::default());
        optimizer.step(&model, &mean_loss(&model, &parts(), 2), 1e-3, &pool(2)).unwrap();
        let trained = bytes(&model);
        assert!(trained != expected && bytes(&copy) == expected);
        assert!(bytes(&model.on(Device::Cpu).unwrap()) == trained);
    }
}

#[test]
fn the_plain_compositions_are_not_the_kernels_in_disguise() {
    let logits = |device| {
        let fixture = open("dsv3_yarn", device);
        let batch = packed(&fixture.sequences("input_ids"));
        let logits: Tensor = fixture.model.forward(&batch, &all_rows(&batch)).unwrap().logits;
        logits.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (kernels, plain) = (logits(Device::Cpu), logits(Device::Plain));
    let apart = worst(&kernels, &plain);
    assert!(apart > 0.0 && apart < 1e-4, "{apart}");
    assert!(logits(Device::Cpu) == kernels, "the choice of operations ends with the model that made it");
}

#[test]
fn devices_have_names_and_what_is_missing_says_so() {
    let named: Vec<(&str, &str)> = Device::ALL.iter().map(|it| (it.name(), it.backend())).collect();
    let expected = [("cpu", "candle-cpu-f32"), ("plain", "candle-plain-f32"), ("cuda", "candle-cuda-f32")];
    assert_eq!(named, expected);
    assert!(Device::ALL.iter().all(|it| it.name().parse() == Ok(*it)));
    assert_eq!("gpu".parse::<Device>(), Err("expected `cpu`, `cuda` or `plain`, found `gpu`".to_owned()));
    assert_eq!(&Device::present()[..2], [Device::Cpu, Device::Plain]);
    if cfg!(not(feature = "cuda")) {
        let error = Device::Cuda.check().unwrap_err().to_string();
        let start = "the device `cuda` cannot be opened (this program was built without it: build it with \
                     `--features cuda`): ";
        assert!(error.starts_with(start), "{error}");
    }
}
