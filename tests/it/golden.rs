//! Every capture of `pcaps/` gives the report in `tests/golden/`, byte for byte, with one and with four workers.
//!
//! `UPDATE=1 cargo test --test it golden` rewrites them; the review reads the difference.

use std::collections::BTreeSet;

use serde_json::Value;
use shadowtap::policy::Policy;

use crate::run;

#[test]
fn every_capture_gives_its_report() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for capture in run::captures() {
        let name = run::stem(&capture);
        let report = |workers| {
            run::files(
                std::slice::from_ref(&capture),
                run::settings(),
                Policy::default(),
                workers,
            )
        };
        let one = report(1);
        assert!(one == report(4), "{name}: four workers give another report than one");
        let tree: Value = serde_json::from_str(&one).unwrap();
        let pretty = serde_json::to_string_pretty(&tree).unwrap() + "\n";
        let golden = run::folder("tests/golden").join(format!("{name}.json"));
        if update {
            std::fs::write(&golden, &pretty).unwrap();
        } else if std::fs::read_to_string(&golden).unwrap_or_default() != pretty {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "reports differ from tests/golden/: {wrong:?}");
}

/// A report without its capture would never be compared.
#[test]
fn every_report_has_its_capture() {
    let captures: BTreeSet<String> = run::captures().iter().map(|path| run::stem(path)).collect();
    for folder in ["tests/golden", "tests/truth"] {
        for entry in std::fs::read_dir(run::folder(folder)).unwrap() {
            let name = run::stem(&entry.unwrap().path());
            assert!(captures.contains(&name), "{folder}/{name}.json has no capture");
        }
    }
}
