//! Every operation of the model beside its composition in plain Candle, on the sizes of a model of 35 M parameters: one
//! part of a training step, 1,024 tokens in four sequences, on one thread.
//!
//! `cargo bench --bench operators` prints criterion's figures, and at the end how near each operation comes to the ceiling:
//! the rate of a large product of matrices in Gflop/s, measured beside each.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench reads the clock, and ends where anything fails"
)]

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Duration, time::Instant};

use candle_core::{Device, Result, Tensor, Var};
use criterion::{Criterion, Throughput};
use regimen::{
    base::rng::Stream,
    model::{
        Router, Scoring,
        ops::{
            self, Angles, AttentionLayout, Piece,
            matmul::{Rows, RowsMut, nn},
            reference,
        },
    },
};

const TOKENS: usize = 1024;
const WIDTH: usize = 512;
const VOCAB: usize = 4096;
const EXPERTS: usize = 12;
const INNER: usize = 256;

/// A product of square matrices of this size leaves the caches behind: its rate is what the processor can do at most.
const SIZE: usize = 1024;
const CEILING: &str = "product";

/// What an operation makes of its leaves.
type Compute<'a> = Box<dyn Fn(&[Var]) -> Result<Tensor> + 'a>;

/// One operation with its composition, its leaves, and the floating-point operations of its forward pass.
struct Subject<'a> {
    name: &'a str,
    flops: usize,
    leaves: Vec<Var>,
    native: Compute<'a>,
    plain: Compute<'a>,
}

/// The fastest seconds seen of every measurement, by operation and kind.
#[derive(Default)]
struct Fastest(BTreeMap<(String, &'static str), f64>);

fn main() {
    regimen::model::prepare();
    // Candle's products take the threads of the pool that they are called from.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(bench);
}

fn bench() {
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(900))
        .configure_from_args();
    let mut fastest = Fastest::default();
    let subjects = subjects();
    let (a, b) = (numbers("a", SIZE * SIZE), numbers("b", SIZE * SIZE));
    for subject in &subjects {
        let mut group = criterion.benchmark_group(subject.name);
        let mut out = vec![0.0; SIZE * SIZE];
        group.bench_function(CEILING, |bencher| {
            bencher.iter_custom(|times| {
                fastest.time(subject.name, CEILING, times, || {
                    nn(RowsMut::set(&mut out, SIZE), Rows::new(&a, SIZE), Rows::new(&b, SIZE), [SIZE; 3]);
                    black_box(&mut out);
                })
            });
        });
        for (kind, passes, run) in [
            ("forward", 1, &subject.native),
            ("forward, plain", 1, &subject.plain),
            ("both ways", 3, &subject.native),
            ("both ways, plain", 3, &subject.plain),
        ] {
            // A backward pass of products is two more of them.
            if subject.flops > 0 {
                group.throughput(Throughput::Elements((passes * subject.flops) as u64));
            }
            group.bench_function(kind, |bencher| {
                bencher.iter_custom(|times| {
                    fastest.time(subject.name, kind, times, || {
                        let out = run(&subject.leaves).unwrap();
                        if passes == 3 {
                            black_box(out.sum_all().unwrap().backward().unwrap());
                        }
                        black_box(out);
                    })
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
    fastest.print(&subjects);
}

impl Fastest {
    fn time(&mut self, name: &str, kind: &'static str, times: u64, mut run: impl FnMut()) -> Duration {
        let start = Instant::now();
        (0..times).for_each(|_| run());
        let taken = start.elapsed();
        let seconds = taken.as_secs_f64() / times.max(1) as f64;
        let place = self.0.entry((name.to_owned(), kind)).or_insert(f64::INFINITY);
        *place = place.min(seconds);
        taken
    }

    fn print(&self, subjects: &[Subject<'_>]) {
        let of = |name: &str, kind| self.0.get(&(name.to_owned(), kind)).copied();
        println!(
            "| operation | MFLOP | ceiling | forward | of the ceiling | to plain | both ways | of the ceiling | to plain |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for subject in subjects {
            let kinds = [CEILING, "forward", "forward, plain", "both ways", "both ways, plain"];
            let [Some(product), Some(forward), Some(plain), Some(both), Some(both_plain)] =
                kinds.map(|kind| of(subject.name, kind))
            else {
                continue;
            };
            let per_flop = product / (2 * SIZE.pow(3)) as f64;
            let flops = subject.flops as f64;
            let share = |passes: f64, seconds: f64| match subject.flops {
                0 => String::new(),
                _ => format!("{:.0} %", 100.0 * passes * flops * per_flop / seconds),
            };
            let millis = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
            println!(
                "| {} | {:.0} | {:.0} | {} | {} | {:.1}x | {} | {} | {:.1}x |",
                subject.name,
                flops * 1e-6,
                1e-9 / per_flop,
                millis(forward),
                share(1.0, forward),
                plain / forward,
                millis(both),
                share(3.0, both),
                both_plain / both,
            );
        }
    }
}

fn subjects<'a>() -> Vec<Subject<'a>> {
    let subject =
        |name, flops, leaves, native: Compute<'a>, plain: Compute<'a>| Subject { name, flops, leaves, native, plain };
    let row_ids =
        || -> Vec<u32> { (0..TOKENS as u64).map(|at| Stream::new(0, "ids").below(4096, 0, at) as u32).collect() };
    let router = Router {
        scoring: Scoring::Sigmoid,
        experts: EXPERTS,
        chosen: 2,
        groups: 1,
        kept_groups: 1,
        normalise: true,
        scale: 2.5,
    };
    let scores = Tensor::from_vec(numbers("scores", TOKENS * EXPERTS), (TOKENS, EXPERTS), &Device::Cpu).unwrap();
    let (choice, weights) = ops::route(&scores, &router, &[]).unwrap();
    let weights = Var::from_tensor(&weights).unwrap();
    let choices = [choice.clone(), choice.clone(), choice];
    let [for_native, for_plain, for_route] = choices;
    let another = router.clone();
    vec![
        subject(
            "linear",
            2 * TOKENS * WIDTH * WIDTH,
            vec![var("x", &[TOKENS, WIDTH]), var("w", &[WIDTH, WIDTH])],
            Box::new(|it| ops::linear(&it[0], &it[1])),
            Box::new(|it| reference::linear(&it[0], &it[1])),
        ),
        subject(
            "linear and residual",
            2 * TOKENS * WIDTH * WIDTH,
            vec![var("x", &[TOKENS, WIDTH]), var("w", &[WIDTH, WIDTH]), var("r", &[TOKENS, WIDTH])],
            Box::new(|it| ops::linear_add(&it[0], &it[1], &it[2])),
            Box::new(|it| reference::linear(&it[0], &it[1])?.add(&it[2])),
        ),
        subject(
            "gated network",
            6 * TOKENS * WIDTH * 2 * WIDTH,
            vec![var("x", &[TOKENS, WIDTH]), var("g", &[4 * WIDTH, WIDTH]), var("d", &[WIDTH, 2 * WIDTH])],
            Box::new(|it| ops::mlp(&it[0], &it[1], &it[2])),
            Box::new(|it| reference::mlp(&it[0], &it[1], &it[2])),
        ),
        subject(
            "experts",
            6 * 2 * TOKENS * WIDTH * INNER,
            vec![var("x", &[TOKENS, WIDTH]), weights, var("e", &[EXPERTS, 3, INNER * WIDTH])],
            Box::new(move |it| ops::experts(&it[0], &it[1], &it[2], &for_native)),
            Box::new(move |it| reference::experts(&it[0], &it[1], &it[2], &for_plain)),
        ),
        attention("latent attention", latent()),
        attention("grouped attention", grouped()),
        subject(
            "head and log-probability",
            2 * TOKENS * WIDTH * VOCAB,
            vec![var("x", &[TOKENS, WIDTH]), var("h", &[VOCAB, WIDTH])],
            Box::new(move |it| Ok(ops::log_prob(&it[0], &it[1], &row_ids())?.0)),
            Box::new(move |it| Ok(reference::log_prob(&it[0], &it[1], &row_ids())?.0)),
        ),
        subject(
            "norm",
            0,
            vec![var("x", &[TOKENS, WIDTH]), var("n", &[WIDTH])],
            Box::new(|it| ops::rms_norm(&it[0], &it[1], 0, 1e-6)),
            Box::new(|it| reference::rms_norm(&it[0], &it[1], 0, 1e-6)),
        ),
        subject(
            "bias",
            0,
            vec![var("x", &[TOKENS, WIDTH]), var("b", &[WIDTH])],
            Box::new(|it| ops::add_bias(&it[0], &it[1])),
            Box::new(|it| reference::add_bias(&it[0], &it[1])),
        ),
        subject(
            "router",
            0,
            vec![var("scores", &[TOKENS, EXPERTS])],
            Box::new(move |it| Ok(ops::route(&it[0], &another, &[])?.1)),
            Box::new(move |it| reference::route(&it[0], &router, &for_route)),
        ),
        subject(
            "embedding",
            0,
            vec![var("t", &[VOCAB, WIDTH])],
            Box::new(move |it| ops::select_rows(&it[0], &row_ids())),
            Box::new(move |it| reference::select_rows(&it[0], &row_ids())),
        ),
    ]
}

/// Heads that share the turned part of their keys, as in DeepSeek-V3.
fn latent() -> (AttentionLayout, [usize; 3]) {
    let (heads, plain, turned, value, rank) = (8, 32, 32, 64, 128);
    let (qk, kv) = (plain + turned, plain + value);
    let layout = AttentionLayout {
        heads,
        kv_heads: heads,
        query: Piece { source: 0, offset: 0, step: qk, width: qk },
        key_plain: Piece { source: 1, offset: 0, step: kv, width: plain },
        key_turned: Piece { source: 2, offset: rank, step: 0, width: turned },
        value: Piece { source: 1, offset: plain, step: kv, width: value },
        interleaved: true,
        scale: 0.125,
    };
    (layout, [heads * qk, heads * kv, rank + turned])
}

/// Heads of which four read the same keys and values, as in Qwen3-MoE.
fn grouped() -> (AttentionLayout, [usize; 3]) {
    let (heads, kv_heads, width) = (8, 2, 64);
    let layout = AttentionLayout {
        heads,
        kv_heads,
        query: Piece { source: 0, offset: 0, step: width, width },
        key_plain: Piece { source: 1, offset: 0, step: width, width: 0 },
        key_turned: Piece { source: 1, offset: 0, step: width, width },
        value: Piece { source: 2, offset: 0, step: width, width },
        interleaved: false,
        scale: 0.125,
    };
    (layout, [heads * width, kv_heads * width, kv_heads * width])
}

fn attention<'a>(name: &'a str, (layout, columns): (AttentionLayout, [usize; 3])) -> Subject<'a> {
    let lengths: Arc<[usize]> = vec![TOKENS / 4; 4].into();
    let frequencies: Vec<f32> = (0..layout.key_turned.width / 2).map(|at| 0.5_f32.powi(at as i32)).collect();
    let angles = Arc::new(Angles::new(&frequencies, 1.0, TOKENS / 4));
    // Half of the scores and of the sums over values lie behind the mask.
    let flops = layout.heads * TOKENS * (TOKENS / 4) * (layout.qk() + layout.value.width);
    let (layout, other) = (Arc::new(layout.clone()), layout);
    let (plain_angles, plain_lengths) = (Arc::clone(&angles), Arc::clone(&lengths));
    Subject {
        name,
        flops,
        leaves: columns.iter().zip(["a", "b", "c"]).map(|(columns, name)| var(name, &[TOKENS, *columns])).collect(),
        native: Box::new(move |it| ops::attention([&it[0], &it[1], &it[2]], &layout, &angles, &lengths)),
        plain: Box::new(move |it| {
            reference::attention([&it[0], &it[1], &it[2]], &other, &plain_angles, &plain_lengths)
        }),
    }
}

fn var(name: &str, shape: &[usize]) -> Var {
    Var::from_vec(numbers(name, shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn numbers(name: &str, count: usize) -> Vec<f32> {
    let stream = Stream::new(11, name);
    (0..count).map(|at| 0.1 * stream.normal(0, at as u64) as f32).collect()
}
