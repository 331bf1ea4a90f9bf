//! How long a recipe takes from text to plan, at three sizes, so that anything worse than linear shows.
//!
//! `cargo bench` prints the median of nine for each.
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::{fmt::Write, time::Instant};

use regimen::{
    base::span::Sources,
    lang::{self, Overrides},
    plan::Plan,
    syntax,
};

fn main() {
    for steps in [100, 1_000, 10_000] {
        let text = recipe(steps);
        let mut seconds: Vec<f64> = (0..9).map(|_| plan(&text, steps)).collect();
        seconds.sort_by(f64::total_cmp);
        println!("{steps} steps: {:.2} ms", seconds[4] * 1e3);
    }
}

fn recipe(steps: usize) -> String {
    (0..steps).fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "step{step} = problems(rows = 100 rows, seed = {step})");
        text
    })
}

fn plan(text: &str, steps: usize) -> f64 {
    let start = Instant::now();
    let mut sources = Sources::default();
    let source = sources.add("bench.rgm", text);
    let (file, _) = syntax::parse(source, text);
    let (program, _) = lang::check(&mut sources, &file, &Overrides::default());
    assert_eq!(Plan::new(&program, &|_| 1).steps.len(), steps);
    start.elapsed().as_secs_f64()
}
