//! Tests of cards, accounts and social security numbers.

use super::*;

#[test]
fn digits_are_found_wherever_they_stand() {
    let mut text = vec![b'x'; 40];
    for (fill, place) in [b'/', b':', b'x', 0xff, b' ', b'\0', b'F']
        .into_iter()
        .flat_map(|fill| (0..40).map(move |at| (fill, at)))
    {
        text.fill(fill);
        text[place] = b'0' + (place % 10) as u8;
        for from in 0..=40 {
            assert_eq!(
                next_digit(&text, from),
                (from <= place).then_some(place),
                "{fill} {place} {from}"
            );
        }
    }
    assert_eq!(next_digit(b"", 0), None);
}

fn found(text: &str) -> Vec<(Class, &str)> {
    let mut out = Vec::new();
    scan(text.as_bytes(), None, &mut |class, range| {
        out.push((class, &text[range]));
    });
    out
}

#[test]
fn cards() {
    // Composed here: 16 digits that pass Luhn and belong to no manual.
    let number = "4539 1488 0343 6467";
    let bare = number.replace(' ', "");
    assert_eq!(found(&format!("paid with {number}.")), [(Class::Card, number)]);
    assert_eq!(found(&format!("\"cardNumber\":\"{bare}\"")), [(Class::Card, &*bare)]);
    for text in [
        format!("order {bare}"),
        format!("discard {bare}"),
        format!("x{number}"),
        format!("{number} 1234"),
        format!("453F {number}"),
        format!("{number} 12AB"),
        format!("1234-{}", number.replace(' ', "-")),
        "4539 1488 0343 6468".to_owned(),
        "4111 1111 1111 1111".to_owned(),
        "card 0000000000000000".to_owned(),
    ] {
        assert_eq!(found(&text), [], "{text}");
    }
}

#[test]
fn social_security_numbers() {
    assert_eq!(found("ssn 219-45-8812"), [(Class::Ssn, "219-45-8812")]);
    assert_eq!(found("\"ssn\":\"219458812\""), [(Class::Ssn, "219458812")]);
    for text in [
        "000-12-3456",
        "666-12-3456",
        "912-12-3456",
        "219-00-1234",
        "219-12-0000",
        "1219-12-1234",
        "219-12-1234-5",
        "a219-12-1234",
        "219458812",
        "123-45-6789",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn bank_accounts() {
    assert_eq!(
        found("to NL91ABNA0417164300 now"),
        [(Class::Iban, "NL91ABNA0417164300")]
    );
    assert_eq!(
        found("NL91 ABNA 0417 1643 00"),
        [(Class::Iban, "NL91 ABNA 0417 1643 00")]
    );
    for text in [
        "NL92ABNA0417164300",
        "XNL91ABNA0417164300",
        "NL91ABNA04171643001",
        "nl91abna0417164300",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}
