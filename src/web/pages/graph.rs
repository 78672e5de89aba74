//! Who uses what, as a picture and as a table.

use crate::report::html::doors::Doors;
use crate::report::html::graph::{Graph, table};
use crate::report::html::parts::{Section, Shown};
use crate::store::{Filter, Word};
use crate::web::page::Page;
use crate::web::reply::{Problem, Reply};
use crate::web::route::Visit;
use crate::web::select::Select;

pub(crate) fn show(visit: &Visit<'_>) -> Result<Reply, Problem> {
    let select = Select::parse(visit.query, visit.now)?;
    let filter = Filter {
        since: select.filter.since,
        until: select.filter.until,
        ..Filter::default()
    };
    let (servers, clients) = (visit.ask(Word::Servers, &filter)?, visit.ask(Word::Clients, &filter)?);
    let page = Page {
        title: Shown::new("Who uses what"),
        here: "/graph",
        sections: vec![
            Section::plain("picture", &Graph::new(&servers, &clients, Doors::Pages)),
            Section::new(
                "uses-section",
                "The same as a table",
                &table(&servers, &clients, Doors::Pages),
            ),
        ],
        ..Page::default()
    };
    Ok(page.reply(visit.who))
}
