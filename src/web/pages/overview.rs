//! The first page: how many servers, which are not approved, who uses them, what is wrong, what is new.

use askama::Template;

use crate::report::grid::{count, thousands};
use crate::report::html::digest::Digest;
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Section, Shown, sign};
use crate::report::html::words::Standing;
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;
use crate::web::select::Select;

/// A figure that leads to its list.
struct Tile {
    href: String,
    figure: String,
    what: &'static str,
    more: String,
}

#[derive(Template)]
#[template(
    source = r#"<ul class="tiles">{% for tile in tiles %}<li><a href="{{ tile.href }}"><b>{{ tile.figure }}</b><span class="what">{{ tile.what }}</span><span class="more">{{ tile.more }}</span></a></li>{% endfor %}</ul>"#,
    ext = "html"
)]
struct Tiles {
    tiles: Vec<Tile>,
}

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let filter = Select::parse(visit.query, visit.now)?.filter;
    let filter = crate::store::Filter {
        since: filter.since,
        until: filter.until,
        ..Default::default()
    };
    let digest = Digest::ask(|word| visit.ask(word, &filter))?;
    let doors = Doors::Pages;
    let unapproved = Section::new("unapproved-section", "Servers that nobody approved", &digest.share());
    let mut sections = vec![
        Section::plain("figures", &tiles(&digest)).class("bare"),
        unapproved.and(&digest.unapproved(doors)).class("half"),
        Section::new("worst-section", "Worst open findings", &digest.worst(doors)).class("half"),
        Section::new("news-section", "What is new", &digest.news(doors)).class("half"),
    ];
    sections.extend(over_time(&digest));
    sections.push(Section::new("kinds-section", "What is wrong", &digest.kinds(doors)));
    sections.push(Section::new(
        "sight-section",
        "What was seen, and what could not be",
        &digest.sight_words(),
    ));
    let page = Page {
        title: Shown::new("MCP servers on the network"),
        here: "/",
        lead: Some(Shown::new(&digest.sentence())),
        sections,
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}

/// Both charts in one place, beside what is new.
fn over_time(digest: &Digest) -> Option<Section> {
    let mut charts = [digest.servers_over_time(), digest.findings_over_time()]
        .into_iter()
        .flatten();
    let first = Section::new("time-section", "Over time", &charts.next()?).class("half");
    Some(charts.fold(first, |section, chart| section.and(&chart)))
}

fn tiles(digest: &Digest) -> Tiles {
    let standings = digest.standings();
    let of = |standing| standings.get(&standing).copied().unwrap_or(0);
    let (unapproved, approved) = (of(Standing::Unapproved), of(Standing::Approved));
    let severities = digest.severities();
    let open: u64 = severities.iter().map(|(_, count)| count).sum();
    let worst: Vec<String> = severities
        .iter()
        .take(3)
        .map(|(severity, count)| format!("{} {} {}", sign(*severity), thousands(*count), severity.word()))
        .collect();
    let sum = |name: &str| {
        let counts = digest.captures.records().map(|row| row.count(name));
        counts.fold(0, u64::saturating_add)
    };
    let dropped = sum("kernel_drops").saturating_add(sum("queue_drops"));
    let addresses: std::collections::BTreeSet<&str> =
        digest.clients.records().filter_map(|row| row.text("client")).collect();
    let tile = |href: &str, figure: u64, what, more: String| Tile {
        href: href.to_owned(),
        figure: thousands(figure),
        what,
        more,
    };
    let suspected = of(Standing::Suspected);
    Tiles {
        tiles: vec![
            tile(
                "/servers?approved=no&sort=worst&dir=desc",
                unapproved,
                "not approved",
                format!("of {}", count(unapproved + approved, "server", "servers")),
            ),
            tile(
                "/servers?approved=suspected",
                suspected,
                "suspected",
                "encrypted, inferred".to_owned(),
            ),
            tile(
                "/findings?state=open",
                open,
                "open findings",
                if worst.is_empty() {
                    "none".to_owned()
                } else {
                    worst.join(", ")
                },
            ),
            tile(
                "/clients",
                addresses.len() as u64,
                "clients",
                "who uses them".to_owned(),
            ),
            tile(
                "/drift",
                digest.drift.rows.len() as u64,
                "changed tools",
                "since first seen".to_owned(),
            ),
            tile(
                "/sensors",
                sum("packets"),
                "packets seen",
                format!("{} dropped", thousands(dropped)),
            ),
        ],
    }
}
