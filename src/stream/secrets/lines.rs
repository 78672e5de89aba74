//! Lines of a key log, in whatever pieces they come: `LABEL RANDOM SECRET`, both values in hexadecimal.
//!
//! Comments, blank lines, labels of no interest and damaged lines are passed over: a key log is often several that were
//! joined, or cut in the middle of a line.

use super::{Label, RANDOM_BYTES, Random, SECRET_MAX_BYTES, Secret, Secrets};
use zeroize::Zeroize as _;

/// Longest line that is read, in bytes; three times the longest that is of interest.
const LINE_MAX_BYTES: usize = 640;

/// A key log that is being read.
#[derive(Default)]
pub struct Lines {
    /// Of a line whose end has not come.
    partial: Vec<u8>,
    /// The present line is too long, and passed over up to its end.
    too_long: bool,
    /// Secrets so far.
    pub added: u64,
}

impl Lines {
    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8], secrets: &Secrets) {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            if self.partial.is_empty() && !self.too_long {
                self.line(line, secrets);
            } else {
                self.keep(line);
                self.end(secrets);
            }
        }
        self.keep(rest);
    }

    /// Nothing more comes: what there is of the last line is a line.
    pub fn end(&mut self, secrets: &Secrets) {
        let mut line = std::mem::take(&mut self.partial);
        if !std::mem::take(&mut self.too_long) {
            self.line(&line, secrets);
        }
        line.zeroize();
    }

    fn keep(&mut self, part: &[u8]) {
        self.too_long |= self.partial.len().saturating_add(part.len()) > LINE_MAX_BYTES;
        if self.too_long {
            self.partial.zeroize();
        } else {
            self.partial.extend_from_slice(part);
        }
    }

    fn line(&mut self, line: &[u8], secrets: &Secrets) {
        if let Some((random, label, secret)) = read(line) {
            secrets.add(random, label, secret);
            self.added = self.added.saturating_add(1);
        }
    }
}

fn read(line: &[u8]) -> Option<(Random, Label, Secret)> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let label = label(words.next()?)?;
    let mut random = [0; RANDOM_BYTES];
    let random_len = decode(words.next()?, &mut random)?;
    let mut bytes = [0; SECRET_MAX_BYTES];
    let len = decode(words.next()?, &mut bytes)?;
    // A secret of TLS 1.3 is as long as the hash of its cipher suite.
    let fits = match label {
        Label::Master => len == SECRET_MAX_BYTES,
        _ => matches!(len, 32 | 48),
    };
    let secret = Secret::new(bytes.get(..len)?);
    bytes.zeroize();
    (fits && random_len == RANDOM_BYTES && words.next().is_none())
        .then_some(())
        .and(secret)
        .map(|secret| (random, label, secret))
}

fn label(word: &[u8]) -> Option<Label> {
    // Before RFC 9001 some wrote the same secrets with this in front.
    Some(match word.strip_prefix(b"QUIC_").unwrap_or(word) {
        b"CLIENT_EARLY_TRAFFIC_SECRET" => Label::ClientEarlyTraffic,
        b"CLIENT_HANDSHAKE_TRAFFIC_SECRET" => Label::ClientHandshakeTraffic,
        b"CLIENT_RANDOM" => Label::Master,
        b"CLIENT_TRAFFIC_SECRET_0" => Label::ClientTraffic,
        b"SERVER_HANDSHAKE_TRAFFIC_SECRET" => Label::ServerHandshakeTraffic,
        b"SERVER_TRAFFIC_SECRET_0" => Label::ServerTraffic,
        _ => return None,
    })
}

/// Bytes of hexadecimal digits, and how many; `None` when they are none, or too many.
fn decode(digits: &[u8], into: &mut [u8]) -> Option<usize> {
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() > into.len() {
        return None;
    }
    for (byte, [high, low]) in into.iter_mut().zip(pairs) {
        let digit = |digit: &u8| char::from(*digit).to_digit(16);
        *byte = u8::try_from(digit(high)? << 4 | digit(low)?).ok()?;
    }
    Some(pairs.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABELS: [(&str, Label); 6] = [
        ("CLIENT_EARLY_TRAFFIC_SECRET", Label::ClientEarlyTraffic),
        ("CLIENT_HANDSHAKE_TRAFFIC_SECRET", Label::ClientHandshakeTraffic),
        ("CLIENT_RANDOM", Label::Master),
        ("CLIENT_TRAFFIC_SECRET_0", Label::ClientTraffic),
        ("SERVER_HANDSHAKE_TRAFFIC_SECRET", Label::ServerHandshakeTraffic),
        ("QUIC_SERVER_TRAFFIC_SECRET_0", Label::ServerTraffic),
    ];

    fn hex(byte: u8, len: usize) -> String {
        format!("{byte:02x}").repeat(len)
    }

    fn line(label: &str, random: u8, secret: u8) -> String {
        format!("{label} {} {}", hex(random, 32), hex(secret, 48))
    }

    fn added(text: &str) -> u64 {
        let (secrets, mut lines) = (Secrets::new(100, false), Lines::default());
        lines.push(text.as_bytes(), &secrets);
        lines.end(&secrets);
        lines.added
    }

    #[test]
    fn every_label_and_every_ending() {
        for (word, label) in LABELS {
            for ending in ["", "\n", "\r\n", " \t\n"] {
                let secrets = Secrets::new(9, false);
                secrets.read((line(word, 0xA1, 0xB2).to_uppercase() + ending).as_bytes());
                let found = secrets.find(&[0xa1; 32], label).unwrap();
                assert_eq!(found.bytes(), [0xb2; 48], "{word} {ending:?}");
            }
        }
    }

    #[test]
    fn junk_is_passed_over() {
        let good = line("CLIENT_RANDOM", 1, 2);
        assert_eq!(added(&format!("# comment\n\n{good}\n{good}")), 2);
        assert_eq!(added(&format!("\u{feff}{good}\n")), 1);
        for junk in [
            format!("#{good}"),
            format!("x{good}"),
            format!("{good} more"),
            good[..good.len() - 1].to_owned(),
            good[..good.len() - 2].to_owned(),
            good.replacen("01", "0g", 1),
            format!("CLIENT_RANDOM {} {}", hex(1, 33), hex(2, 48)),
            format!("CLIENT_RANDOM {} {}", hex(1, 31), hex(2, 48)),
            format!("CLIENT_RANDOM {} {}", hex(1, 32), hex(2, 49)),
            format!("CLIENT_RANDOM {} {}", hex(1, 32), hex(2, 32)),
            format!("CLIENT_TRAFFIC_SECRET_0 {} {}", hex(1, 32), hex(2, 20)),
            format!("CLIENT_RANDOM {}", hex(1, 32)),
            format!("RSA {} {}", hex(1, 8), hex(2, 48)),
            format!("EXPORTER_SECRET {} {}", hex(1, 32), hex(2, 48)),
            "\0".repeat(5_000),
            "CLIENT_RANDOM ".repeat(5_000),
        ] {
            assert_eq!(added(&format!("{junk}\n{good}\n")), 1, "{junk:?}");
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same(
            order in prop::collection::vec((0..4_usize, any::<u8>()), 0..12),
            sizes in prop::collection::vec(1..400_usize, 1..9),
        ) {
            let long = "z".repeat(2_000);
            let text: String = order.iter().map(|(kind, byte)| match kind {
                0 => format!("# {byte}\r\n"),
                1 => long.clone() + "\n",
                _ => line("CLIENT_RANDOM", *byte, 7) + "\n",
            }).collect();
            let (secrets, mut lines) = (Secrets::new(100, false), Lines::default());
            let (mut rest, mut sizes) = (text.as_bytes(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                lines.push(piece, &secrets);
                prop_assert!(lines.partial.len() <= LINE_MAX_BYTES);
                rest = after;
            }
            lines.end(&secrets);
            prop_assert_eq!(lines.added, order.iter().filter(|(kind, _)| *kind > 1).count() as u64);
            for (_, byte) in order.iter().filter(|(kind, _)| *kind > 1) {
                prop_assert!(secrets.knows(&[*byte; 32]));
            }
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            Secrets::new(3, false).read(&bytes);
        }
    }
}
