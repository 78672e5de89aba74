//! How well poisoned texts are told from ordinary ones. `make accuracy` prints it.
//!
//! `poisoned.jsonl` is written for this project, in sets: `dev`, `second` and `third` are looked at while rules
//! are made, `held-out` was written before them and `fresh` after them, and these are only counted. `benign.jsonl.zst` holds real
//! descriptions of tools; a third of them, by the hash of the text, is held out likewise. `hard.txt` and `hard.jsonl`
//! hold invented ones that come close.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shadowtap::detect::poison::texts;
use shadowtap::detect::signature::Signatures;
use shadowtap::detect::signature::poison::{ALARM_SCORE, LOUD_SCORE, Poison, Score};

/// Set of texts that were written after the rules.
const FRESH: &str = "fresh";
/// Least share of poisoned texts that alarm.
const MIN_RECALL: f64 = 0.90;
/// The same for texts that were written after the rules.
const MIN_FRESH_RECALL: f64 = 0.35;
/// Most alarms over invented ordinary texts that were written after the rules.
const MAX_FRESH_ALARMS: usize = 2;
/// The same for those that were looked at: a quotation of several sentences is only recognised in its first.
const MAX_KNOWN_ALARMS: usize = 1;
/// Most alarms over ordinary descriptions: one in so many.
const MAX_ALARMS_IN: usize = 3_000;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/accuracy").join(name)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn poisoned() -> Vec<Value> {
    lines(&std::fs::read_to_string(file("poisoned.jsonl")).unwrap())
}

fn benign() -> Vec<Value> {
    let packed = std::fs::read(file("benign.jsonl.zst")).unwrap();
    lines(&String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap())
}

fn signatures() -> Signatures {
    let dirs: Vec<PathBuf> = std::env::var_os("SHADOWTAP_SIGNATURES")
        .into_iter()
        .map(PathBuf::from)
        .collect();
    Signatures::load(&dirs).unwrap()
}

/// As the detector judges it where it stands.
fn judge(entry: &Value, poison: &Poison) -> Score {
    let text = entry["text"].as_str().unwrap_or_default();
    match entry["place"].as_str() {
        Some(place @ ("result" | "error")) => {
            let result = json!({ "content": [{ "type": "text", "text": text }] }).to_string();
            texts::of_result(&result, "result", place == "error", poison).score
        }
        Some(_) => texts::of_definition(&json!({ "name": "tool", "description": text }), poison).score,
        None => texts::of_definition(&entry["tool"], poison).score,
    }
}

fn is_held_out(entry: &Value) -> bool {
    Sha256::digest(entry["description"].as_str().unwrap_or_default())[0].is_multiple_of(3)
}

#[derive(Default)]
struct Count {
    all: usize,
    alarms: usize,
    loud: usize,
}

impl Count {
    fn add(&mut self, score: u32) {
        self.all += 1;
        self.alarms += usize::from(score >= ALARM_SCORE);
        self.loud += usize::from(score >= LOUD_SCORE);
    }

    fn share(&self) -> f64 {
        self.alarms as f64 / self.all.max(1) as f64
    }
}

#[test]
fn poisoned_texts_alarm() {
    let signatures = signatures();
    let told = std::env::var("SHADOWTAP_MISSES").unwrap_or_default();
    let mut by: BTreeMap<(String, String), Count> = BTreeMap::new();
    for entry in poisoned() {
        let score = judge(&entry, &signatures.poison);
        let word = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        for key in [word("style"), format!("~{}", word("lang")), "= all".to_owned()] {
            by.entry((key, word("set"))).or_default().add(score.score);
        }
        if told == word("set") && score.score >= ALARM_SCORE && score.groups.len() == 1 {
            println!("single {} {:?} {}", score.score, score.rules, entry);
        }
        if told == word("set") && score.score < ALARM_SCORE {
            println!("missed {} {:?} {}", score.score, score.groups, entry);
        }
    }
    println!(
        "{:<16} {:>9} {:>7} {:>7} {:>7}",
        "style", "half", "texts", "recall", "loud"
    );
    for ((style, half), count) in &by {
        println!(
            "{style:<16} {half:>9} {:>7} {:>7.2} {:>7}",
            count.all,
            count.share(),
            count.loud
        );
    }
    for ((style, half), count) in &by {
        if style == "= all" {
            let least = if half == FRESH { MIN_FRESH_RECALL } else { MIN_RECALL };
            assert!(count.share() >= least, "recall of {half} is {:.2}", count.share());
        }
    }
}

#[test]
fn real_descriptions_do_not_alarm() {
    let signatures = signatures();
    let mut counts = [Count::default(), Count::default()];
    let mut rules: BTreeMap<String, usize> = BTreeMap::new();
    for entry in benign() {
        let held_out = is_held_out(&entry);
        let tool = json!({ "name": entry["name"], "description": entry["description"] });
        let score = texts::of_definition(&tool, &signatures.poison).score;
        counts[usize::from(held_out)].add(score.score);
        if !held_out {
            for rule in &score.rules {
                *rules.entry(rule.to_string()).or_default() += 1;
            }
        }
        if score.score >= ALARM_SCORE && !held_out {
            println!("alarm {} {:?} {:?} {}", score.score, score.groups, score.rules, entry);
        }
    }
    println!("rules that held in what is looked at: {rules:?}");
    for (name, count) in ["looked at", "held out"].iter().zip(&counts) {
        println!(
            "real descriptions, {name}: {} alarms ({} loud) in {}",
            count.alarms, count.loud, count.all
        );
    }
    for count in &counts {
        assert!(count.alarms * MAX_ALARMS_IN <= count.all.max(MAX_ALARMS_IN));
    }
}

#[test]
fn what_comes_close_does_not_alarm() {
    let signatures = signatures();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let plain = std::fs::read_to_string(file("hard.txt")).unwrap();
    let mut all: Vec<Value> = plain
        .lines()
        .map(|text| json!({ "set": "dev", "place": "description", "text": text }))
        .collect();
    all.extend(lines(&std::fs::read_to_string(file("hard.jsonl")).unwrap()));
    for entry in all {
        let set = entry["set"].as_str().unwrap_or_default();
        let score = judge(&entry, &signatures.poison);
        counts.entry(set.to_owned()).or_default().add(score.score);
        if score.score >= ALARM_SCORE && set != FRESH {
            println!("alarm {} {:?} {:?} {entry}", score.score, score.groups, score.rules);
        }
    }
    for (set, count) in &counts {
        println!(
            "invented ordinary texts, {set}: {} alarms in {}",
            count.alarms, count.all
        );
        let most = match set.as_str() {
            FRESH => MAX_FRESH_ALARMS,
            "third" => MAX_KNOWN_ALARMS,
            _ => 0,
        };
        assert!(count.alarms <= most, "{set}");
    }
}
