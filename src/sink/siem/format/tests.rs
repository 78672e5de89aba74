//! Hostile texts in, and the result read back by a parser that is written apart from the formats.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::finding::Kind;
use crate::model::net::{Endpoint, FiveTuple, Transport};
use crate::sink::siem::notice::What;
use crate::store::fixture::{self, nasty};

fn sensor(name: &str) -> Sensor {
    Sensor {
        name: name.into(),
        version: "1.2.3".into(),
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        nasty(),
        proptest::collection::vec(
            prop_oneof![Just('|'), Just('='), Just('\\'), Just(']'), Just('"'), any::<char>()],
            0..40
        )
        .prop_map(String::from_iter),
        proptest::collection::vec(any::<char>(), 200..600).prop_map(String::from_iter),
    ]
}

/// A notice in which every text is hostile.
fn notices() -> impl Strategy<Value = (Notice, Sensor)> {
    let texts = proptest::collection::vec(any_text(), 12);
    (texts, 0..What::ALL.len(), 0..Kind::ALL.len(), 0..Severity::ALL.len()).prop_map(|(texts, what, kind, severity)| {
        let [
            title,
            rule,
            host,
            name,
            version,
            approval,
            client,
            agent,
            tool,
            place,
            sensor_name,
            session,
        ] = &texts[..]
        else {
            unreachable!("twelve texts");
        };
        let (first, last) = (fixture::at(0, 1).time, fixture::at(9, 1).time);
        let mut notice = Notice::new(What::ALL[what].0, "f1".to_owned(), title.clone(), first, last);
        let end = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        let (from, to) = (end("10.0.0.9:50000"), end("[fd88::4]:443"));
        notice.event_id = "e1".to_owned();
        notice.kind = Some(Kind::ALL[kind].1);
        notice.severity = Severity::ALL[severity];
        notice.confidence = Some(0.5);
        notice.rule.clone_from(rule);
        notice.server = Some(Endpoint::new(to.ip(), to.port()));
        notice.server_id = Some(name.clone());
        notice.hostname = Some(host.clone());
        notice.server_name = Some(name.clone());
        notice.server_version = Some(version.clone());
        notice.approval = Some(approval.clone());
        notice.encryption = Some("tls");
        notice.client = Some(from.ip());
        notice.client_name = Some(client.clone());
        notice.user_agent = Some(agent.clone());
        notice.flow = Some(FiveTuple {
            transport: Transport::Tcp,
            client: Endpoint::new(from.ip(), from.port()),
            server: Endpoint::new(to.ip(), to.port()),
        });
        notice.session = Some(session.clone());
        notice.tool = Some(tool.clone());
        notice.fields.insert("where".to_owned(), Value::String(place.clone()));
        let detail = Map::from_iter([(place.clone(), Value::String(tool.clone()))]);
        notice.fields.insert("detail".to_owned(), Value::Object(detail));
        (notice, sensor(sensor_name))
    })
}

/// What a text is in a line format.
fn shown(text: &str) -> String {
    plain(text, VALUE_MAX_CHARS).into_owned()
}

/// Splits at a character that no backslash stands before, and takes the backslashes away.
fn split(text: &str, at: char, max: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let done = parts.len() == max;
        match char {
            '\\' if !done => parts.last_mut().unwrap().extend(chars.next()),
            char if char == at && !done => parts.push(String::new()),
            char => parts.last_mut().unwrap().push(char),
        }
    }
    parts
}

/// Key and value of a CEF extension: a key is the word before an equals sign that is not escaped.
fn extension(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut key: Option<String> = None;
    let mut current = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => current.extend(chars.next()),
            '=' => {
                let (value, next) = match current.rsplit_once(' ') {
                    Some((value, next)) => (value.to_owned(), next.to_owned()),
                    None => (String::new(), current.clone()),
                };
                if let Some(key) = key.replace(next) {
                    found.insert(key, value);
                }
                current.clear();
            }
            char => current.push(char),
        }
    }
    found.extend(key.map(|key| (key, current)));
    found
}

/// Head fields, structured data and text of an RFC 5424 message.
fn read_syslog(text: &str) -> (Vec<String>, BTreeMap<String, String>, String) {
    let (head, rest) = text.split_at(text.match_indices(' ').nth(5).unwrap().0);
    let head = head.split(' ').map(str::to_owned).collect();
    let rest = &rest[1..];
    if let Some(message) = rest.strip_prefix("- ") {
        return (head, BTreeMap::new(), message.to_owned());
    }
    let mut params = BTreeMap::new();
    let mut rest = rest.strip_prefix("[shadowtap@32473").unwrap();
    loop {
        if let Some(message) = rest.strip_prefix("] ") {
            return (head, params, message.to_owned());
        }
        let (key, value) = rest.strip_prefix(' ').unwrap().split_once("=\"").unwrap();
        let mut text = String::new();
        let mut chars = value.char_indices();
        loop {
            match chars.next().unwrap() {
                (_, '\\') => text.push(chars.next().unwrap().1),
                (end, '"') => {
                    rest = &value[end + 1..];
                    break;
                }
                (_, ']') => panic!("a bracket that is not escaped"),
                (_, char) => text.push(char),
            }
        }
        params.insert(key.to_owned(), text);
    }
}

fn all_texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| all_texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| all_texts(field, found)),
        _ => {}
    }
}

const BOM: char = '\u{feff}';

const HEAD: syslog::Head = syslog::Head {
    facility: 13,
    enterprise: 32_473,
};

proptest! {
    #[test]
    fn cef_reads_back((notice, sensor) in notices()) {
        let text = render(&notice, &sensor, Format::Cef, 8_192);
        prop_assert!(!text.chars().any(is_hostile));
        let parts = split(&text, '|', 8);
        prop_assert_eq!(&parts[0], "CEF:0");
        prop_assert_eq!(&parts[4], &shown(&notice.rule));
        prop_assert_eq!(&parts[5], &shown(&notice.title));
        let read = extension(&parts[7]);
        prop_assert_eq!(&read["c6a3"], "fd88::4");
        prop_assert_eq!(&read["spt"], "50000");
        for (key, text) in [("cs3", notice.tool.as_ref()), ("cs1", notice.server_name.as_ref())] {
            let want = text.map(|text| shown(text)).filter(|text| !text.is_empty());
            prop_assert_eq!(read.get(key), want.as_ref());
            prop_assert_eq!(read.contains_key(&format!("{key}Label")), want.is_some());
        }
    }

    #[test]
    fn leef_reads_back((notice, sensor) in notices()) {
        let text = render(&notice, &sensor, Format::Leef, 8_192);
        let parts: Vec<&str> = text.splitn(7, '|').collect();
        prop_assert_eq!((parts[0], parts[5]), ("LEEF:2.0", "x09"));
        let read: BTreeMap<&str, &str> =
            parts[6].split('\t').map(|pair| pair.split_once('=').unwrap()).collect();
        prop_assert!(!parts[6].split('\t').any(|pair| pair.chars().any(is_hostile)));
        let title = Some(shown(&notice.title)).filter(|title| !title.is_empty());
        prop_assert_eq!(read.get("title").copied(), title.as_deref());
        prop_assert_eq!(read["dst"], "fd88::4");
        prop_assert_eq!(read["devTime"], "2026-11-20T10:00:09.000Z");
    }

    #[test]
    fn structured_data_reads_back((notice, sensor) in notices()) {
        let text = syslog::message(&notice, &sensor, &HEAD, Format::Rfc5424, 8_192);
        let steers = text.chars().any(|char| is_hostile(char) && char != BOM);
        prop_assert!(!steers);
        let (head, params, message) = read_syslog(&text);
        prop_assert_eq!(head.len(), 6);
        prop_assert!(head.iter().all(|field| field.is_ascii() && !field.is_empty()));
        prop_assert_eq!(&params["tool"], &shown(notice.tool.as_ref().unwrap()));
        prop_assert_eq!(&params["where"], &shown(notice.text("where").unwrap()));
        prop_assert_eq!(message, format!("{BOM}{}", shown(&notice.title)));
    }

    #[test]
    fn json_reads_back((notice, sensor) in notices()) {
        for format in [Format::Ecs, Format::Json, Format::Ocsf] {
            let text = render(&notice, &sensor, format, 1 << 20);
            prop_assert!(!text.chars().any(is_hostile));
            let read: Value = serde_json::from_str(&text).unwrap();
            let mut texts = Vec::new();
            all_texts(&read, &mut texts);
            prop_assert!(texts.contains(notice.tool.as_ref().unwrap()), "{}", text);
            prop_assert!(texts.contains(&notice.title), "{}", text);
        }
    }

    /// A datagram has a bound: texts are cut, and what is left is whole.
    #[test]
    fn long_texts_are_cut_until_they_fit(text in proptest::collection::vec(any::<char>(), 0..4_000)) {
        let text = String::from_iter(text);
        let (first, last) = (fixture::at(0, 1).time, fixture::at(9, 1).time);
        let mut notice = Notice::new(What::Finding, "f1".to_owned(), text.clone(), first, last);
        notice.fields.insert("detail".to_owned(), Value::String(text));
        for format in [Format::Ecs, Format::Json, Format::Ocsf] {
            let message = syslog::message(&notice, &sensor("edge"), &HEAD, format, 4_096);
            prop_assert!(message.len() <= 4_096, "{}", message.len());
            let (_, _, body) = read_syslog(&message);
            prop_assert!(serde_json::from_str::<Value>(&body).is_ok());
        }
    }
}

#[test]
fn severities_are_those_of_each_format() {
    let (first, last) = (fixture::at(0, 1).time, fixture::at(9, 1).time);
    let mut notice = Notice::new(What::Finding, "f1".to_owned(), "t".to_owned(), first, last);
    let told = Severity::ALL.map(|severity| {
        notice.severity = severity;
        let syslog = syslog::message(&notice, &sensor("edge"), &HEAD, Format::Cef, 2_048);
        let cef = split(&syslog, '|', 8)[6].clone();
        let ecs = ecs::object(&notice, &sensor("edge"))["event"]["severity"].as_u64();
        let ocsf = ocsf::object(&notice, &sensor("edge"))["severity_id"].as_u64();
        (syslog[1..4].to_owned(), cef, ecs, ocsf)
    });
    let row = |level: &str, cef: &str, ecs, ocsf| (level.to_owned(), cef.to_owned(), Some(ecs), Some(ocsf));
    let expect = [
        row("110", "1", 10, 1),
        row("109", "3", 21, 2),
        row("108", "5", 47, 3),
        row("107", "8", 73, 4),
        row("106", "10", 99, 5),
    ];
    assert_eq!(told, expect);
}
