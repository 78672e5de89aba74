//! Events in the formats of others, held against what those publish; and whole ways from a capture to a receiver.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{attempt, beside, packages, python, run};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A checker of `siem.py`; what it prints.
fn checked(arguments: &[&Path]) -> Result<String, String> {
    let mut command = Command::new(python("python")?);
    command.arg(beside("siem.py")).args(arguments);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn events_fit_their_json_schema() {
    attempt(|| {
        let folder = tempfile::tempdir().unwrap();
        let schemas = folder.path().join("schemas.json");
        let printed = super::tools::sensor().args(["schema", "--events"]).output().unwrap();
        std::fs::write(&schemas, printed.stdout).unwrap();
        let samples = file("src/sink/siem/schema/samples.ndjson");
        checked(&[Path::new("schema"), &schemas, &samples]).map(drop)
    });
}

#[test]
fn events_are_detection_findings_of_ocsf() {
    attempt(|| checked(&[Path::new("ocsf"), &file("tests/samples/events.ocsf.ndjson")]).map(drop));
}

#[test]
fn events_are_of_the_elastic_common_schema() {
    attempt(|| {
        let mut command = Command::new(super::tools::program("node")?);
        command
            .arg(beside("ecs.js"))
            .arg(packages()?)
            .arg(file("tests/samples/events.ecs.ndjson"));
        run(&mut command);
        Ok(())
    });
}

/// Every rule is one, and matches the samples of the kinds that it is about and no others.
#[test]
fn sigma_rules_match_the_samples_that_they_are_about() {
    attempt(|| {
        let samples = file("src/sink/siem/schema/samples.ndjson");
        let matched = checked(&[Path::new("sigma"), &file("signatures/sigma"), &samples])?;
        assert_eq!(matched, include_str!("sigma.tsv"));
        Ok(())
    });
}
