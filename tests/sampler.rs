//! What the sampler promises: the reference's greedy tokens, and rows that depend on nothing beside them.

use std::path::{Path, PathBuf};

use regimen::base::rng::Stream;
use regimen::model::{Completion, Packed, Prompt, Sampler, Sampling, Transformer};

const MODELS: [&str; 6] = ["dsv3_group", "dsv3_noqlora", "dsv3_yarn", "llama", "qwen2", "qwen3_moe"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(name: &str) -> Transformer {
    Transformer::load(&fixture(name)).unwrap()
}

fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn sampling(temperature: f32, max_new: usize) -> Sampling {
    Sampling { temperature, max_new, seed: 11, ..Sampling::default() }
}

/// Prompts of different lengths, some across a page of the cache, with different numbers of copies.
fn prompts() -> Vec<Prompt> {
    let stream = Stream::new(1, "prompts");
    let ids = |at: u64, length: u64| (0..length).map(|place| 2 + stream.below(250, at, place) as u32).collect();
    let sizes = [(1, 3), (7, 1), (16, 5), (33, 2), (15, 9), (17, 1), (40, 4)];
    let rows = sizes.into_iter().enumerate();
    rows.map(|(at, (length, copies))| Prompt { ids: ids(at as u64, length), row: 100 * at as u64, copies }).collect()
}

/// The bits of completions, so that equality means equality of every bit.
fn bits(completions: &[Completion]) -> Vec<(u64, Vec<u32>, Vec<u32>, bool)> {
    let bits = |it: &Completion| it.log_probs.iter().map(|log_prob| log_prob.to_bits()).collect();
    completions.iter().map(|it| (it.row, it.ids.clone(), bits(it), it.stopped)).collect()
}

#[test]
fn a_row_depends_neither_on_threads_nor_on_the_rows_beside_it() {
    for name in MODELS {
        let sampler = Sampler::new(&load(name)).unwrap();
        let settings = Sampling { stop: (0..12).collect(), ..sampling(1.0, 40) };
        let prompts = prompts();
        let together = sampler.generate(&pool(1), &prompts, &settings).unwrap();
        assert!(together.iter().any(|it| it.stopped) && together.iter().any(|it| !it.stopped));
        for threads in [2, 3] {
            let found = sampler.generate(&pool(threads), &prompts, &settings).unwrap();
            assert_eq!(bits(&found), bits(&together), "{name} with {threads} threads");
        }
        let copies = prompts.iter().flat_map(|prompt| (0..prompt.copies as u64).map(move |copy| (prompt, copy)));
        let pool = pool(1);
        for ((prompt, copy), expected) in copies.zip(&together) {
            let alone = Prompt { row: prompt.row + copy, copies: 1, ..prompt.clone() };
            let found = sampler.generate(&pool, &[alone], &settings).unwrap();
            assert_eq!(bits(&found), bits(std::slice::from_ref(expected)), "{name}, row {}", expected.row);
        }
    }
}

#[test]
fn completions_are_the_same_in_batches_of_1_7_and_64() {
    for name in MODELS {
        let sampler = Sampler::new(&load(name)).unwrap();
        let settings = Sampling { stop: (0..6).collect(), ..sampling(0.9, 24) };
        let prompt = |at: u32| Prompt {
            ids: (0..1 + at % 9).map(|it| 7 + 3 * at + it).collect(),
            row: u64::from(at),
            copies: 1,
        };
        let prompts: Vec<Prompt> = (0..64).map(prompt).collect();
        let whole = bits(&sampler.generate(&pool(2), &prompts, &settings).unwrap());
        for size in [1, 7] {
            let parts = prompts.chunks(size).flat_map(|some| sampler.generate(&pool(2), some, &settings).unwrap());
            assert_eq!(bits(&parts.collect::<Vec<_>>()), whole, "{name} in batches of {size}");
        }
    }
}

/// The log-probabilities of a completion by the training forward pass, where other sequences lie around it.
fn trained_log_probs(model: &Transformer, prompt: &[u32], completion: &Completion, temperature: f32) -> Vec<f32> {
    let whole = [prompt, &completion.ids].concat();
    let packed = Packed::new([&[9, 8, 7][..], &whole, &[6, 5]]);
    let rows: Vec<u32> = (0..completion.ids.len()).map(|at| (3 + prompt.len() - 1 + at) as u32).collect();
    model.log_probs_at(&packed, &rows, &completion.ids, temperature).unwrap().log_probs.to_vec1().unwrap()
}

/// Not only close: the sampler sums in the order of the training operations, so the difference is zero.
#[test]
fn the_trainer_is_the_sampler() {
    for name in MODELS {
        let model = load(name);
        let mut prompts = prompts();
        if name == "dsv3_yarn" {
            // Values of more than 512 tokens are summed in parts.
            prompts.push(Prompt { ids: (0..600).map(|at| 2 + at * 7 % 250).collect(), row: 5000, copies: 2 });
        }
        let sampler = Sampler::new(&model).unwrap();
        for temperature in [1.0, 0.7] {
            let found = sampler.generate(&pool(2), &prompts, &sampling(temperature, 50)).unwrap();
            let copies = prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, prompt.copies));
            for (prompt, completion) in copies.zip(&found) {
                let trained = trained_log_probs(&model, &prompt.ids, completion, temperature);
                assert_eq!(trained, completion.log_probs, "{name} at {temperature}, row {}", completion.row);
            }
        }
    }
}

/// More rows than a shard is wide: rows enter as others leave, and a group's copies begin at different times.
#[test]
fn a_long_queue_changes_no_row() {
    let sampler = Sampler::new(&load("dsv3_group")).unwrap();
    let settings = Sampling { stop: (0..20).collect(), ..sampling(1.0, 20) };
    let prompt =
        |at: u32| Prompt { ids: vec![2 + at, 77, 3 + at], row: u64::from(at) << 8, copies: 1 + at as usize * 7 };
    let prompts: Vec<Prompt> = (0..15).map(prompt).collect();
    let together = sampler.generate(&pool(2), &prompts, &settings).unwrap();
    assert_eq!(together.len(), (0..15).map(|at| 1 + at * 7).sum::<usize>());
    let apart: Vec<Completion> = prompts
        .iter()
        .flat_map(|prompt| sampler.generate(&pool(1), std::slice::from_ref(prompt), &settings).unwrap())
        .collect();
    assert_eq!(bits(&together), bits(&apart));
}

#[test]
fn copies_differ_by_their_names_and_seeds_only() {
    let sampler = Sampler::new(&load("dsv3_yarn")).unwrap();
    let ids = vec![5, 6, 7];
    let generate = |row, copies, seed| {
        let prompts = [Prompt { ids: ids.clone(), row, copies }];
        let found = sampler.generate(&pool(2), &prompts, &Sampling { seed, ..sampling(1.0, 12) }).unwrap();
        found.into_iter().map(|it| it.ids).collect::<Vec<_>>()
    };
    let four = generate(40, 4, 1);
    assert_eq!(four[2..], generate(42, 2, 1));
    assert!(four[0] != four[1] && four[1] != four[2]);
    assert_ne!(four, generate(40, 4, 2));
}

#[test]
fn empty_requests_have_empty_answers() {
    let sampler = Sampler::new(&load("llama")).unwrap();
    assert_eq!(sampler.generate(&pool(2), &[], &sampling(1.0, 5)).unwrap(), []);
    let nothing = |row| Completion { row, ids: Vec::new(), log_probs: Vec::new(), stopped: false };
    let prompts = [
        Prompt { ids: vec![3], row: 0, copies: 0 },
        Prompt { ids: Vec::new(), row: 1, copies: 2 },
        Prompt { ids: vec![4], row: 9, copies: 1 },
    ];
    let found = sampler.generate(&pool(2), &prompts, &sampling(1.0, 0)).unwrap();
    assert_eq!(found, [nothing(1), nothing(2), nothing(9)]);
}
