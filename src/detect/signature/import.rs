//! Rules of other programs, taken over as a signature file.

use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use crate::detect::signature::compile;
use crate::model::defect::Defect;

/// Window around a keyword: their expressions look at what leads to a value.
const BEFORE_BYTES: usize = 160;
const AFTER_BYTES: usize = 1_024;

/// What was taken over.
#[derive(Debug, PartialEq, Eq)]
pub struct Imported {
    /// A signature file.
    pub text: String,
    /// Rules in it.
    pub taken: usize,
    /// Rules that were left out, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// A file in the form of gitleaks, as far as it is read: allow lists are not taken over.
#[derive(Debug, Deserialize)]
struct Gitleaks {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    regex: String,
    #[serde(default)]
    secret_group: usize,
    entropy: Option<f32>,
    #[serde(default)]
    keywords: Vec<String>,
}

/// Takes over rules in the form of gitleaks.
///
/// # Errors
/// When the text is no such file.
pub fn gitleaks(file: &Path, text: &str) -> Result<Imported, Defect> {
    let rules: Gitleaks = toml::from_str(text)
        .map_err(|error| Defect::from_toml(file, text, &error, "give a file in the form of gitleaks"))?;
    let mut out = Imported {
        text: "schema = 1\n[meta]\nname = \"imported\"\nversion = \"1\"\n".to_owned(),
        taken: 0,
        left_out: Vec::new(),
    };
    for rule in rules.rules {
        match secret(&rule) {
            Ok(text) => {
                out.text.push_str(&text);
                out.taken += 1;
            }
            Err(why) => out.left_out.push((rule.id, why)),
        }
    }
    Ok(out)
}

/// The table of one rule, when it compiles.
fn secret(rule: &Rule) -> Result<String, String> {
    if rule.regex.is_empty() {
        return Err("it has no expression".to_owned());
    }
    if rule.secret_group > 1 {
        return Err(format!("its value is group {}, not the first", rule.secret_group));
    }
    let anchors: Vec<String> = rule.keywords.iter().map(|word| word.to_ascii_lowercase()).collect();
    if anchors.is_empty() {
        return Err("it has no keyword, and so no anchor".to_owned());
    }
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let title = if rule.description.is_empty() {
        &rule.id
    } else {
        &rule.description
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\n[[secret]]\nid = {}\ntitle = {}\nanchors = {}\nfold = true\npattern = {}\nbefore = {BEFORE_BYTES}\n\
         after = {AFTER_BYTES}\nseverity = \"medium\"\nconfidence = 0.5\n",
        quoted(&rule.id),
        quoted(title),
        toml::Value::from(anchors),
        quoted(&rule.regex),
    );
    if let Some(bits) = rule.entropy {
        let _ = writeln!(text, "check = [\"entropy>={bits}\"]");
    }
    compile::accepts(&text).map(|()| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::{Signatures, generate};

    const THEIRS: &str = r#"
title = "theirs"
[allowlist]
paths = ["go.mod"]
[[rules]]
id = "acme-key"
description = "Key of \"Acme\""
regex = '''(?i)\b(acme_[a-z0-9]{24})\b'''
entropy = 3
keywords = ["ACME_"]
[[rules]]
id = "path-only"
path = '''\.p12$'''
[[rules]]
id = "no-keyword"
regex = '''[a-f0-9]{40}'''
[[rules]]
id = "second-group"
regex = '''(a)(b)'''
secretGroup = 2
keywords = ["ab"]
[[rules]]
id = "look-around"
regex = '''(?<=ab)c'''
keywords = ["ab"]
"#;

    #[test]
    fn rules_of_gitleaks_run_here() {
        let imported = gitleaks(Path::new("g.toml"), THEIRS).unwrap();
        assert_eq!(imported.taken, 1);
        let left: Vec<&str> = imported.left_out.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(left, ["path-only", "no-keyword", "second-group", "look-around"]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("own.toml"), &imported.text).unwrap();
        let signatures = Signatures::load(&[folder.path().to_owned()]).unwrap();
        let found = signatures.matches_in(&generate("key = acme_{[a-z0-9]:24};"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&*found[0].rule, &*found[0].title), ("acme-key", "Key of \"Acme\""));
        assert!(signatures.matches_in("key = acme_aaaaaaaaaaaaaaaaaaaaaaaa;").is_empty());
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let defect = gitleaks(Path::new("g.toml"), "x = = 1").unwrap_err();
        assert_eq!(defect.line, Some(1));
    }
}
