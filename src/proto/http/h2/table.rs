//! Tables of header compression (RFC 7541, section 2.3): the static one of appendix A, and the dynamic one as far as
//! this reader has seen it being filled.
//!
//! Entries are found by their distance from the newest, so what was inserted before a loss may be missing without harm
//! to what came after it. For the same reason an entry may stay here longer than in the encoder: it is never named
//! again. Text lies in one buffer that only moves when it has doubled; inserting allocates nothing in steady state.

use std::collections::VecDeque;

/// Size of the dynamic table until its encoder names another (RFC 9113, section 6.5.2).
const SIZE_BYTES: usize = 4096;
/// Most bytes that are kept of a dynamic table, whatever size its encoder names. Browsers use 64 KiB.
const SIZE_MAX_BYTES: usize = 64 * 1024;
/// What an entry costs besides its text (RFC 7541, section 4.1).
const ENTRY_BYTES: usize = 32;

/// Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""), ("etag", ""),
    ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""), ("if-modified-since", ""),
    ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""), ("proxy-authorization", ""), ("range", ""),
    ("referer", ""), ("refresh", ""), ("retry-after", ""), ("server", ""), ("set-cookie", ""),
    ("strict-transport-security", ""), ("transfer-encoding", ""), ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// A field as it is known: what an unseen entry said is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto::http) struct Field<'a> {
    pub(in crate::proto::http) name: Option<&'a [u8]>,
    pub(in crate::proto::http) value: Option<&'a [u8]>,
}

/// Both tables of one direction.
#[derive(Debug)]
pub(super) struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    text: Vec<u8>,
    /// Place in the stream of all text where `text` begins.
    origin: u64,
    size: usize,
    max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Place in the stream of all text.
    start: u64,
    /// `None` when the name was not known.
    name_len: Option<usize>,
    value_len: usize,
}

impl Entry {
    fn len(&self) -> usize {
        self.name_len.unwrap_or(0).saturating_add(self.value_len)
    }

    fn size(&self) -> usize {
        self.len().saturating_add(ENTRY_BYTES)
    }
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            text: Vec::new(),
            origin: 0,
            size: 0,
            max: SIZE_BYTES,
        }
    }

    /// The field of an index (section 2.3.3). `None` for index 0, which names nothing.
    pub(super) fn get(&self, index: usize) -> Option<Field<'_>> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some(Field {
                name: Some(name.as_bytes()),
                value: Some(value.as_bytes()),
            });
        }
        let entry = self.entries.get(index.saturating_sub(STATIC.len()));
        Some(entry.map_or(
            Field {
                name: None,
                value: None,
            },
            |entry| self.field(entry),
        ))
    }

    fn field(&self, entry: &Entry) -> Field<'_> {
        let start = usize::try_from(entry.start.saturating_sub(self.origin)).unwrap_or(usize::MAX);
        let text = self.text.get(start..start.saturating_add(entry.len()));
        let (name, value) = text.unwrap_or_default().split_at(entry.name_len.unwrap_or(0));
        Field {
            name: entry.name_len.and(Some(name)),
            value: Some(value),
        }
    }

    /// Inserts an entry (section 4.4). One that is too large for the table empties it.
    pub(super) fn insert(&mut self, name: Option<&[u8]>, value: &[u8]) {
        let entry = Entry {
            start: self.origin.saturating_add(self.text.len() as u64),
            name_len: name.map(<[u8]>::len),
            value_len: value.len(),
        };
        if entry.size() > self.max {
            return self.forget();
        }
        self.size = self.size.saturating_add(entry.size());
        self.evict();
        self.text.extend_from_slice(name.unwrap_or_default());
        self.text.extend_from_slice(value);
        self.entries.push_front(entry);
    }

    /// The encoder changes the size of its table (section 6.3).
    pub(super) fn resize(&mut self, max: usize) {
        self.max = max.min(SIZE_MAX_BYTES);
        self.evict();
    }

    /// Nothing is known of the entries so far.
    pub(super) fn forget(&mut self) {
        self.entries.clear();
        self.origin = self.origin.saturating_add(self.text.len() as u64);
        self.text.clear();
        self.size = 0;
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let Some(entry) = self.entries.pop_back() else { break };
            self.size = self.size.saturating_sub(entry.size());
        }
        let oldest = self.entries.back().map(|entry| entry.start);
        let dead = oldest.map_or(self.text.len() as u64, |start| start.saturating_sub(self.origin));
        let dead = usize::try_from(dead).unwrap_or(usize::MAX).min(self.text.len());
        if dead > self.text.len().saturating_sub(dead).max(SIZE_BYTES) {
            self.text.drain(..dead);
            self.origin = self.origin.saturating_add(dead as u64);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use proptest::prelude::*;

    use super::*;

    impl Table {
        /// Entries of the dynamic table, the newest first, and its size.
        pub(in crate::proto::http::h2) fn listed(&self) -> (Vec<String>, usize) {
            let line = |entry: &Entry| {
                let Field { name, value } = self.field(entry);
                let text = |part: Option<&[u8]>| {
                    part.map_or_else(|| "?".into(), |part| String::from_utf8_lossy(part).into_owned())
                };
                format!("{}: {}", text(name), text(value))
            };
            (self.entries.iter().map(line).collect(), self.size)
        }
    }

    #[test]
    fn static_entries_stand_where_appendix_a_has_them() {
        let table = Table::new();
        let text = |index| {
            let Field { name, value } = table.get(index).unwrap();
            String::from_utf8([name.unwrap(), b"=", value.unwrap()].concat()).unwrap()
        };
        assert_eq!(table.get(0), None);
        assert_eq!(
            [text(1), text(8), text(31)],
            [":authority=", ":status=200", "content-type="]
        );
        assert_eq!(
            [text(16), text(61)],
            ["accept-encoding=gzip, deflate", "www-authenticate="]
        );
        assert_eq!(
            table.get(62).unwrap(),
            Field {
                name: None,
                value: None
            }
        );
    }

    proptest! {
        /// Against a list of owned pairs that is cut by the rules of section 4.
        #[test]
        fn a_simple_list_says_the_same(
            steps in proptest::collection::vec((0..12_usize, 0..300_usize, any::<bool>()), 1..400),
            max in 0..6000_usize,
        ) {
            let (mut table, mut list, mut limit) = (Table::new(), Vec::<(Vec<u8>, Vec<u8>)>::new(), 4096);
            for (number, (name_len, value_len, resize)) in steps.into_iter().enumerate() {
                if resize && number % 50 == 7 {
                    limit = max;
                    table.resize(max);
                } else if resize && number % 50 == 9 {
                    table.forget();
                    list.clear();
                } else {
                    let (name, value) = (vec![b'n'; name_len], vec![number as u8; value_len]);
                    table.insert(Some(&name), &value);
                    list.insert(0, (name, value));
                }
                let weigh = |list: &[(Vec<u8>, Vec<u8>)]| list.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
                while weigh(&list) > limit {
                    list.pop();
                }
                prop_assert_eq!(table.size, weigh(&list));
                for (at, (name, value)) in list.iter().enumerate() {
                    let expect = Field { name: Some(&name[..]), value: Some(&value[..]) };
                    prop_assert_eq!(table.get(62 + at).unwrap(), expect);
                }
                prop_assert_eq!(table.get(62 + list.len()).unwrap(), Field { name: None, value: None });
                prop_assert!(table.text.len() <= 3 * SIZE_BYTES.max(limit));
            }
        }
    }
}
