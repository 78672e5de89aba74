//! One finding: what was seen, where to look it up, and what becomes of it.

use askama::Template;

use crate::model::finding::Kind;
use crate::report::html::advice;
use crate::report::html::difference::Difference;
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Cell, Facts, Head, Link, Section, Shown, Table, Words};
use crate::report::html::words::state;
use crate::store::record::Record;
use crate::store::sqlite::Decision;
use crate::store::{State, Value, Word, when};
use crate::web::access::Role;
use crate::web::api;
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;

/// Longest reason, in bytes.
const WHY_MAX_BYTES: usize = 4_000;

#[derive(Template)]
#[template(path = "decide.html", config = "src/report/html/askama.toml")]
struct Decide<'a> {
    csrf: Option<&'a str>,
    id: Shown,
}

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let findings = visit.all(Word::Findings)?;
    let finding = api::find(&findings, "id", visit.id).ok_or(Problem::NotFound("finding"))?;
    let mut sections = vec![Section::new("evidence", "What was seen", &facts(&finding))];
    if let Some(kind) = finding.text("kind").and_then(Kind::parse) {
        let (meaning, first) = advice::of(kind);
        let words = Words {
            class: "",
            lines: vec![Shown::new(meaning), Shown::new(first)],
        };
        sections.insert(0, Section::new("advice", "What it means, and what to do first", &words));
    }
    if let Some(detail) = finding.map("detail") {
        if let Some(Value::Text(text)) = detail.get("difference") {
            sections.push(Section::new(
                "difference",
                "What changed",
                &Difference::parse("What changed", text),
            ));
        }
        let rows: Vec<Vec<Cell>> = detail
            .iter()
            .filter(|(name, _)| *name != "difference")
            .map(|(name, value)| vec![Cell::text(Some(name)), Cell::value(value)])
            .collect();
        if !rows.is_empty() {
            let table = Table {
                id: "detail-table",
                caption: "What else is known of it".to_owned(),
                heads: vec![Head::of("Name", "lead"), Head::of("Value", "wide")],
                rows,
                empty: "",
            };
            sections.push(Section::new("detail", "Details", &table));
        }
    }
    let csrf = visit.who.csrf.as_deref().filter(|_| visit.who.role >= Role::Analyst);
    let decide = Decide {
        csrf,
        id: Shown::new(visit.id),
    };
    sections.push(Section::new("decide", "What becomes of it", &standing(&finding)).and(&decide));
    let kind = finding.text("kind").unwrap_or("");
    let page = Page {
        title: Shown::new(finding.text("title").unwrap_or(kind)),
        here: "/findings",
        up: Some(("/findings", "Findings")),
        lead: Some(Shown::new(&format!(
            "{}: {kind}",
            finding.text("severity").unwrap_or("")
        ))),
        exports: vec![(format!("/api/findings/{}", visit.id), "JSON")],
        sections,
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}

fn facts(finding: &Record<'_>) -> Facts {
    let doors = Doors::Pages;
    let text = |name| Cell::text(finding.text(name));
    let link = |href: Option<String>, name: &str| {
        finding
            .text(name)
            .map_or(Cell::Nothing, |text| Cell::Link(Link::new(href, text)))
    };
    let server = finding.text("server_id");
    let kind = finding.text("kind").unwrap_or("");
    let packet = match finding.value("packet_number") {
        Value::Int(number) => Cell::text(Some(&format!(
            "{number} of source {}, as Wireshark numbers them",
            finding.int("packet_source")
        ))),
        _ => Cell::Nothing,
    };
    let confidence = match finding.value("confidence") {
        Value::Real(confidence) => Cell::text(Some(&format!("{confidence:.2}"))),
        _ => Cell::Nothing,
    };
    let references = finding.list("references").iter().map(|text| Link::new(None, text));
    Facts {
        facts: vec![
            ("Severity", Cell::severity(finding.text("severity"))),
            (
                "Kind",
                Cell::Link(Link::new(doors.page(&format!("/findings?kind={kind}")), kind)),
            ),
            ("Rule", text("rule")),
            ("Confidence", confidence),
            (
                "Server",
                link(
                    doors.server(server).or_else(|| doors.endpoint(finding.text("server"))),
                    "server",
                ),
            ),
            ("Client", link(doors.client(finding.text("client")), "client")),
            ("Tool", text("tool")),
            ("Direction", text("direction")),
            ("Where", text("where")),
            ("Sample, redacted", text("sample")),
            ("Session", link(doors.session(finding.text("session")), "session")),
            ("Times", Cell::count(finding.count("count"))),
            ("First seen", Cell::time(finding.time("first_seen"))),
            ("Last seen", Cell::time(finding.time("last_seen"))),
            ("First packet", packet),
            ("Community ID", text("community_id")),
            ("References", Cell::links(references.collect())),
            ("Id", text("id")),
        ],
    }
}

/// What it is now, and why.
fn standing(finding: &Record<'_>) -> Facts {
    let mut facts = vec![("State", state(finding.text("state")))];
    if let Some(why) = finding.text("state_why") {
        facts.push(("Why", Cell::text(Some(why))));
    }
    if let Some(until) = finding.time("state_until") {
        facts.push(("Until", Cell::time(Some(until))));
    }
    Facts { facts }
}

/// Takes a decision from a form.
pub(crate) fn decide(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let state = match visit.form.get("verb") {
        Some("ack") => State::Acknowledged,
        Some("close") => State::Closed,
        Some("mute") => State::Muted,
        Some("reopen") => State::Open,
        _ => return Err(Problem::Bad("verb: must be one of ack, close, mute, reopen".to_owned())),
    };
    let why = visit.form.get("why").map(str::trim).unwrap_or_default();
    if why.is_empty() || why.len() > WHY_MAX_BYTES {
        return Err(Problem::Bad(format!(
            "why: say why in at most {WHY_MAX_BYTES} bytes; whoever reads this in a year has to know"
        )));
    }
    let until = visit.form.get("until").map(str::trim).filter(|text| !text.is_empty());
    let until = until.map(|text| when::moment(text, visit.now)).transpose();
    let until = until.map_err(|cure| Problem::Bad(format!("until: {cure}")))?;
    let findings = visit.all(Word::Findings)?;
    api::find(&findings, "id", visit.id).ok_or(Problem::NotFound("finding"))?;
    let decision = Decision {
        state,
        why: why.to_owned(),
        who: visit.who.name.clone(),
        at: visit.now,
        until,
    };
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    visit.note("decision", &format!("{} {}{until}: {why}", visit.id, state.word()))?;
    if !visit.site.desk.decide(visit.id, &decision)? {
        return Err(Problem::NotFound("finding"));
    }
    Ok(Reply::see(&format!("/findings/{}", visit.id)))
}
