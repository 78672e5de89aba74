//! Tests of the numbers of states: none of those here was given to anybody.

use super::*;
use crate::detect::signature::numbers::scan;
use crate::detect::signature::secrets::Class;

/// Numbers that hold up in a text.
fn found(text: &str) -> Vec<(National, &str)> {
    let mut out = Vec::new();
    scan(text.as_bytes(), None, &mut |class, range| {
        if let Class::National(kind) = class {
            out.push((kind, &text[range]));
        }
    });
    out
}

/// A number with its check digits.
fn complete(kind: National, shape: &str) -> String {
    filled(kind, shape, true).unwrap_or_else(|| panic!("{kind:?} {shape}"))
}

/// (kind, word, number with open places, a place whose change breaks the check).
const CASES: [(National, &str, &str); 52] = [
    (National::AtInsurance, "SVNR", "123?150585"),
    (National::AuMedicare, "medicare", "29513784?1"),
    (National::AuTax, "TFN", "459 37? 81?"),
    (National::BeRegister, "", "85.07.30-033.??"),
    (National::BeRegister, "national_number", "850730033??"),
    (National::BgCitizen, "EGN", "752316926?"),
    (National::BrCpf, "", "529.982.247-??"),
    (National::BrCpf, "cpf", "529982247??"),
    (National::CaInsurance, "SIN", "130 692 54?"),
    (National::ChInsurance, "", "756.9317.0426.8?"),
    (National::ClRut, "RUT", "14.569.384-?"),
    (National::CnResident, "身份证号", "11010819790307241?"),
    (National::CnResident, "id_card", "51010219850814331?"),
    (National::CzBirth, "birth_number", "736028/516?"),
    (National::DeTax, "Steuer-ID", "8609574261?"),
    (National::DeTax, "tax_id", "2695437182?"),
    (National::DkCpr, "cpr", "140279-3418"),
    (National::EeLtCode, "isikukood", "3760503029?"),
    (National::EsDni, "DNI", "54362315?"),
    (National::EsDni, "nie", "X2482300?"),
    (National::FiIdentity, "hetu", "140279-341?"),
    (National::FrNir, "", "1 84 12 76 451 089 ??"),
    (National::FrNir, "nir", "2690549588157??"),
    (National::GrAmka, "AMKA", "0702791341?"),
    (National::HrOib, "OIB", "3357249617?"),
    (National::IePps, "PPSN", "6433435?"),
    (National::InAadhaar, "Aadhaar", "3675 9834 602?"),
    (National::InAadhaar, "aadhaar_number", "36759834602?"),
    (National::InPan, "PAN", "BNZPM2501F"),
    (National::ItFiscal, "", "BNCGLI79E54F205?"),
    (National::JpNumber, "my_number", "73642918502?"),
    (National::KrResident, "주민등록번호", "790307-141253?"),
    (National::MxCurp, "", "SABC560626MDFLRN0?"),
    (National::NlBsn, "BSN", "16482937?"),
    (National::NoBirth, "fødselsnummer", "140279341??"),
    (National::PlPesel, "pesel", "7903071412?"),
    (National::PtNif, "NIF", "24769315?"),
    (National::RoCnp, "CNP", "179030714125?"),
    (National::SeNumber, "personnummer", "790307-241?"),
    (National::SeNumber, "personal_number", "19790307241?"),
    (National::SgNric, "NRIC", "S7934162?"),
    (National::TrNumber, "TCKN", "246810975??"),
    (National::UkNhs, "NHS number", "401 023 213?"),
    (National::UkNhs, "nhs_number", "594320186?"),
    (National::UkNino, "NI number", "EC 36 41 90 B"),
    (National::UkNino, "nino", "EC364190B"),
    (National::ZaIdentity, "id_number", "790307524108?"),
    (National::InAadhaar, "uidai", "4821-7390-562?"),
    (National::PlPesel, "PESEL", "0224190763?"),
    (National::SgNric, "nric", "G5820147?"),
    (National::CaInsurance, "social_insurance", "130-692-54?"),
    (National::NlBsn, "burgerservicenummer", "2719.46.83?"),
];

#[test]
fn numbers_with_their_words() {
    for (kind, word, shape) in CASES {
        let number = complete(kind, shape);
        for text in [
            format!("{word}: {number}"),
            format!("{{\"{word}\":\"{number}\",\"x\":1}}"),
        ] {
            assert_eq!(found(&text), [(kind, &*number)], "{text}");
        }
        let text = format!("order {number} of today");
        let bare = found(&text);
        assert_eq!(bare.is_empty(), !word.is_empty(), "{kind:?} {number} without a word");
        assert_eq!(found(&format!("{word}: {number}1")), [], "{number} and more");
        assert_eq!(found(&format!("{word}: a{number}")), [], "more and {number}");
    }
}

#[test]
fn a_wrong_check_digit_is_no_number() {
    for (kind, word, shape) in CASES {
        if matches!(kind, National::DkCpr | National::InPan | National::UkNino) {
            continue;
        }
        let number = complete(kind, shape);
        let place = shape.find('?').unwrap();
        let wrong: String = number
            .char_indices()
            .map(|(at, c)| match c {
                '9' if at == place => '0',
                'Z' if at == place => 'A',
                other if at == place => char::from(other as u8 + 1),
                other => other,
            })
            .collect();
        assert_ne!(wrong, number);
        assert_eq!(found(&format!("{word}: {wrong}")), [], "{kind:?}");
    }
}

#[test]
fn what_only_looks_like_one() {
    for text in [
        "cpr: 310279-3418 of 991399-1234",
        "PAN: BNZCM2501F",
        "NI number: BG364190B",
        "NI number: EC364190E",
        "cpf 111.111.111-11",
        "dni 12345678Z",
        "pesel 44051401359",
        "RSSMRA85T10A562S",
        "company 54362315",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn published_sums_hold() {
    // Numbers that the issuers print: they are no finding, and their check digits are right.
    for (kind, number) in [
        (National::ItFiscal, "RSSMRA85T10A562S"),
        (National::PlPesel, "44051401359"),
        (National::NlBsn, "111222333"),
        (National::CnResident, "11010519491231002X"),
        (National::TrNumber, "10000000146"),
        (National::SeNumber, "8112189876"),
        (National::UkNhs, "9434765919"),
        (National::DeTax, "86095742719"),
        (National::FiIdentity, "131052308T"),
        (National::EsDni, "12345678Z"),
        (National::ChInsurance, "7569217076985"),
        (National::CaInsurance, "046454286"),
        (National::FrNir, "255081416802538"),
        (National::SgNric, "S1234567D"),
        (National::MxCurp, "HEGG560427MVZRRL04"),
    ] {
        let first_zero = kind == National::CaInsurance;
        assert!(kind.valid(number.as_bytes()) || first_zero, "{kind:?} {number}");
    }
}
