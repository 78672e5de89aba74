//! Checks that a candidate passes before it is a hit: check sums, structure, entropy.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Tolerant of missing padding and of trailing bits: issuers differ.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// Passwords of manuals and examples.
const WEAK: [&str; 42] = [
    "access_token",
    "admin",
    "admin123",
    "api_key",
    "apikey",
    "changeit",
    "changeme",
    "db_pass",
    "db_password",
    "guest",
    "hunter2",
    "letmein",
    "my-password",
    "my-secret-pw",
    "my_password",
    "mypass",
    "mypassword",
    "mysecretpassword",
    "p4ssw0rd",
    "p@ssw0rd",
    "p@ssword",
    "pass",
    "pass123",
    "passw0rd",
    "passwd",
    "password",
    "password1",
    "password123",
    "postgres",
    "pwd",
    "qwerty",
    "redacted",
    "root",
    "s3cr3t",
    "s3cret",
    "secret",
    "secret123",
    "strongpassword",
    "test",
    "test123",
    "token",
    "user",
];

/// One named check.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// Base64 of printable `user:password` (RFC 7617).
    Basic,
    /// The last six characters are the base-62 CRC-32 of the 30 before.
    Crc32Base62,
    /// At least so many bits a character.
    Entropy(f32),
    /// Header and payload decode to JSON objects, and the header names an algorithm (RFC 7515).
    Jwt,
    /// The header of the token decodes to JSON and holds this text.
    JwtHead(Box<str>),
    /// The payload of the token holds this text.
    JwtSays(Box<str>),
    /// Looks drawn at random: no address, no path, no words.
    Opaque,
    /// Not the password of an example.
    Password,
    /// Base64 lines follow the header (RFC 7468).
    Pem,
}

impl Check {
    pub(super) fn parse(word: &str) -> Option<Self> {
        if let Some(bits) = word.strip_prefix("entropy>=") {
            return bits.parse().ok().map(Self::Entropy);
        }
        if let Some(text) = word.strip_prefix("jwt-head:") {
            return Some(Self::JwtHead(text.into()));
        }
        if let Some(text) = word.strip_prefix("jwt-says:") {
            return Some(Self::JwtSays(text.into()));
        }
        Some(match word {
            "basic" => Self::Basic,
            "crc32b62" => Self::Crc32Base62,
            "jwt" => Self::Jwt,
            "opaque" => Self::Opaque,
            "password" => Self::Password,
            "pem" => Self::Pem,
            _ => return None,
        })
    }

    pub(super) fn passes(&self, value: &[u8]) -> bool {
        match self {
            Self::Basic => basic(value),
            Self::Crc32Base62 => crc32_base62(value),
            Self::Entropy(bits) => entropy(value) >= *bits,
            Self::Jwt => {
                jwt_part(value, 0).is_some_and(|head| head.contains("\"alg\"")) && jwt_part(value, 1).is_some()
            }
            Self::JwtHead(text) => jwt_part(value, 0).is_some_and(|head| head.contains(&**text)),
            Self::JwtSays(text) => jwt_part(value, 1).is_some_and(|payload| payload.contains(&**text)),
            Self::Opaque => opaque(value),
            Self::Password => password(value),
            Self::Pem => pem(value),
        }
    }
}

/// Shannon entropy of the bytes, in bits a byte.
pub(super) fn entropy(value: &[u8]) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "lengths are far below 2^23")]
    let total = value.len() as f32;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let share = *count as f32 / total;
            -share * share.log2()
        })
        .sum()
}

fn basic(value: &[u8]) -> bool {
    BASE64.decode(value).is_ok_and(|text| {
        text.contains(&b':')
            && text.len() > 4
            && text.iter().all(|byte| (b' '..0x7F).contains(byte))
            && text.split(|byte| *byte == b':').nth(1).is_some_and(password)
    })
}

/// A part of a JSON Web Token, when it decodes to a JSON object.
fn jwt_part(value: &[u8], number: usize) -> Option<String> {
    let part = value.split(|byte| *byte == b'.').nth(number)?;
    let text = String::from_utf8(BASE64_URL.decode(part).ok()?).ok()?;
    let trimmed = text.trim();
    (trimmed.starts_with('{') && trimmed.ends_with('}')).then_some(text)
}

fn opaque(value: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(value) else {
        return false;
    };
    let digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let letter = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let address =
        text.contains("://") || text.starts_with(['/', '.', '$', '%', '~', '{', '[', '(']) || text.contains("()");
    // Words joined by marks: names, paths, settings.
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let longest_mixed = words
        .filter(|word| word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic()))
        .map(str::len)
        .max()
        .unwrap_or(0);
    digit && letter && !address && longest_mixed >= 8
}

/// Filler instead of a value: too few different characters, or a short piece again and again.
pub(super) fn filler(value: &[u8]) -> bool {
    let different = {
        let mut seen = [false; 256];
        value.iter().for_each(|byte| seen[usize::from(*byte)] = true);
        seen.iter().filter(|seen| **seen).count()
    };
    let repeats = |period: usize| {
        value
            .iter()
            .zip(value.iter().skip(period))
            .all(|(byte, later)| byte.eq_ignore_ascii_case(later))
    };
    (value.len() >= 12 && different < 5) || (value.len() >= 16 && (1..=8).any(repeats))
}

pub(super) fn password(value: &[u8]) -> bool {
    let masked = value
        .iter()
        .all(|byte| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'_' | b'-'));
    !masked && !WEAK.iter().any(|weak| weak.as_bytes().eq_ignore_ascii_case(value)) && !value.starts_with(b"$")
}

fn pem(value: &[u8]) -> bool {
    // Behind the header line; a key file holds at least a line of base64 with mixed characters.
    let body = value
        .get(10..)
        .and_then(|rest| memchr::memmem::find(rest, b"-----").map(|at| &rest[at + 5..]));
    body.is_some_and(|body| {
        body.split(u8::is_ascii_whitespace).any(|line| {
            line.len() >= 32
                && line.iter().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b))
                && entropy(line) > 3.5
        })
    })
}

fn crc32_base62(value: &[u8]) -> bool {
    let Some((rest, digits)) = value.split_last_chunk::<6>() else {
        return false;
    };
    let Some((_, body)) = rest.split_last_chunk::<30>() else {
        return false;
    };
    base62(crc32(body)) == *digits
}

/// CRC-32 of ISO 3309 (the one of gzip).
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

/// Six digits in the order 0-9, A-Z, a-z, most significant first.
pub(super) fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; 6];
    for slot in out.iter_mut().rev() {
        *slot = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    out
}

/// Base64 as the examples of the rules need it.
pub(super) fn encode(text: &[u8], url: bool) -> String {
    if url {
        BASE64_URL.encode(text).trim_end_matches('=').to_owned()
    } else {
        BASE64.encode(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(&base62(0), b"000000");
        assert_eq!(&base62(u32::MAX), b"4gfFC3");
    }

    #[test]
    fn bits_per_character() {
        assert!(entropy(b"aaaaaaaa") < 0.01);
        assert!((entropy(b"abcdefgh") - 3.0).abs() < 0.01);
    }

    #[test]
    fn filler_is_told_from_values() {
        for (value, is) in [
            ("deadbeefdeadbeefdeadbeef", true),
            ("xXxXxXxXxXxXxX", true),
            ("0123012301230123", true),
            ("q8ZtR2vLw0Xy7Bn4", false),
            ("aaaaaaaa", false),
        ] {
            assert_eq!(filler(value.as_bytes()), is, "{value}");
        }
    }

    #[test]
    fn words_are_not_opaque() {
        for (value, is) in [
            ("projects/7/secrets/name-v2", false),
            ("https://host.test/a1b2c3d4e5f6", false),
            ("my-client-secret-name-1", false),
            ("q8ZtR2vLw0Xy7Bn4", true),
            ("correct-horse-battery", false),
        ] {
            assert_eq!(opaque(value.as_bytes()), is, "{value}");
        }
    }

    #[test]
    fn example_passwords() {
        assert!(!password(b"Password") && !password(b"****") && !password(b"${PGPASS}") && password(b"Xk3-vane-91"));
    }
}
