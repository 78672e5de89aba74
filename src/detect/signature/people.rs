//! Personal data that is an address: e-mail and telephone.
//!
//! One address in ordinary text is no leak: authors, support desks and recipients are everywhere. Addresses count where
//! other personal data stands in the same message, beside keys that describe a person, or from three different ones on.
//! So do telephone numbers, in the international form only.

use std::ops::Range;

use regex::bytes::Regex;

use super::checks::filler;
use super::secrets::Class;

/// Bytes around an address in which a key counts as near.
const NEAR_BYTES: usize = 160;
/// Different addresses that make a list.
const LIST: usize = 3;
/// Most addresses that one text gives.
const MAX_ADDRESSES: usize = 1_024;
/// Longest user with password in an address, and the shortest password.
const MAX_USER_INFO_BYTES: usize = 256;
const MIN_PASSWORD_BYTES: usize = 6;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_DOMAIN_BYTES: usize = 253;

/// Mailboxes of functions, not of persons.
const ROLES: [&str; 22] = [
    "abuse",
    "admin",
    "billing",
    "bot",
    "contact",
    "donotreply",
    "feedback",
    "git",
    "hello",
    "help",
    "hostmaster",
    "info",
    "mail",
    "mailer-daemon",
    "no-reply",
    "noreply",
    "postmaster",
    "sales",
    "security",
    "support",
    "team",
    "webmaster",
];
/// Domains that stand for no one (RFC 2606), and senders that are machines.
const NOBODY: [&str; 9] = [
    "domain.com",
    "email.com",
    "example.com",
    "example.edu",
    "example.net",
    "example.org",
    "mail.com",
    "test.com",
    "users.noreply.github.com",
];
/// Endings of file names and of reserved or local names.
const NO_ENDINGS: [&str; 26] = [
    "css",
    "csv",
    "example",
    "gif",
    "html",
    "invalid",
    "jpeg",
    "jpg",
    "js",
    "json",
    "jsx",
    "local",
    "localhost",
    "md",
    "mjs",
    "pdf",
    "png",
    "py",
    "svg",
    "toml",
    "ts",
    "tsx",
    "txt",
    "webp",
    "yaml",
    "yml",
];
/// Parts of numbers that are kept for films and manuals: North America, Great Britain; and counting up.
const FICTION: [&[u8]; 4] = [b"55501", b"7700900", b"123456", b"5555555"];
/// What says that an address belongs to the text's maker.
const MAKERS: [&str; 12] = [
    "(c)",
    "author",
    "commit",
    "contact",
    "contribut",
    "copyright",
    "maintain",
    "owner",
    "reported-by",
    "reviewed-by",
    "signed-off-by",
    "support",
];

/// Keys that describe a person.
const PERSON: &str = r#"(?i)\b(?:phone(?:_?number)?|mobile|ssn|dob|date_?of_?birth|birth_?(?:date|day)|first_?name|last_?name|full_?name|surname|street|postal_?code|zip_?code|passport(?:_?n\w*)?|iban|salary|patient\w*)["']?\s*[:=]"#;
/// A name of two words or more, as a record holds it.
const NAMED: &str = r#"(?i)"(?:customer_?|user_?)?name"\s*:\s*"[^"\s]{2,40}(?:\s[^"\s]{2,40}){1,3}""#;

/// Expressions around addresses.
#[derive(Debug)]
pub(super) struct People {
    person: Regex,
    named: Regex,
}

impl People {
    pub(super) fn new() -> Result<Self, String> {
        let build = |pattern| {
            regex::bytes::RegexBuilder::new(pattern)
                .unicode(false)
                .build()
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            person: build(PERSON)?,
            named: build(NAMED)?,
        })
    }

    /// `strong`: other personal data was found in the text.
    pub(super) fn scan(&self, text: &[u8], strong: bool, out: &mut dyn FnMut(Class, Range<usize>)) {
        let mut mails: Vec<Range<usize>> = Vec::new();
        for at in memchr::memchr_iter(b'@', text) {
            if let Some(range) = password(text, at) {
                out(Class::UserInfo, range);
            } else if mails.len() < MAX_ADDRESSES {
                mails.extend(mail(text, at));
            }
        }
        let list = strong || different(text, &mails) >= LIST;
        for range in mails {
            if list || self.of_a_person(text, &range) {
                out(Class::Email, range);
            }
        }
        let phones: Vec<Range<usize>> = memchr::memchr_iter(b'+', text)
            .filter_map(|at| phone(text, at))
            .take(MAX_ADDRESSES)
            .collect();
        if strong || different(text, &phones) >= LIST {
            phones.into_iter().for_each(|range| out(Class::Phone, range));
        }
    }

    fn of_a_person(&self, text: &[u8], range: &Range<usize>) -> bool {
        let window = &text[range.start.saturating_sub(NEAR_BYTES)..(range.end + NEAR_BYTES).min(text.len())];
        self.person.is_match(window) || self.named.is_match(window)
    }
}

/// How many different addresses there are, up to [`LIST`].
fn different(text: &[u8], mails: &[Range<usize>]) -> usize {
    let mut seen: Vec<&[u8]> = Vec::with_capacity(LIST);
    for mail in mails {
        let address = &text[mail.clone()];
        if seen.len() < LIST && !seen.iter().any(|known| known.eq_ignore_ascii_case(address)) {
            seen.push(address);
        }
    }
    seen.len()
}

/// The address around an `@`, when it can be a person's (RFC 5321, section 4.1.2, in its common form).
fn mail(text: &[u8], at: usize) -> Option<Range<usize>> {
    let local_byte = |byte: &&u8| byte.is_ascii_alphanumeric() || b"._%+-".contains(byte);
    let local = text[..at]
        .iter()
        .rev()
        .take(MAX_LOCAL_BYTES + 1)
        .take_while(local_byte)
        .count();
    let domain_byte = |byte: &&u8| byte.is_ascii_alphanumeric() || b".-".contains(byte);
    let mut domain = text[at + 1..]
        .iter()
        .take(MAX_DOMAIN_BYTES + 1)
        .take_while(domain_byte)
        .count();
    while domain > 0 && b".-".contains(&text[at + domain]) {
        domain -= 1;
    }
    if !(1..=MAX_LOCAL_BYTES).contains(&local) || !(4..=MAX_DOMAIN_BYTES).contains(&domain) {
        return None;
    }
    let range = at - local..at + 1 + domain;
    // `scheme://user:password@host`, `@scope/name@1.2`, `user@host:path`.
    let before = range.start.checked_sub(1).map_or(b' ', |at| text[at]);
    if b":/@=".contains(&before)
        && !text[..range.start].ends_with(b"mailto:")
        && before != b'='
        && !after_key(text, range.start)
    {
        return None;
    }
    let name = std::str::from_utf8(&text[range.start..at]).ok()?.to_ascii_lowercase();
    let host = std::str::from_utf8(&text[at + 1..range.end]).ok()?.to_ascii_lowercase();
    let (_, ending) = host.rsplit_once('.')?;
    let person = !ROLES.contains(&name.as_str())
        && !name.contains("noreply")
        && !name.contains("[bot]")
        && ending.len() >= 2
        && ending.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !NO_ENDINGS.contains(&ending)
        && !host.contains("..")
        && !of_nobody(&host);
    (person && !of_a_maker(text, range.start)).then_some(range)
}

/// The password of `scheme://user:password@host` (RFC 3986, section 3.2.1) whose `@` is at `at`.
fn password(text: &[u8], at: usize) -> Option<Range<usize>> {
    let inner = |byte: &&u8| byte.is_ascii_graphic() && !b"/\"'<>{}|\\@".contains(byte);
    let length = text[..at]
        .iter()
        .rev()
        .take(MAX_USER_INFO_BYTES)
        .take_while(inner)
        .count();
    let start = at - length;
    let (user, _) = std::str::from_utf8(&text[start..at]).ok()?.split_once(':')?;
    let address = text[..start].strip_suffix(b"://")?.last()?.is_ascii_alphabetic();
    let rest = &text[at + 1..(at + 1 + MAX_DOMAIN_BYTES).min(text.len())];
    let host = rest
        .split(|byte| !byte.is_ascii_alphanumeric() && !b".-[".contains(byte))
        .next()?;
    let real = host.first()?.is_ascii_alphanumeric() || host.starts_with(b"[");
    let host = std::str::from_utf8(host).ok()?.to_ascii_lowercase();
    let value = start + user.len() + 1..at;
    (address && real && !of_nobody(&host) && value.len() >= MIN_PASSWORD_BYTES).then_some(value)
}

fn of_nobody(host: &str) -> bool {
    NOBODY.iter().any(|nobody| {
        host.strip_suffix(nobody)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

/// `key:value` without a space, as in `email:ann@corp.test`.
fn after_key(text: &[u8], start: usize) -> bool {
    let head = &text[start.saturating_sub(8)..start];
    head.ends_with(b":") && !head.contains(&b'/') && head.len() > 4 && head[head.len() - 2].is_ascii_alphabetic()
}

fn of_a_maker(text: &[u8], start: usize) -> bool {
    let head = text[start.saturating_sub(64)..start].to_ascii_lowercase();
    MAKERS
        .iter()
        .any(|word| memchr::memmem::find(&head, word.as_bytes()).is_some())
}

/// A number in the international form (ITU-T E.164) whose `+` is at `at`.
fn phone(text: &[u8], at: usize) -> Option<Range<usize>> {
    let before = at.checked_sub(1).map_or(b' ', |at| text[at]);
    if before.is_ascii_alphanumeric() || !text.get(at + 1).is_some_and(|byte| (b'1'..=b'9').contains(byte)) {
        return None;
    }
    let number_byte = |byte: &&u8| byte.is_ascii_digit() || b" .-()".contains(byte);
    let length = text[at + 1..].iter().take(24).take_while(number_byte).count();
    let mut end = at + 1 + length;
    while !text[end - 1].is_ascii_digit() {
        end -= 1;
    }
    let digits = text[at..end].iter().filter(|byte| byte.is_ascii_digit()).count();
    let behind = text.get(end).copied().unwrap_or(b' ');
    let number: Vec<u8> = text[at..end].iter().copied().filter(u8::is_ascii_digit).collect();
    let fiction = FICTION.iter().any(|part| memchr::memmem::find(&number, part).is_some());
    let counted = (8..=15).contains(&digits) && !behind.is_ascii_alphanumeric() && behind != b'_';
    (counted && !fiction && !filler(&number)).then_some(at..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, strong: bool) -> Vec<&str> {
        let mut out = Vec::new();
        People::new()
            .unwrap()
            .scan(text.as_bytes(), strong, &mut |_, range| out.push(&text[range]));
        out
    }

    #[test]
    fn a_lone_address_is_no_leak() {
        for text in [
            "write to ann.bell@corp.test today",
            r#"{"to":"ann.bell@corp.test","subject":"hi"}"#,
            r#"{"author":{"name":"Ann Bell","email":"ann.bell@corp.test"}}"#,
            "git@corp.test:a/b, https://svc:pw@corp.test/x, pkg@1.2.3, logo@2x.png",
            r#""first_name":"A","email":"ann@example.com""#,
            "noreply@corp.test info@corp.test support@corp.test",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text}");
        }
    }

    #[test]
    fn passwords_of_addresses() {
        for (text, value) in [
            ("git clone https://ann:Xk3vane91@git.corp.test/a.git", "Xk3vane91"),
            ("smtp://u:a:b@c.d:e@mail.corp.test", ""),
            ("ftp://u:Xk3vane91@[fd00::1]/", "Xk3vane91"),
        ] {
            assert_eq!(found(text, false).first().copied().unwrap_or_default(), value, "{text}");
        }
        for text in [
            "https://ann:Xk3vane91@example.com/a",
            "https://git.corp.test/@scope:name@1.2.3",
            "https://ann@git.corp.test/a:b",
            "https://{user}:{password}@corp.test",
            "ann:Xk3vane91@corp.test",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text}");
        }
    }

    #[test]
    fn lists_and_records_are() {
        let list = "a.b@corp.test, c.d@corp.test; e.f@corp.test";
        assert_eq!(found(list, false).len(), 3);
        assert_eq!(found("a.b@corp.test, c.d@corp.test; A.B@corp.test", false).len(), 0);
        for record in [
            r#"{"first_name":"Ann","mail":"ann.bell@corp.test"}"#,
            r#"{"name":"Ann Bell","email":"ann.bell@corp.test"}"#,
            "phone: 1, email:ann.bell@corp.test",
        ] {
            assert_eq!(found(record, false), ["ann.bell@corp.test"], "{record}");
        }
        assert_eq!(
            found("ann.bell@corp.test +49 30 9017332", true),
            ["ann.bell@corp.test", "+49 30 9017332"]
        );
        let list = r#"["+49 30 9017332","+44 20 7946 2958","+33 1 70 18 99 34"]"#;
        assert_eq!(found(list, false).len(), 3);
        for text in [
            "+49 30 9017332 and +44 20 7946 2958",
            "+12025550143 +12025550144 +12025550145",
            "a+49309017332 b+49309017333 c+49309017334",
            "@@ -1,7 +1000000,7 @@ +2000000 +30000000",
        ] {
            assert_eq!(found(text, false), [""; 0], "{text}");
        }
    }
}
