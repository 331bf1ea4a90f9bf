//! What the engine itself costs: plans, runs with nothing to do, and steps that do next to nothing, each in a process of
//! its own, beside ninja on the same graph where ninja is installed.
//!
//! `cargo bench --bench engine [-- SIZE..]` prints, for graphs of each size (30, 1,000, 10,000 and 100,000 steps where none
//! is given), the median wall time of several runs, their processor time, and the most memory of a process. The graph has
//! twenty layers; each step takes from one to three of the layer before.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a bench reads the clock, and ends where it cannot"
)]

use std::{
    collections::BTreeMap,
    env,
    fmt::Write,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use regimen::{
    base::{digest::Digest, rng::Stream, span::Sources},
    lang::{self, Overrides},
    plan::Plan,
    schedule::{FileDigests, key_fields},
    stages,
    store::{Done, FORMAT, Folder, Glance, Record, Store, digest_file},
    syntax,
};

const LAYERS: usize = 20;

fn main() {
    let sizes: Vec<usize> = env::args().skip(1).filter_map(|it| it.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![30, 1_000, 10_000, 100_000] } else { sizes };
    println!("{:>8}  {:<28}  {:>9}  {:>9}  {:>9}", "steps", "what", "wall", "cpu", "memory");
    for size in sizes {
        let folder = env::temp_dir().join(format!("regimen-bench-{}-{size}", std::process::id()));
        fs::create_dir_all(folder.join("src")).expect("a folder for the bench");
        let graph = graph(size);
        bench(&folder, &graph);
        let _ = fs::remove_dir_all(&folder);
    }
}

/// For each step the steps it takes from; none of those in the first layer.
fn graph(size: usize) -> Vec<Vec<usize>> {
    let layers = LAYERS.min(size);
    let stream = Stream::new(7, "bench");
    let wide = size.div_ceil(layers);
    let step = |at: usize| {
        let (layer, before) = (at / wide, (at / wide).saturating_sub(1) * wide);
        let count = if layer == 0 { 0 } else { 1 + stream.below(3, at as u64, 0) as usize };
        let mut taken: Vec<usize> =
            (0..count).map(|place| before + stream.below(wide as u64, at as u64, 1 + place as u64) as usize).collect();
        taken.sort_unstable();
        taken.dedup();
        taken
    };
    (0..size).map(step).collect()
}

fn bench(folder: &Path, graph: &[Vec<usize>]) {
    let size = graph.len();
    let binary = env!("CARGO_BIN_EXE_regimen");
    let times = if size > 20_000 { 3 } else { 7 };
    fs::write(folder.join("bench.rgm"), recipe(folder, graph)).expect("the recipe");
    let show = |what: &str, program: &str, arguments: &[&str], times: usize| {
        let (wall, cpu, memory) = measure(folder, program, arguments, times);
        println!("{size:>8}  {what:<28}  {:>6.1} ms  {:>6.1} ms  {memory:>5.0} MiB", wall * 1e3, cpu * 1e3);
    };
    show("check", binary, &["check", "bench.rgm"], times);
    show("plan, nothing made", binary, &["plan", "bench.rgm"], times);
    if size <= 1_000 {
        let (wall, cpu, _) = measure(folder, binary, &["run", "bench.rgm", "--threads", "2"], 1);
        let [wall, cpu] = [wall, cpu].map(|it| it * 1e3 / size as f64);
        println!("{size:>8}  {:<28}  {wall:>6.2} ms  {cpu:>6.2} ms", "first run, for each step");
    } else {
        fabricate(folder);
    }
    // Nothing changed, so that the echo of the run before answers; and a text that must be read and checked anew.
    measure(folder, binary, &["run", "bench.rgm"], 1);
    show("run, all made", binary, &["run", "bench.rgm"], times);
    show("plan, all made", binary, &["plan", "bench.rgm"], times);
    let changed = "echo >> bench.rgm; exec $0 run bench.rgm";
    show("run, all made, text changed", "sh", &["-c", changed, binary], times);
    if Command::new("ninja").arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success()) {
        ninja(folder, graph);
        show("ninja, nothing made", "ninja", &["-n", "-C", "ninja"], times);
        if size <= 10_000 {
            show("ninja, first run", "ninja", &["-j2", "-C", "ninja"], 1);
            show("ninja, all made", "ninja", &["-j2", "-C", "ninja"], times);
        }
    }
}

/// The graph as a recipe: a small file read at the start of it, rows put together further on.
fn recipe(folder: &Path, graph: &[Vec<usize>]) -> String {
    let mut text = String::new();
    for (at, taken) in graph.iter().enumerate() {
        if taken.is_empty() {
            let row = format!("{{\"question\": \"{at}+1=?\", \"answer\": \"{}\"}}\n", at + 1);
            fs::write(folder.join(format!("src/s{at}.jsonl")), row.repeat(3)).expect("a source");
            let _ = writeln!(text, "s{at} = dataset(\"src/s{at}.jsonl\")");
        } else {
            let parts: Vec<String> = taken.iter().map(|it| format!("s{it}")).collect();
            let rows = vec!["1 row"; taken.len()].join(", ");
            let _ = writeln!(text, "s{at} = mix([{}], rows = [{rows}], seed = {at})", parts.join(", "));
        }
    }
    text
}

/// The graph for ninja, each step a copy of its first input.
fn ninja(folder: &Path, graph: &[Vec<usize>]) {
    let root = folder.join("ninja");
    fs::create_dir_all(root.join("out")).expect("a folder for ninja");
    let mut text = String::from("rule c\n  command = cp $first $out\n");
    for (at, taken) in graph.iter().enumerate() {
        let source = || vec![format!("../src/s{at}.jsonl")];
        let inputs: Vec<String> =
            if taken.is_empty() { source() } else { taken.iter().map(|it| format!("out/{it}")).collect() };
        let _ = writeln!(text, "build out/{at}: c {}\n  first = {}", inputs.join(" "), inputs[0]);
    }
    fs::write(root.join("build.ninja"), text).expect("the file of ninja");
}

/// Fills the store as a run would, without waiting for the disk at each step.
fn fabricate(folder: &Path) {
    let store = Store::open(folder.join(".regimen"));
    store.prepare().expect("a store");
    let file = folder.join("bench.rgm");
    let text = fs::read_to_string(&file).expect("the recipe");
    let mut sources = Sources::default();
    let source = sources.add(&file, text.as_str());
    let (recipe, _) = syntax::parse(source, &text);
    let (program, _) = lang::check(&mut sources, &recipe, &Overrides::default());
    let plan = Plan::new(&program, &|name| stages::find(name).map_or(0, |stage| stage.version));
    let mut files = FileDigests::new();
    for path in plan.steps.iter().flat_map(|step| step.files.values()) {
        files.insert(path.clone(), digest_file(&folder.join(path)).expect("a source"));
    }
    let (mut made, mut records): (Vec<Digest>, Vec<Record>) = Default::default();
    for step in &plan.steps {
        let fields = key_fields(step, &files, &|id| made.get(id.0).copied()).expect("inputs that are made");
        let key = fields.key();
        let out = store.root().join("scratch/out");
        fs::create_dir_all(&out).expect("a folder");
        fs::write(out.join("rows.jsonl"), format!("{{\"question\": \"{}\"}}\n", step.address)).expect("rows");
        fs::write(out.join("dataset.json"), "{\"kind\": \"problem\", \"rows\": 1, \"counts\": {}}\n")
            .expect("a summary");
        let content = Folder::read(&out).expect("the folder");
        let object = store.object(&content.digest());
        fs::create_dir_all(object.parent().expect("a shelf")).expect("a shelf");
        fs::rename(&out, &object).expect("an object");
        let record = Record {
            format: FORMAT,
            key,
            fields: serde_json::to_value(&fields).expect("fields"),
            stage: step.stage.clone(),
            address: step.address.clone(),
            output: content.digest(),
            bytes: content.bytes(),
            files: content.files,
            seconds: 0.001,
            finished: 1_700_000_000_000 + made.len() as u64,
            run: "1".into(),
            metrics: BTreeMap::new(),
            cost: None,
            review: None,
        };
        let text = serde_json::to_string_pretty(&record).expect("a record");
        // A record ends in the digest of all before it.
        let text = text.strip_suffix("\n}").expect("an object");
        let text = format!("{text},\n  \"check\": \"{}\"\n}}\n", Digest::of(text.as_bytes()));
        fs::write(store.root().join(format!("records/{key}.json")), text).expect("a record");
        made.push(record.output);
        records.push(record);
    }
    Glance::new(&store).remember(records.iter().map(Done::from)).expect("a snapshot");
}

/// The median wall seconds of a program, its mean processor seconds, and the most MiB that it held.
fn measure(folder: &Path, program: &str, arguments: &[&str], times: usize) -> (f64, f64, f64) {
    let (mut walls, mut memory) = (Vec::new(), 0.0_f64);
    let before = children();
    for _ in 0..times {
        let start = Instant::now();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("a program");
        let watched = format!("/proc/{}/status", child.id());
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            let text = fs::read_to_string(&watched).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let held = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
            memory = memory.max(held.unwrap_or_default() / 1024.0);
            std::thread::sleep(std::time::Duration::from_micros(500));
        };
        walls.push(start.elapsed().as_secs_f64());
        assert!(status.success(), "{program} {arguments:?} failed");
    }
    walls.sort_by(f64::total_cmp);
    (walls[walls.len() / 2], (children() - before) / times as f64, memory)
}

/// Processor seconds of all children that have ended.
fn children() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Of the numbers after the name, the fourteenth and fifteenth: user and system time of children, in hundredths.
    fields.skip(13).take(2).filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / 100.0
}
