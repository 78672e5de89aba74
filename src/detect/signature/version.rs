//! Versions and ranges of them: `1.2.3`, `v1.2`, `2025.1.14`, `1.2.3.4`, `1.0.0-rc.1+build`.
//!
//! Numbers compare as numbers, missing ones are zero, a pre-release comes before its release (Semantic Versioning 2.0.0,
//! section 11). What is no version is in no range.

use std::cmp::Ordering;

/// Numbers of a version that are read.
const NUMBERS_MAX: usize = 8;
/// Longest text that is read as a version, in bytes.
const TEXT_MAX_BYTES: usize = 64;

/// A version.
#[derive(Clone, Debug)]
pub(super) struct Version {
    numbers: Vec<u64>,
    /// Behind the dash; empty for a release.
    pre: Vec<String>,
}

impl Version {
    /// Reads a version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() > TEXT_MAX_BYTES {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split('+').next()?;
        let (numbers, pre) = text.split_once('-').unwrap_or((text, ""));
        let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
        let numbers = numbers.filter(|numbers| numbers.len() <= NUMBERS_MAX)?;
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let pre: Vec<String> = match pre {
            "" if text.ends_with('-') => return None,
            "" => Vec::new(),
            pre if pre.split('.').all(word) => pre.split('.').map(str::to_owned).collect(),
            _ => return None,
        };
        Some(Self { numbers, pre })
    }

    fn order(&self, other: &Self) -> Ordering {
        let length = self.numbers.len().max(other.numbers.len());
        let number = |version: &Self, at: usize| version.numbers.get(at).copied().unwrap_or(0);
        let numbers = (0..length)
            .map(|at| number(self, at).cmp(&number(other, at)))
            .find(|order| *order != Ordering::Equal);
        numbers.unwrap_or_else(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => pre_releases(&self.pre, &other.pre),
        })
    }
}

fn pre_releases(one: &[String], other: &[String]) -> Ordering {
    let part = |one: &String, other: &String| match (one.parse::<u64>(), other.parse::<u64>()) {
        (Ok(one), Ok(other)) => one.cmp(&other),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => one.cmp(other),
    };
    let differing = one.iter().zip(other).map(|(one, other)| part(one, other));
    differing
        .into_iter()
        .find(|order| *order != Ordering::Equal)
        .unwrap_or_else(|| one.len().cmp(&other.len()))
}

/// How a version compares with the bound of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
}

/// Versions: all, or those of one of several ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Vec<Vec<(Test, Version)>>);

impl Ranges {
    /// Reads ranges: each a list of bounds with commas between, which all hold.
    ///
    /// # Errors
    /// The text of a bound that is none.
    pub(super) fn parse(texts: &[String]) -> Result<Self, String> {
        let bound = |text: &str| {
            let text = text.trim();
            let (test, version) = [
                (">=", Test::AtLeast),
                ("<=", Test::AtMost),
                (">", Test::Above),
                ("<", Test::Below),
                ("=", Test::Equal),
            ]
            .iter()
            .find_map(|(sign, test)| Some((*test, text.strip_prefix(sign)?)))?;
            Some((test, Version::parse(version)?))
        };
        let range = |text: &String| {
            let bounds: Option<Vec<_>> = text.split(',').map(bound).collect();
            bounds.ok_or_else(|| format!("versions {text:?} is no range, such as \">=1.0, <1.2\""))
        };
        texts.iter().map(range).collect::<Result<_, _>>().map(Self)
    }

    /// Whether all versions are in it, those that cannot be read too.
    pub(super) const fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a version is in one of the ranges.
    pub(super) fn has(&self, text: &str) -> bool {
        if self.is_all() {
            return true;
        }
        let Some(version) = Version::parse(text) else {
            return false;
        };
        let holds = |(test, bound): &(Test, Version)| {
            let order = version.order(bound);
            match test {
                Test::Above => order.is_gt(),
                Test::AtLeast => order.is_ge(),
                Test::Below => order.is_lt(),
                Test::AtMost => order.is_le(),
                Test::Equal => order.is_eq(),
            }
        };
        self.0.iter().any(|range| range.iter().all(holds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has(ranges: &[&str], version: &str) -> bool {
        let ranges: Vec<String> = ranges.iter().map(|text| (*text).to_owned()).collect();
        Ranges::parse(&ranges).unwrap().has(version)
    }

    #[test]
    fn ranges() {
        for (ranges, inside, outside) in [
            (
                &[">=0.0.5, <0.1.16"][..],
                &["0.0.5", "v0.1.15", "0.1.16-rc.1", "0.1.15+x"][..],
                &["0.1.16", "0.0.4", "", "x", "0.1.x", "0..1"][..],
            ),
            (
                &["<=0.6.2", ">=2025.1.14, <2025.7.1"],
                &["0.6.2", "2025.3.0"],
                &["0.6.3", "2025.7.1"],
            ),
            (&["=1.0.1", "=1.0.2"], &["1.0.1", "1.0.2.0"], &["1.0.3", "1.0.1-a"]),
            (&[">1.2.3.4"], &["1.2.3.5"], &["1.2.3.4", "1.2.3"]),
        ] {
            inside
                .iter()
                .for_each(|version| assert!(has(ranges, version), "{version}"));
            outside
                .iter()
                .for_each(|version| assert!(!has(ranges, version), "{version}"));
        }
        assert!(has(&[], "anything"));
        assert!(Ranges::parse(&["1.0".to_owned()]).is_err());
    }

    #[test]
    fn pre_releases_in_order() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        for pair in order.windows(2) {
            assert!(has(&[&format!("<{}", pair[1])], pair[0]), "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_as_lists(one in prop::collection::vec(0_u64..20, 3), other in prop::collection::vec(0_u64..20, 3)) {
            let text = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
            prop_assert_eq!(has(&[&format!("<{}", text(&other))], &text(&one)), one < other);
        }

        #[test]
        fn anything_is_read(text in any::<String>()) {
            Version::parse(&text);
        }
    }
}
