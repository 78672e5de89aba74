//! The architecture as a test: who may import whom, which crate is used where, what has no clock, how long a file is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::run;

/// Folder, and what it may import. A row imports rows above it only.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("source", &["model"]),
    ("packet", &["model"]),
    ("flow", &["model"]),
    ("stream", &["model"]),
    ("proto", &["model", "stream"]),
    ("mcp", &["model"]),
    ("policy", &["model"]),
    ("detect", &["model", "mcp", "policy"]),
    // The table of methods tells which names need no bound.
    ("inventory", &["model", "mcp", "policy"]),
    ("host", &["model"]),
    ("sink", &["model"]),
    ("store", &["model", "inventory", "sink"]),
    // The differences of definitions.
    ("report", &["model", "mcp", "store"]),
    ("log", &["model"]),
    ("metrics", &["model", "sink"]),
    ("confine", &[]),
    // A certificate is read where the sinks read theirs.
    ("web", &["model", "sink", "store", "report"]),
    (
        "engine",
        &[
            "model",
            "source",
            "packet",
            "flow",
            "stream",
            "proto",
            "mcp",
            "policy",
            "detect",
            "inventory",
            "host",
            "sink",
            "store",
        ],
    ),
    // The `Config` of every component, that of the engine too.
    (
        "config",
        &[
            "model",
            "source",
            "packet",
            "flow",
            "stream",
            "policy",
            "inventory",
            "host",
            "sink",
            "store",
            "log",
            "metrics",
            "confine",
            "web",
            "engine",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "source",
            "stream",
            "policy",
            "detect",
            "inventory",
            "host",
            "sink",
            "store",
            "report",
            "log",
            "metrics",
            "confine",
            "web",
            "engine",
            "config",
        ],
    ),
];

/// Crate, and the folders that may use it.
const CRATES: &[(&str, &[&str])] = &[
    ("aes", &["proto"]),
    ("aho_corasick", &["detect"]),
    ("anstream", &["cli", "report"]),
    ("anstyle", &["report"]),
    ("anyhow", &["cli"]),
    ("askama", &["report", "web"]),
    ("axum", &["cli", "web"]),
    ("base64", &["detect", "mcp", "model", "report", "sink", "web"]),
    ("brotli_decompressor", &["proto"]),
    ("caps", &["confine"]),
    ("cbc", &["proto"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    // `cli` and `config` name the module of the store that is called the same.
    ("clickhouse", &["cli", "config", "store"]),
    ("dashmap", &["detect", "inventory"]),
    ("domain", &["proto"]),
    ("etherparse", &["packet", "source"]),
    ("flate2", &["proto", "sink", "source"]),
    ("foldhash", &["detect", "flow", "inventory", "mcp", "proto", "store"]),
    ("form_urlencoded", &["mcp", "web"]),
    ("hashbrown", &["flow"]),
    ("httparse", &["proto"]),
    ("hyper", &["web"]),
    ("hyper_rustls", &["store"]),
    ("hyper_util", &["store", "web"]),
    ("indicatif", &["cli"]),
    ("ipnet", &["policy"]),
    ("landlock", &["confine"]),
    ("libc", &["confine", "source"]),
    ("memchr", &["detect", "mcp", "proto"]),
    ("mimalloc", &["main"]),
    ("nix", &["cli", "confine", "host"]),
    ("pcap", &["source"]),
    ("postcard", &["sink", "store"]),
    ("psl", &["detect"]),
    ("regex", &["detect"]),
    ("ring", &["detect", "proto", "sink", "web"]),
    ("rusqlite", &["sink", "store"]),
    // PEM files come through one module, `sink/tls.rs`.
    ("rustls", &["cli", "config", "sink", "store", "web"]),
    ("rustls_native_certs", &["sink"]),
    ("rustls_pemfile", &["sink"]),
    ("seccompiler", &["confine"]),
    (
        "serde",
        &[
            "cli",
            "config",
            "confine",
            "detect",
            "engine",
            "flow",
            "host",
            "inventory",
            "log",
            "metrics",
            "model",
            "packet",
            "policy",
            "report",
            "sink",
            "source",
            "store",
            "stream",
            "web",
        ],
    ),
    (
        "serde_json",
        &[
            "detect", "host", "log", "mcp", "policy", "report", "sink", "store", "web",
        ],
    ),
    ("sha1", &["model"]),
    (
        "sha2",
        &[
            "cli",
            "detect",
            "inventory",
            "mcp",
            "policy",
            "proto",
            "report",
            "sink",
            "web",
        ],
    ),
    ("socket2", &["sink"]),
    ("strsim", &["model"]),
    ("subtle", &["web"]),
    ("terminal_size", &["cli"]),
    (
        "thiserror",
        &["confine", "model", "packet", "sink", "source", "store", "web"],
    ),
    ("time", &["cli", "policy", "sink", "source", "store"]),
    ("tls_parser", &["proto"]),
    // The command `live` waits for signals.
    ("tokio", &["cli", "engine", "sink", "store", "web"]),
    ("tokio_rustls", &["web"]),
    ("toml", &["config", "detect", "model", "policy", "sink", "web"]),
    ("toml_edit", &["cli"]),
    ("unicode_normalization", &["detect"]),
    ("unicode_security", &["detect"]),
    ("unicode_width", &["report"]),
    ("ureq", &["sink"]),
    ("x509_parser", &["proto"]),
    // Secrets are wiped where they were.
    ("zeroize", &["engine", "proto", "sink", "stream"]),
    ("zstd", &["proto", "source"]),
];

/// Folders without clock, thread, file and socket.
const PURE: &[&str] = &[
    "detect",
    "flow",
    "inventory",
    "mcp",
    "model",
    "packet",
    "policy",
    "proto",
    "stream",
];

const IMPURE: &[&str] = &[
    "std::time",
    "std::thread",
    "std::fs",
    "std::io::stdin",
    "SystemTime",
    "Instant",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
];

/// Files of pure folders that may name something impure, and why.
const PURE_BUT: &[(&str, &str, &str)] = &[(
    "detect/signature/compile.rs",
    "std::fs",
    "reads the operator's rule files once, before anything runs",
)];

const LINES_MAX: usize = 500;

/// Words of code that is not finished, or of tests that do not run.
const UNFINISHED: [&str; 3] = [
    concat!("to", "do!"),
    concat!("unimplemented", "!("),
    concat!("#[ign", "ore"),
];

/// Files that may have one, and why.
const UNFINISHED_BUT: &[(&str, &str, &str)] = &[(
    "tests/live.rs",
    UNFINISHED[2],
    "no test: the process that the tests start in another network namespace",
)];

/// A file of `src/` without its tests and comments.
struct File {
    /// From `src/`.
    name: String,
    folder: String,
    code: String,
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![run::folder(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // What a fuzzer was built into is nobody's source.
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Everything in `src/` that ships.
fn shipped() -> Vec<File> {
    let root = run::folder("src");
    let paths = rust_files("src");
    let tests: Vec<PathBuf> = paths.iter().flat_map(|path| test_modules(path)).collect();
    let shipped: Vec<File> = paths
        .iter()
        .filter(|path| {
            !tests
                .iter()
                .any(|test| path.starts_with(test) || *path == &test.with_extension("rs"))
        })
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let text = std::fs::read_to_string(path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            File {
                folder: name.split(['/', '.']).next().unwrap().to_owned(),
                code: code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect::<Vec<_>>()
                    .join("\n"),
                name,
            }
        })
        .collect();
    assert!(shipped.len() > 80, "src/ is not read");
    shipped
}

/// Where the modules lie that a file declares for tests only, as folders or, with `.rs`, files.
fn test_modules(path: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap();
    let home = if ["mod", "lib", "main"].iter().any(|root| name == *root) {
        path.parent().unwrap().to_owned()
    } else {
        path.with_extension("")
    };
    let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let declaration = rest.lines().find(|line| !line.starts_with("#["))?;
        let module = declaration.strip_suffix(';')?.split("mod ").nth(1)?;
        // A path attribute is relative to the folder of the file.
        let given = rest.lines().next()?.strip_prefix("#[path = \"");
        Some(match given.and_then(|line| line.split('"').next()) {
            Some(file) => path.parent().unwrap().join(file).with_extension(""),
            None => home.join(module),
        })
    });
    declared.collect()
}

/// First names of all `crate::` paths.
fn imported(code: &str) -> BTreeSet<String> {
    let first = |text: &str| -> String {
        text.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let list: String = list
                    .chars()
                    .take_while(|c| {
                        depth += i32::from(*c == '{') - i32::from(*c == '}');
                        depth >= 0
                    })
                    .collect();
                let mut depth = 0;
                let parts = list.split(|c: char| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    c == ',' && depth == 0
                });
                names.extend(parts.map(|part| first(part.trim())));
            }
            None => {
                names.insert(first(rest));
            }
        }
    }
    names.remove("");
    names
}

/// Whether code uses a crate: its name as the start of a path.
fn uses(code: &str, name: &str) -> bool {
    let before = |at: usize| code[..at].chars().next_back();
    code.match_indices(&format!("{name}::"))
        .any(|(at, _)| !before(at).is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn no_arrow_points_up() {
    for (at, (folder, imports)) in IMPORTS.iter().enumerate() {
        for import in *imports {
            let below = IMPORTS[..at].iter().any(|(name, _)| name == import);
            assert!(below, "{folder} may not import {import}: it stands below it");
        }
    }
    let folders: Vec<&str> = IMPORTS.iter().map(|(folder, _)| *folder).collect();
    for file in shipped() {
        if matches!(&*file.folder, "lib" | "main") {
            continue;
        }
        let row = IMPORTS.iter().find(|(folder, _)| *folder == file.folder);
        let (_, allowed) = row.unwrap_or_else(|| panic!("{}: its folder has no row in IMPORTS", file.name));
        for name in imported(&file.code) {
            let known = folders.contains(&&*name);
            let holds = name == file.folder || allowed.contains(&&*name);
            assert!(!known || holds, "{} imports {name}", file.name);
        }
    }
}

#[test]
fn crates_stay_where_they_belong() {
    let manifest = std::fs::read_to_string(run::folder("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let declared: BTreeSet<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    let listed: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(declared, listed, "CRATES lists every dependency");
    let mut wrong = Vec::new();
    for file in shipped() {
        let strays = CRATES
            .iter()
            .filter(|(name, folders)| !folders.contains(&&*file.folder) && uses(&file.code, name));
        wrong.extend(strays.map(|(name, _)| format!("{} uses {name}", file.name)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_pure_has_no_clock_thread_file_or_socket() {
    let mut needed = BTreeSet::new();
    for file in shipped().iter().filter(|file| PURE.contains(&&*file.folder)) {
        for word in IMPURE.iter().filter(|word| file.code.contains(**word)) {
            let excused = PURE_BUT
                .iter()
                .position(|(name, what, _)| file.name == *name && what == word);
            assert!(excused.is_some(), "{} names {word}", file.name);
            needed.extend(excused);
        }
    }
    assert_eq!(needed.len(), PURE_BUT.len(), "an excuse is no longer needed");
}

#[test]
fn samples_are_made_in_one_place() {
    let makers: Vec<String> = shipped()
        .into_iter()
        .filter(|file| file.code.contains("Sample::redacted") || file.code.contains("Sample("))
        .map(|file| file.name)
        .filter(|name| name != "model/finding.rs")
        .collect();
    assert_eq!(makers, ["detect/redact.rs"]);
}

#[test]
fn files_are_short_and_finished() {
    for folder in ["src", "tests", "benches"] {
        for path in rust_files(folder) {
            let text = std::fs::read_to_string(&path).unwrap();
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
            assert!(text.starts_with("//!"), "{} has no head comment", path.display());
            for word in UNFINISHED.iter().filter(|word| text.contains(**word)) {
                let excused = UNFINISHED_BUT
                    .iter()
                    .any(|(name, what, _)| path == run::folder(name) && what == word);
                assert!(excused, "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn paths_and_uses_are_read_as_they_are_written() {
    let code = "use crate::{flow, policy::{a, b}, source};\nlet x = crate::model::X; $crate::y!()";
    let names: Vec<String> = imported(code).into_iter().collect();
    assert_eq!(names, ["flow", "model", "policy", "source", "y"]);
    assert!(uses("use time::Date;", "time") && uses("x(toml::from_str)", "toml"));
    assert!(!uses("use std::time::X;", "time") && !uses("uptime::x", "time"));
}
