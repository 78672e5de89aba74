//! Numbers that states give to persons.
//!
//! A number counts when its form, its check digits and a word nearby agree; the word may be missing only where the
//! form itself is unmistakable. One check digit alone passes one random number in ten.

mod kinds;
mod sums;

use std::ops::Range;

use super::numbers::near;
pub(super) use kinds::National;

/// Longest form.
const MAX_FORM_BYTES: usize = 24;

/// Numbers that authorities and manuals print.
const KNOWN: [&str; 29] = [
    "00000000T",
    "00000001R",
    "046454286",
    "10000000146",
    "11010519491231002X",
    "111222333",
    "131052308T",
    "185057800608436",
    "196408233234",
    "255081416802538",
    "36574261809",
    "44051401359",
    "440524188001010014",
    "47036892816",
    "4857773456",
    "57549285017",
    "6408233234",
    "65929970489",
    "7569217076985",
    "8112189876",
    "8112289874",
    "8507099805",
    "86095742719",
    "9000000009",
    "9434765919",
    "BOXW310820HNERXN09",
    "HEGG560427MVZRRL04",
    "RSSMRA80A01H501U",
    "RSSMRA85T10A562S",
];

/// A way to write a number.
struct Form {
    kind: National,
    /// `9` a digit, `A` a capital, `X` either; the rest as it stands.
    shape: &'static [u8],
    /// Needs no word nearby.
    alone: bool,
}

const fn form(kind: National, shape: &'static str) -> Form {
    Form {
        kind,
        shape: shape.as_bytes(),
        alone: false,
    }
}

const fn alone(kind: National, shape: &'static str) -> Form {
    Form {
        kind,
        shape: shape.as_bytes(),
        alone: true,
    }
}

/// Forms that start with so many capitals and then so many digits.
fn forms(capitals: usize, digits: usize) -> &'static [Form] {
    use National::*;
    match (capitals, digits) {
        (0, 1) => const { &[form(ClRut, "9.999.999-X"), alone(FrNir, "9 99 99 99 999 999 99")] },
        (0, 2) => {
            const {
                &[
                    alone(BeRegister, "99.99.99-999.99"),
                    form(ClRut, "99.999.999-X"),
                    form(DeTax, "99 999 999 999"),
                    form(EsDni, "99.999.999-A"),
                ]
            }
        }
        (0, 3) => {
            const {
                &[
                    form(AuTax, "999 999 999"),
                    alone(BrCpf, "999.999.999-99"),
                    form(CaInsurance, "999 999 999"),
                    form(CaInsurance, "999-999-999"),
                    alone(ChInsurance, "999.9999.9999.99"),
                    form(PtNif, "999 999 999"),
                    form(UkNhs, "999 999 9999"),
                ]
            }
        }
        (0, 4) => {
            const {
                &[
                    form(AtInsurance, "9999 999999"),
                    form(AuMedicare, "9999 99999 9"),
                    form(InAadhaar, "9999 9999 9999"),
                    form(InAadhaar, "9999-9999-9999"),
                    form(JpNumber, "9999 9999 9999"),
                    form(JpNumber, "9999-9999-9999"),
                    form(NlBsn, "9999.99.999"),
                    form(NlBsn, "9999 99 999"),
                ]
            }
        }
        (0, 6) => {
            const {
                &[
                    form(CzBirth, "999999/9999"),
                    form(DkCpr, "999999-9999"),
                    form(FiIdentity, "999999-999X"),
                    form(FiIdentity, "999999+999X"),
                    form(FiIdentity, "999999A999X"),
                    form(KrResident, "999999-9999999"),
                    form(NoBirth, "999999 99999"),
                    form(SeNumber, "999999-9999"),
                    form(SeNumber, "999999+9999"),
                ]
            }
        }
        (0, 7) => {
            const {
                &[
                    form(ClRut, "9999999-X"),
                    form(IePps, "9999999A"),
                    form(IePps, "9999999AA"),
                ]
            }
        }
        (0, 8) => {
            const {
                &[
                    form(ClRut, "99999999-X"),
                    form(EsDni, "99999999A"),
                    form(EsDni, "99999999-A"),
                    form(SeNumber, "99999999-9999"),
                ]
            }
        }
        (0, 9) => {
            const {
                &[
                    form(AuTax, "999999999"),
                    form(CaInsurance, "999999999"),
                    form(NlBsn, "999999999"),
                    form(PtNif, "999999999"),
                ]
            }
        }
        (0, 10) => {
            const {
                &[
                    form(AtInsurance, "9999999999"),
                    form(AuMedicare, "9999999999"),
                    form(BgCitizen, "9999999999"),
                    form(CzBirth, "9999999999"),
                    form(DkCpr, "9999999999"),
                    form(SeNumber, "9999999999"),
                    form(UkNhs, "9999999999"),
                ]
            }
        }
        (0, 11) => {
            const {
                &[
                    form(BeRegister, "99999999999"),
                    form(BrCpf, "99999999999"),
                    form(DeTax, "99999999999"),
                    form(EeLtCode, "99999999999"),
                    form(GrAmka, "99999999999"),
                    form(HrOib, "99999999999"),
                    form(NoBirth, "99999999999"),
                    form(PlPesel, "99999999999"),
                    form(TrNumber, "99999999999"),
                ]
            }
        }
        (0, 12) => {
            const {
                &[
                    form(InAadhaar, "999999999999"),
                    form(JpNumber, "999999999999"),
                    form(SeNumber, "999999999999"),
                ]
            }
        }
        (0, 13) => {
            const {
                &[
                    form(ChInsurance, "9999999999999"),
                    form(FrNir, "9999999999999 99"),
                    form(KrResident, "9999999999999"),
                    form(RoCnp, "9999999999999"),
                    form(ZaIdentity, "9999999999999"),
                ]
            }
        }
        (0, 15) => const { &[form(FrNir, "999999999999999")] },
        (0, 17) => const { &[form(CnResident, "99999999999999999X")] },
        (0, 18) => const { &[form(CnResident, "99999999999999999X")] },
        (1, 7) => const { &[form(EsDni, "A9999999A"), form(SgNric, "A9999999A")] },
        (2, 6) => const { &[form(UkNino, "AA999999A")] },
        (3, 2) => const { &[form(UkNino, "AA 99 99 99 A")] },
        (3, 6) => const { &[form(UkNino, "AA 999999 A")] },
        (4, 6) => const { &[alone(MxCurp, "AAAA999999AAAAAAX9")] },
        (5, 4) => const { &[form(InPan, "AAAAA9999A")] },
        (6, 2) => const { &[alone(ItFiscal, "AAAAAA99A99A999A")] },
        _ => &[],
    }
}

/// The number whose first run of digits is `digits_at`, behind `capitals` capitals, when it holds up.
pub(super) fn at(text: &[u8], digits: &Range<usize>, capitals: usize) -> Option<(National, Range<usize>)> {
    let start = digits.start - capitals;
    let lead = capitals + digits.len();
    let next = text.get(digits.end).copied().unwrap_or(0);
    forms(capitals, digits.len()).iter().find_map(|form| {
        let end = start + form.shape.len();
        let holds = |number: &[u8]| {
            let words = form.kind.words();
            form.kind.valid(number) && !sample(number) && (form.alone || near(text, start, words))
        };
        let found = match form.shape.get(lead) {
            // The run of digits is all of it.
            None => ends(text, end) && holds(text.get(start..end)?),
            Some(wanted) if !fits(next, *wanted) => false,
            Some(_) => {
                let written = text.get(start..end)?;
                let fits = written
                    .iter()
                    .zip(form.shape)
                    .all(|(byte, wanted)| fits(*byte, *wanted));
                let mut number = [0; MAX_FORM_BYTES];
                let mut length = 0;
                for byte in written.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
                    number[length] = *byte;
                    length += 1;
                }
                fits && ends(text, end) && holds(&number[..length])
            }
        };
        found.then_some((form.kind, start..end))
    })
}

const fn fits(byte: u8, wanted: u8) -> bool {
    match wanted {
        b'9' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_uppercase(),
        b'X' => byte.is_ascii_digit() || byte.is_ascii_uppercase(),
        other => byte == other,
    }
}

/// Nothing behind makes the number a part of something longer.
fn ends(text: &[u8], end: usize) -> bool {
    let byte = |at: usize| text.get(at).copied().unwrap_or(b' ');
    match byte(end) {
        b'.' | b'-' | b',' | b'/' | b':' => !byte(end + 1).is_ascii_digit(),
        other => !other.is_ascii_alphanumeric() && other != b'_' && other != b'%',
    }
}

/// Numbers of manuals: one digit again and again, or counting up.
fn sample(number: &[u8]) -> bool {
    let digits: Vec<u8> = number.iter().copied().filter(u8::is_ascii_digit).collect();
    let same = digits.windows(2).all(|pair| pair[0] == pair[1]);
    let counts = digits
        .windows(6)
        .any(|run| run.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    same || counts || KNOWN.iter().any(|known| known.as_bytes() == number)
}

/// The number with its `?` filled so that its check digits hold, or, unless `right`, so that they do not; for examples.
pub(super) fn filled(kind: National, shape: &str, right: bool) -> Option<String> {
    const TAIL: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let open = u32::try_from(shape.matches('?').count()).ok()?;
    let number = |mut seed: usize| -> String {
        let fill = |c| match c {
            '?' => {
                let pick = TAIL[seed % TAIL.len()];
                seed /= TAIL.len();
                char::from(pick)
            }
            other => other,
        };
        shape.chars().map(fill).collect()
    };
    let fits = |number: &String| {
        let bare: Vec<u8> = number.bytes().filter(u8::is_ascii_alphanumeric).collect();
        kind.valid(&bare) && !sample(&bare)
    };
    (0..TAIL.len().checked_pow(open)?)
        .map(number)
        .find(|number| fits(number) == right)
}

#[cfg(test)]
mod tests;
