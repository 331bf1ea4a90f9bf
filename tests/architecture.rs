//! The floors of the house: no import climbs, and every file keeps to its size.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which floors each floor may look down on.
const FLOORS: [(&str, &[&str]); 15] = [
    ("base", &[]),
    ("syntax", &["base"]),
    ("lang", &["syntax", "base"]),
    ("plan", &["lang", "syntax", "base"]),
    ("editor", &["lang", "syntax", "base"]),
    ("store", &["base"]),
    ("schedule", &["plan", "store", "base"]),
    ("model", &["base"]),
    ("data", &["base"]),
    ("reward", &["data", "base"]),
    ("merge", &["data", "model", "base"]),
    ("stages", &["merge", "reward", "data", "model", "base"]),
    ("run", &["stages", "schedule", "plan", "store", "base"]),
    ("report", &["run", "schedule", "plan", "store", "base"]),
    (
        "cli",
        &[
            "editor", "report", "run", "stages", "schedule", "plan", "lang", "syntax", "store", "merge", "reward",
            "data", "model", "base",
        ],
    ),
];

#[test]
fn no_import_climbs() {
    let allowed: BTreeMap<&str, &[&str]> = FLOORS.into_iter().collect();
    let mut climbing = Vec::new();
    for path in sources() {
        let Some(floor) = floor_of(&path) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        for name in imports(&text) {
            if name != floor && allowed.contains_key(name.as_str()) && !allowed[floor.as_str()].contains(&name.as_str())
            {
                climbing.push(format!("{} looks up at {name}", path.display()));
            }
        }
    }
    assert_eq!(climbing, Vec::<String>::new());
}

#[test]
fn only_the_runner_knows_tokio_and_only_model_and_stages_know_candle() {
    let mut strangers = Vec::new();
    for path in sources() {
        let Some(floor) = floor_of(&path) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        for (library, homes) in
            [("tokio::", &["run"][..]), ("candle_core::", &["model", "stages"]), ("sled::", &["store"])]
        {
            if text.contains(library) && !homes.contains(&floor.as_str()) {
                strangers.push(format!("{} uses {library}", path.display()));
            }
        }
    }
    assert_eq!(strangers, Vec::<String>::new());
}

#[test]
fn the_language_and_the_plan_touch_neither_disk_nor_clock() {
    let mut impure = Vec::new();
    for path in sources() {
        let floor = floor_of(&path).unwrap_or_default();
        if path.ends_with("base/disk.rs") || path.ends_with("base/faults.rs") {
            continue;
        }
        if !["base", "syntax", "lang", "editor", "plan", "schedule"].contains(&floor.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["std::fs", " fs::", "(fs::", "Instant", "SystemTime", "std::env", "std::process"] {
            if text.contains(word) {
                impure.push(format!("{} mentions {word}", path.display()));
            }
        }
    }
    assert_eq!(impure, Vec::<String>::new());
}

/// So that failpoints reach all that is written.
#[test]
fn whatever_a_run_writes_goes_through_one_disk() {
    let mut strangers = Vec::new();
    for path in sources() {
        let floor = floor_of(&path).unwrap_or_default();
        if !["store", "model", "data", "reward", "merge", "stages", "run"].contains(&floor.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // What lies under these is no disk.
        let of_the_kernel = |line: &str| line.contains("/proc/");
        let code: Vec<&str> =
            text.lines().take_while(|it| *it != "mod tests {").filter(|it| !of_the_kernel(it)).collect();
        for word in [
            "create_dir",
            "File::create",
            "File::options",
            "OpenOptions",
            "fs::write",
            "fs::rename",
            "fs::remove",
            "fs::copy",
            "fs::hard_link",
            "set_permissions",
            "set_len(",
            "write_all_at",
            "sync_all",
            "sync_data",
        ] {
            if code.iter().any(|line| line.contains(word)) {
                strangers.push(format!("{} mentions {word}", path.display()));
            }
        }
    }
    assert_eq!(strangers, Vec::<String>::new());
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    let mut complaints = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        if !text.starts_with("//! ") {
            complaints.push(format!("{} does not say what it is", path.display()));
        }
        if text.lines().count() > 500 {
            complaints.push(format!("{} has more than 500 lines", path.display()));
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn floor_of(path: &Path) -> Option<String> {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    (relative.components().count() > 1).then(|| relative.iter().next().unwrap().to_string_lossy().into_owned())
}

/// The floors that a text names after `crate::`, in grouped imports as well.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => at_start = true,
                    _ if depth == 0 && at_start && (c.is_alphanumeric() || c == '_') => word.push(c),
                    ':' if depth == 0 && at_start => at_start = false,
                    _ => {}
                }
                if !at_start && !word.is_empty() {
                    found.push(std::mem::take(&mut word));
                }
            }
            if !word.is_empty() {
                found.push(word);
            }
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    found
}
