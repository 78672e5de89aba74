//! A word as a list: filters, order, pages, files of what is shown.

use askama::Template;

use crate::model::finding::{Kind, Severity};
use crate::report::grid::thousands;
use crate::report::html::doors::Doors;
use crate::report::html::parts::{Section, Shown, Sort};
use crate::report::html::words::Layout;
use crate::store::record::Record;
use crate::store::schema::Schema;
use crate::store::{Rows, State, Word};
use crate::web::desk::ROWS_MAX;
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;
use crate::web::select::{PAGE_ROWS, Select};
use crate::web::{api, pages};

/// One filter as people set it.
struct Field {
    name: &'static str,
    label: &'static str,
    value: String,
    hint: &'static str,
    choices: Vec<(&'static str, &'static str)>,
}

#[derive(Template)]
#[template(path = "filters.html", config = "src/report/html/askama.toml")]
struct Filters<'a> {
    action: &'a str,
    hidden: Vec<(&'static str, &'a str)>,
    fields: Vec<Field>,
    narrowed: bool,
}

#[derive(Template)]
#[template(path = "pager.html", config = "src/report/html/askama.toml")]
struct Pager {
    said: String,
    before: Option<String>,
    after: Option<String>,
}

/// Title and address of a list.
const fn about(word: Word) -> (&'static str, &'static str) {
    match word {
        Word::Captures => ("Captures", "/sensors"),
        Word::Clients => ("Clients", "/clients"),
        Word::Drift => ("Changes", "/drift"),
        Word::Findings => ("Findings", "/findings"),
        Word::Lookups => ("Lookups", "/lookups"),
        Word::Messages => ("Messages", "/messages"),
        Word::Servers => ("Servers", "/servers"),
        Word::Sessions => ("Sessions", "/sessions"),
        Word::Timeline => ("Time line", "/timeline"),
        Word::Tools => ("Tools", "/tools"),
        Word::Usage => ("Usage", "/usage"),
    }
}

pub(crate) fn show(visit: &Visit<'_>, word: Word) -> Result<Reply, Problem> {
    let mut select = Select::parse(visit.query, visit.now)?;
    // Of what happened the latest comes first, whatever the order of the store.
    if select.order.is_none() {
        select.order = match word {
            Word::Servers => Some(("worst".to_owned(), true)),
            Word::Timeline => Some(("time".to_owned(), true)),
            Word::Sessions | Word::Lookups => Some(("last_seen".to_owned(), true)),
            _ => None,
        };
    }
    let rows = visit.ask(word, &select.filter)?;
    let chosen = select.choose(&rows);
    if select.format.is_some() {
        let owned = Rows {
            columns: rows.columns,
            rows: chosen.iter().map(|row| row.parts().1.to_vec()).collect(),
        };
        return api::write(visit, word, &owned, select.format);
    }
    let (title, here) = about(word);
    let (shown, first, last) = select.page(&chosen);
    let section = Section::plain("list", &sorted(visit, word, &select, &chosen, shown, first));
    let address = |page: usize| visit.query.address(here, &[("page", Some(&page.to_string()))]);
    let page = first / PAGE_ROWS + 1;
    let section = if last > 1 {
        section.and(&Pager {
            said: format!("Page {page} of {last}"),
            before: (page > 1).then(|| address(page - 1)),
            after: (page < last).then(|| address(page + 1)),
        })
    } else {
        section
    };
    let lead = match (rows.rows.len() as u64 >= ROWS_MAX, word) {
        (true, _) => Some(format!(
            "Only the first {} rows are looked at: ask for less time.",
            thousands(ROWS_MAX)
        )),
        (false, Word::Servers) => Some(standings(&chosen)),
        _ => None,
    };
    let export = |format| visit.query.address(here, &[("format", Some(format)), ("page", None)]);
    let page = Page {
        title: Shown::new(title),
        here,
        lead: lead.as_deref().map(Shown::new),
        exports: vec![(export("csv"), "CSV"), (export("json"), "JSON")],
        before: filters(visit, word, here).render().unwrap_or_default(),
        sections: vec![section],
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}

/// The table, with heads that sort.
fn sorted(
    visit: &Visit<'_>,
    word: Word,
    select: &Select,
    chosen: &[Record<'_>],
    shown: &[Record<'_>],
    first: usize,
) -> crate::report::html::parts::Table {
    let (_, here) = about(word);
    let caption = match (chosen.len(), shown.len()) {
        (0, _) => format!("No {}", word.name()),
        (all, few) if few < all => {
            let (from, to) = (thousands(first as u64 + 1), thousands((first + few) as u64));
            format!("{} {from} to {to} of {}", about(word).0, thousands(all as u64))
        }
        (all, _) => pages::how_many(all, word),
    };
    let layout = Layout::of(word);
    let mut table = layout.table(pages::table_id(word), caption, shown.iter().copied(), Doors::Pages, &[]);
    for (head, column) in table.heads.iter_mut().zip(layout.columns) {
        let Some(name) = column.sorted_by else { continue };
        let now = select
            .order
            .as_ref()
            .filter(|(sorted, _)| sorted == name)
            .map(|(_, down)| *down);
        // The first click shows what one looks for: the worst, the most, the latest.
        let down_first = matches!(column.class, "number" | "time") || matches!(name, "severity" | "worst");
        let way = match now {
            Some(true) => "asc",
            Some(false) => "desc",
            None if down_first => "desc",
            None => "asc",
        };
        head.sort = Some(Sort {
            href: visit
                .query
                .address(here, &[("sort", Some(name)), ("dir", Some(way)), ("page", None)]),
            way: now.map(|down| if down { "descending" } else { "ascending" }),
        });
    }
    table
}

fn standings(chosen: &[Record<'_>]) -> String {
    use crate::report::html::words::{Standing, standing};
    let of = |wanted| thousands(chosen.iter().filter(|row| standing(row) == wanted).count() as u64);
    format!(
        "{} not approved, {} suspected, {} approved.",
        of(Standing::Unapproved),
        of(Standing::Suspected),
        of(Standing::Approved)
    )
}

/// The filters that say something about a word.
fn filters<'a>(visit: &'a Visit<'_>, word: Word, here: &'a str) -> Filters<'a> {
    const ANY: (&str, &str) = ("", "any");
    let known = &Schema::of(word).filters;
    let value = |name: &str| visit.query.get(name).unwrap_or_default().to_owned();
    let field = |name, label, hint, choices: Vec<(&'static str, &'static str)>| Field {
        name,
        label,
        value: value(name),
        hint,
        choices,
    };
    let mut fields = vec![field("q", "Search", "name, address, …", Vec::new())];
    if word == Word::Servers {
        let choices = vec![
            ANY,
            ("no", "not approved"),
            ("suspected", "suspected"),
            ("yes", "approved"),
        ];
        fields.push(field("approved", "Approval", "", choices));
    }
    if known.severity.is_some() {
        let words = Severity::ALL.into_iter().rev().map(Severity::word);
        let choices = std::iter::once(ANY).chain(words.map(|word| (word, word))).collect();
        fields.push(field("severity", "Severity or worse", "", choices));
    }
    if known.kind.is_some() {
        let words = Kind::ALL.into_iter().map(|(_, word)| (word, word));
        fields.push(field("kind", "Kind", "", std::iter::once(ANY).chain(words).collect()));
    }
    if known.state.is_some() {
        let words = State::ALL.map(State::word).into_iter().map(|word| (word, word));
        fields.push(field("state", "State", "", std::iter::once(ANY).chain(words).collect()));
    }
    if !known.server.is_empty() && word != Word::Servers || !value("server").is_empty() {
        fields.push(field("server", "Server", "name, address", Vec::new()));
    }
    if !known.client.is_empty() && word != Word::Clients {
        fields.push(field("client", "Client", "address", Vec::new()));
    }
    let choices = vec![
        ("", "all time"),
        ("1h", "last hour"),
        ("24h", "last day"),
        ("7d", "last week"),
        ("30d", "last month"),
    ];
    fields.push(match value("since") {
        given if choices.iter().any(|(known, _)| *known == given) => field("since", "Seen", "", choices),
        _ => field("since", "Seen since", "2026-11-20 or 24h", Vec::new()),
    });
    let hidden = ["sort", "dir", "until", "unapproved"];
    Filters {
        action: here,
        narrowed: fields.iter().any(|field| !field.value.is_empty()),
        hidden: hidden
            .into_iter()
            .filter_map(|name| Some((name, visit.query.get(name)?)))
            .collect(),
        fields,
    }
}
