//! Memory over a long time: thousands of training steps with sampling between them leave the process no larger.

use std::path::Path;

use regimen::base::rng::Stream;
use regimen::model::{
    AdamW, AdamWSettings, Config, Packed, PartLoss, Prompt, Sampler, Sampling, Transformer, gradients,
};

const STEPS: u64 = 2_000;
/// After so many steps the process has all it needs.
const WARM: u64 = 200;
/// A completion batch follows on so many steps.
const EVERY: u64 = 20;
/// How much larger the process may be at the end than after warming up, in MiB.
const BOUND: f64 = 4.0;

/// What the process holds, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

/// `cargo test soak:: -- --ignored --nocapture`: some minutes.
#[test]
#[ignore = "takes minutes"]
fn memory_is_flat_over_two_thousand_steps_and_two_hundred_thousand_tokens() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dsv3_group/config.json");
    let mut model = Transformer::init(Config::read(&config).unwrap(), 3).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut optimizer = AdamW::new(&model, AdamWSettings::default());
    let stream = Stream::new(5, "soak");
    let (mut drawn, mut warm, mut largest) = (0, 0.0, 0.0_f64);
    for step in 0..STEPS {
        // Lengths differ from step to step, so that memory is never cut the same way twice.
        let parts: Vec<Packed> = (0..3)
            .map(|part| {
                let length = 8 + stream.below(120, step, part);
                let ids: Vec<u32> =
                    (0..length).map(|at| stream.below(256, 4 * step + part, 1000 + at) as u32).collect();
                Packed::new([ids.as_slice()])
            })
            .collect();
        model.set_recompute(step % 2 == 1);
        let loss = |packed: &Packed| {
            let rows: Vec<u32> = (0..packed.ids.len() as u32 - 1).collect();
            let found = model.log_probs(packed, &rows, &packed.ids[1..])?;
            Ok(PartLoss { loss: found.log_probs.sum_all()?.affine(-0.005, 0.0)?, loads: found.loads })
        };
        let mut found = gradients(&model, &pool, &parts, loss).unwrap();
        found.clip(1.0);
        optimizer.step(&model, &found, 1e-4, &pool).unwrap();
        model.update_router_bias(&found.loads, 1e-3);
        found.give_back(&model);
        if step % EVERY == 0 {
            let prompt = |row: u64| Prompt { ids: parts[0].ids[..8].to_vec(), row: 8 * row, copies: 8 };
            let prompts: Vec<Prompt> = (8 * step..8 * step + 8).map(prompt).collect();
            let sampling = Sampling { max_new: 32, ..Sampling::default() };
            let completions = Sampler::new(&model).unwrap().generate(&pool, &prompts, &sampling).unwrap();
            drawn += completions.iter().map(|it| it.ids.len()).sum::<usize>();
        }
        if step == WARM {
            warm = resident();
        } else if step > WARM {
            largest = largest.max(resident());
        }
    }
    println!("{STEPS} steps, {drawn} tokens: {warm:.1} MiB after {WARM} steps, {:.1} at the end", resident());
    assert!(drawn >= 200_000, "{drawn} tokens");
    assert!(largest <= warm + BOUND, "{warm:.1} MiB after {WARM} steps, and up to {largest:.1} later");
}
