//! Runs the examples that stand in the signature files, and makes the values that they describe.
//!
//! `generate` is text in which `{class:length}` stands for so many characters: `alnum`, `b64`, `b64url`, `digits`, `hex`,
//! `upper32`, or a set such as `[A-F0-9]`. `{crc32b62}` is the check sum of the last 30 characters; `{basic}`, `{card}`,
//! `{card-spaced}`, `{iban}`, `{jwe}`, `{jwe-bad}`, `{jwt}`,
//! `{jwt-k8s}`, `{jwt-kid}`, `{jwt-none}`, `{ssn}`, `{uuid}` are whole values;
//! `{fill:class:number}` is a number of a state with its `?` filled so that its check digits hold, `{spoil:…}` so that they
//! do not. The same text gives the same value on every run; anything else in braces stays as it is.

use super::checks::{base62, crc32, encode};
use super::compile::Signatures;
use super::file::Example;
use super::national::{National, filled};
use super::numbers::{luhn, mod97};
use super::secrets::Place;
use crate::model::defect::Defect;

impl Signatures {
    /// Runs every rule's examples through the engine: what does not behave as its file says.
    pub fn check(&self) -> Vec<Defect> {
        let mut defects = Vec::new();
        for rule in &self.examples {
            for example in &rule.examples {
                let text = match (&example.text, &example.generate) {
                    (Some(text), None) => text.clone(),
                    (None, Some(template)) => generate(template),
                    _ => {
                        defects.push(
                            rule.source
                                .defect("an example needs text or generate".into(), "give one of the two"),
                        );
                        continue;
                    }
                };
                if self.matches(&rule.id, &text) != example.r#match {
                    defects.push(
                        rule.source
                            .defect(complaint(&rule.id, example), "mend the pattern or the example"),
                    );
                }
            }
        }
        defects
    }

    /// Rules for credentials and personal data, each with the texts that it must find.
    #[cfg(test)]
    pub(crate) fn positives(&self) -> Vec<(&str, String)> {
        let values = self
            .examples
            .iter()
            .filter(|rule| matches!(rule.table, "pii" | "secret"));
        values
            .flat_map(|rule| {
                let wanted = rule.examples.iter().filter(|example| example.r#match);
                wanted.filter_map(|example| Some((rule.id.as_str(), generate(example.generate.as_ref()?))))
            })
            .collect()
    }

    fn matches(&self, id: &str, text: &str) -> bool {
        if let Some(rule) = self.known_bad.rule(id) {
            return rule.matches(text);
        }
        if self.poison.rules().any(|rule| *rule.id == *id) {
            return self.poison.holds(id, text);
        }
        Place::ALL.iter().any(|(place, _)| {
            let mut hit = false;
            self.secrets
                .scan(text.as_bytes(), *place, &mut |found| hit |= *found.rule.id == *id);
            hit
        })
    }
}

fn complaint(id: &str, example: &Example) -> String {
    let text = example
        .generate
        .as_ref()
        .or(example.text.as_ref())
        .map_or("", String::as_str);
    let wish = if example.r#match { "does not match" } else { "matches" };
    format!("rule {id} {wish} its example {text:?}")
}

/// The value that a template describes.
pub(crate) fn generate(template: &str) -> String {
    let mut random = Random(crc32(template.as_bytes()).into());
    let mut out = String::new();
    let mut rest = template;
    while let Some((head, tail)) = rest.split_once('{') {
        out.push_str(head);
        let made = tail
            .split_once('}')
            .and_then(|(word, behind)| Some((value(word, &out, &mut random)?, behind)));
        match made {
            Some((text, behind)) => {
                out.push_str(&text);
                rest = behind;
            }
            None => {
                out.push('{');
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    out
}

fn value(word: &str, before: &str, random: &mut Random) -> Option<String> {
    let token = |header: &str, payload: &str, random: &mut Random| {
        format!(
            "{}.{}.{}",
            encode(header.as_bytes(), true),
            encode(payload.as_bytes(), true),
            random.draw("[A-Za-z0-9_-]", 43)
        )
    };
    Some(match word {
        "basic" => encode(format!("svc:{}", random.draw("[A-Za-z0-9]", 14)).as_bytes(), false),
        "card" => card(random),
        "card-spaced" => {
            let number = card(random);
            format!(
                "{} {} {} {}",
                &number[..4],
                &number[4..8],
                &number[8..12],
                &number[12..]
            )
        }
        "crc32b62" => {
            let body = before.get(before.len().checked_sub(30)?..)?;
            String::from_utf8(base62(crc32(body.as_bytes())).to_vec()).ok()?
        }
        "iban" => iban(random),
        "jwe" | "jwe-bad" => {
            let head = match word {
                "jwe" => r#"{"alg":"dir","enc":"A256GCM"}"#,
                _ => r#"{"alg":"dir","typ":"JOSE"}"#,
            };
            let part = |length, random: &mut Random| random.draw("[A-Za-z0-9_-]", length);
            let (iv, text, tag) = (part(16, random), part(60, random), part(22, random));
            format!("{}..{iv}.{text}.{tag}", encode(head.as_bytes(), true))
        }
        "jwt-none" => {
            let signed = token(
                r#"{"alg":"none","typ":"JWT"}"#,
                r#"{"iss":"https://idp.test","sub":"u1"}"#,
                random,
            );
            signed[..signed.len() - 43].to_owned()
        }
        "jwt" => token(
            r#"{"alg":"HS256","typ":"JWT"}"#,
            r#"{"iss":"https://idp.test","sub":"u1"}"#,
            random,
        ),
        "jwt-k8s" => token(
            r#"{"alg":"RS256","kid":"a"}"#,
            r#"{"iss":"kubernetes/serviceaccount","sub":"s"}"#,
            random,
        ),
        "jwt-kid" => token(
            r#"{"alg":"RS256","kid":"a"}"#,
            r#"{"iss":"https://idp.test","sub":"u1"}"#,
            random,
        ),
        "ssn" => format!(
            "4{}-{}-{}",
            random.draw("[1-8]", 2),
            random.draw("[1-9]", 2),
            random.draw("[1-9]", 4)
        ),
        "uuid" => {
            let part = |length, random: &mut Random| random.draw("[a-f0-9]", length);
            let (a, b, c) = (part(8, random), part(4, random), part(3, random));
            format!("{a}-{b}-4{c}-a{}-{}", part(3, random), part(12, random))
        }
        _ if word.starts_with("fill:") || word.starts_with("spoil:") => {
            let (right, rest) = (word.starts_with("fill:"), word.split_once(':')?.1);
            let (name, shape) = rest.split_once(':')?;
            let (kind, _) = National::ALL.into_iter().find(|(_, known)| *known == name)?;
            filled(kind, shape, right)?
        }
        _ => {
            let (class, length) = word.rsplit_once(':')?;
            let set = match class {
                "alnum" => "[A-Za-z0-9]",
                "b64" => "[A-Za-z0-9+/]",
                "b64url" => "[A-Za-z0-9_-]",
                "digits" => "[0-9]",
                "hex" => "[a-f0-9]",
                "upper32" => "[A-Z2-7]",
                set if set.starts_with('[') && set.ends_with(']') => set,
                _ => return None,
            };
            random.draw(set, length.parse().ok()?)
        }
    })
}

fn card(random: &mut Random) -> String {
    let body = format!("4539{}", random.draw("[0-9]", 11));
    let checked = |last: &char| luhn(format!("{body}{last}").as_bytes());
    format!("{body}{}", ('0'..='9').find(checked).unwrap_or('0'))
}

fn iban(random: &mut Random) -> String {
    let body = random.draw("[0-9]", 18);
    let with = |check: u32| format!("DE{check:02}{body}");
    (2..99)
        .map(with)
        .find(|number| mod97(number.as_bytes()))
        .unwrap_or_default()
}

/// SplitMix64: good enough for values that only have to look drawn.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// So many characters of a set such as `[A-Z0-9_-]`.
    fn draw(&mut self, set: &str, length: usize) -> String {
        let chars: Vec<char> = set.trim_matches(['[', ']']).chars().collect();
        let mut alphabet = Vec::new();
        let mut at = 0;
        while at < chars.len() {
            if at + 2 < chars.len() && chars[at + 1] == '-' {
                alphabet.extend(chars[at]..=chars[at + 2]);
                at += 3;
            } else {
                alphabet.push(chars[at]);
                at += 1;
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of the alphabet's length")]
        (0..length)
            .map(|_| alphabet[(self.next() % alphabet.len() as u64) as usize])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::secrets::SecretRule;
    use crate::model::finding::Kind;

    #[test]
    fn templates() {
        assert_eq!(generate("a{hex:3}").len(), 4);
        assert_eq!(generate("${HOME} {x"), "${HOME} {x");
        assert_eq!(generate("{alnum:40}"), generate("{alnum:40}"));
        assert_ne!(generate("{alnum:40}"), generate("x{alnum:40}")[1..]);
    }

    #[test]
    fn every_rule_behaves_as_its_examples_say() {
        let signatures = Signatures::builtin();
        let defects = signatures.check();
        assert!(
            defects.is_empty(),
            "{}",
            defects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
        for rule in &signatures.examples {
            if signatures.secrets.rules().iter().any(|known| *known.id == *rule.id) {
                let count = |wish| rule.examples.iter().filter(|example| example.r#match == wish).count();
                assert!(count(true) > 0 && count(false) > 1, "{} lacks an example", rule.id);
            }
        }
        let credentials = |rule: &&SecretRule| rule.kind == Kind::SecretInTransit;
        assert!(signatures.secrets.rules().iter().filter(credentials).count() >= 150);
    }

    /// Built-in expressions are compiled when they are needed; beside rules of an operator all are, at once.
    #[test]
    fn expressions_compile() {
        let dir = tempfile::tempdir().unwrap();
        let loaded = Signatures::load(&[dir.path().to_owned()]);
        assert!(loaded.is_ok(), "{:?}", loaded.err());
    }

    /// Noise of every alphabet that ids, digests and blobs are written in.
    #[test]
    fn noise_gives_nothing() {
        let signatures = Signatures::builtin();
        let mut random = Random(20_261_120);
        for (set, length) in [
            ("[a-f0-9]", 64),
            ("[A-Za-z0-9+/]", 76),
            ("[A-Za-z0-9_-]", 200),
            ("[0-9]", 16),
            ("[A-Z0-9]", 26),
        ] {
            let mut text = String::new();
            while text.len() < 400_000 {
                text.push_str(&random.draw(set, length));
                text.push_str(["\n", "\",\"", " ", "="][(random.next() % 4) as usize]);
            }
            text.push_str(&value("uuid", "", &mut random).unwrap().repeat(3));
            signatures.secrets.scan(text.as_bytes(), Place::Result, &mut |hit| {
                let shown = String::from_utf8_lossy(&hit.text[hit.span.clone()]);
                panic!("{} in noise of {set}: {shown}", hit.rule.id);
            });
        }
    }
}
