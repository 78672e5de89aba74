//! Concepts that have a form and no word: addresses and identifiers.

/// Their names, in the order of their numbers.
pub(super) const CONCEPTS: [&str; 4] = ["url", "mail", "host", "ident"];
const URL: u8 = 0;
const MAIL: u8 = 1;
const HOST: u8 = 2;
const IDENT: u8 = 3;

/// Calls `out` with the number and the place of each.
pub(super) fn find(text: &str, out: &mut dyn FnMut(u8, usize, usize)) {
    let bytes = text.as_bytes();
    for at in memchr::memmem::find_iter(bytes, b"://") {
        let start = bytes
            .get(..at)
            .map_or(at, |head| at.saturating_sub(run_back(head, is_name)));
        let end = at.saturating_add(run(bytes.get(at..), |byte| !is_url_end(byte)));
        out(URL, start, end);
    }
    for at in memchr::memchr_iter(b'@', bytes) {
        let before = run_back(bytes.get(..at).unwrap_or_default(), |byte| {
            is_name(byte) || b"+-%".contains(&byte)
        });
        let domain = bytes.get(at.saturating_add(1)..);
        let after = run(domain, |byte| is_name(byte) || byte == b'-');
        let dotted = domain
            .and_then(|domain| domain.get(..after))
            .is_some_and(|name| name.contains(&b'.'));
        if before > 0 && dotted {
            out(MAIL, at.saturating_sub(before), at.saturating_add(after));
        }
    }
    addresses(bytes, out);
    let mut at = 0;
    while let Some(offset) = bytes.get(at..).and_then(|tail| memchr::memchr(b'_', tail)) {
        let here = at.saturating_add(offset);
        let before = run_back(bytes.get(..here).unwrap_or_default(), |byte| {
            byte.is_ascii_alphanumeric()
        });
        let after = run(bytes.get(here..), |byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if before > 1 && after > 2 {
            out(IDENT, here.saturating_sub(before), here.saturating_add(after));
        }
        at = here.saturating_add(after.max(1));
    }
}

/// IPv4 addresses.
fn addresses(bytes: &[u8], out: &mut dyn FnMut(u8, usize, usize)) {
    let mut at = 0;
    while at < bytes.len() {
        let length = run(bytes.get(at..), |byte| byte.is_ascii_digit() || byte == b'.');
        if length == 0 {
            let skip = run(bytes.get(at..), |byte| !byte.is_ascii_digit());
            at = at.saturating_add(skip.max(1));
            continue;
        }
        let end = at.saturating_add(length);
        let text = bytes
            .get(at..end)
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default();
        if text.trim_end_matches('.').parse::<std::net::Ipv4Addr>().is_ok() {
            out(HOST, at, end);
        }
        at = end;
    }
}

fn run(bytes: Option<&[u8]>, good: impl Fn(u8) -> bool) -> usize {
    bytes.unwrap_or_default().iter().take_while(|byte| good(**byte)).count()
}

fn run_back(bytes: &[u8], good: impl Fn(u8) -> bool) -> usize {
    bytes.iter().rev().take_while(|byte| good(**byte)).count()
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

const fn is_url_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b'`' | b',') || !byte.is_ascii()
}
