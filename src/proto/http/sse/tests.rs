//! Event streams against the specification's own algorithm, in any split.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::*;

type Event = (String, String, bool);

fn decode(pieces: &[&[u8]], max_bytes: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut say = |said: Said<'_>| {
        let (text, whole) = match said.body {
            Body::Whole(text) => (text, true),
            Body::Cut { head, .. } => (head, false),
            Body::Absent => (&[][..], false),
        };
        events.push((
            said.event.unwrap().to_owned(),
            String::from_utf8_lossy(text).into_owned(),
            whole,
        ));
    };
    let mut sse = Sse::new(max_bytes);
    for piece in pieces {
        sse.push(Stamp::default(), piece, &mut say);
    }
    sse.end(&mut say);
    events
}

/// The specification's algorithm, line by line, on the whole text.
fn oracle(text: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), String::new());
    let mut lines = text.split('\n').collect::<Vec<_>>();
    let unfinished = lines.pop().unwrap_or_default();
    for line in &lines {
        if line.is_empty() {
            if data.strip_suffix('\n').is_some_and(|data| !data.is_empty()) {
                let name = if name.is_empty() {
                    DEFAULT_NAME.into()
                } else {
                    name.clone()
                };
                events.push((name, data.strip_suffix('\n').unwrap().to_owned(), true));
            }
            (name, data) = (String::new(), String::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = data + value + "\n",
            "event" => name = value.to_owned(),
            _ => {}
        }
    }
    let tail = unfinished
        .strip_prefix("data:")
        .filter(|value| !value.is_empty())
        .map(|value| value.strip_prefix(' ').unwrap_or(value));
    let cut = match tail {
        Some(tail) => data + tail,
        None => data.strip_suffix('\n').unwrap_or(&data).to_owned(),
    };
    if cut.trim_start().starts_with(['{', '[']) {
        events.push((if name.is_empty() { DEFAULT_NAME.into() } else { name }, cut, false));
    }
    events
}

#[test]
fn rules_of_the_specification() {
    for (text, expect) in [
        ("data: a\n\n", &[("message", "a", true)][..]),
        ("data:a\r\ndata:  b\r\n\r\n", &[("message", "a\n b", true)]),
        (
            "\u{feff}event: endpoint\rdata: /m?s=1\r\r",
            &[("endpoint", "/m?s=1", true)],
        ),
        (": ping\n\nid: 7\nretry: 5\ndata\n\ndata: \n\n", &[]),
        ("data\ndata\n\n", &[("message", "\n", true)]),
        ("event: x\n\ndata: b\n\n", &[("message", "b", true)]),
        ("data: {\"a\":", &[("message", "{\"a\":", false)]),
        ("data: {}\n", &[("message", "{}", false)]),
        ("data: half", &[]),
        ("datax: no\nxdata: no\n data: no\n\n", &[]),
    ] {
        let expect = expect
            .iter()
            .map(|(n, d, w)| ((*n).into(), (*d).into(), *w))
            .collect::<Vec<Event>>();
        assert_eq!(decode(&[text.as_bytes()], 100), expect, "{text:?}");
        assert_eq!(
            decode(&text.as_bytes().chunks(1).collect::<Vec<_>>(), 100),
            expect,
            "{text:?} by bytes"
        );
    }
}

#[test]
fn long_events_are_cut_at_the_bound() {
    let text = b"data: 123\ndata: 456789\nid: 3\n\ndata: ok\n\n";
    for size in [1, 3, 100] {
        let events = decode(&text.chunks(size).collect::<Vec<_>>(), 5);
        assert_eq!(
            events,
            [
                ("message".into(), "123\n4".into(), false),
                ("message".into(), "ok".into(), true)
            ]
        );
    }
    assert_eq!(
        decode(&[b"data: 123456\n\ndata: x\n\n"], 5)[0],
        ("message".into(), "12345".into(), false)
    );
}

#[test]
fn a_gap_cuts_one_event() {
    let (mut sse, mut seen) = (Sse::new(100), Vec::new());
    let mut say = |said: Said<'_>| seen.push(format!("{:?}", said.body));
    sse.push(Stamp::default(), b"data: {\"a", &mut say);
    sse.gap(&mut say);
    sse.push(Stamp::default(), b"b\":1}\ndata: tail\n\ndata: next\n\n", &mut say);
    assert_eq!(
        seen,
        [
            format!(
                "{:?}",
                Body::Cut {
                    head: b"{\"a",
                    missing: 0
                }
            ),
            format!("{:?}", Body::Whole(b"next"))
        ]
    );
}

#[test]
fn an_event_is_stamped_with_its_first_line() {
    let stamp = |packet| Stamp {
        packet,
        ..Stamp::default()
    };
    let (mut sse, mut seen) = (Sse::new(100), Vec::new());
    let mut say = |said: Said<'_>| seen.push(said.at.packet);
    for (packet, text) in [
        (1, ": ping\n"),
        (2, "eve"),
        (3, "nt: x\nda"),
        (4, "ta: 1\n"),
        (5, "\ndata: 2\n\n"),
    ] {
        sse.push(stamp(packet), text.as_bytes(), &mut say);
    }
    assert_eq!(seen, [2, 5]);
}

proptest! {
    #[test]
    fn any_split_gives_what_the_specification_says(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "data", "data:", "data: ", "event:", "event: ", "id: 1", ":", "x", "{}", "{\"k\":\"v\"}", "\n", "\n",
                "\r\n", "\r", "\n\n", "\r\n\r\n", "é", " ",
            ]),
            0..40,
        ),
        cuts in prop::collection::vec(0usize..200, 0..12),
        bom: bool,
    ) {
        let text = format!("{}{}", if bom { "\u{feff}" } else { "" }, parts.concat());
        let text = text.as_bytes();
        // A carriage return at the very end may be half a line end: the oracle sees it as a whole one.
        let expect = oracle(text);
        let mut cuts = cuts.into_iter().map(|cut| cut.min(text.len())).collect::<Vec<_>>();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect::<Vec<_>>();
        prop_assert_eq!(decode(&pieces, 10_000), expect.clone());
        prop_assert_eq!(decode(&text.chunks(1).collect::<Vec<_>>(), 10_000), expect);
    }
}
