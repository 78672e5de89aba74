//! Every address, who may ask for it, and what answers.

use std::net::IpAddr;

use crate::model::stamp::Timestamp;
use crate::store::Word;
use crate::web::access::{Role, Who};
use crate::web::audit::Entry;
use crate::web::reply::{Problem, Reply};
use crate::web::select::Parameters;
use crate::web::way::Site;
use crate::web::{api, openapi, pages};

/// One request, as what answers it needs it.
#[derive(Debug)]
pub struct Visit<'a> {
    pub(crate) site: &'a Site,
    pub(crate) who: &'a Who,
    pub(crate) peer: IpAddr,
    pub(crate) path: &'a str,
    /// The part of the path that names one thing.
    pub(crate) id: &'a str,
    /// Of the address.
    pub(crate) query: &'a Parameters,
    /// Of a form.
    pub(crate) form: &'a Parameters,
    /// By the clock on the wall.
    pub(crate) now: Timestamp,
}

impl Visit<'_> {
    /// Writes down what is done.
    ///
    /// # Errors
    /// When that cannot be written: then it is not done.
    pub(crate) fn note(&self, action: &str, about: &str) -> Result<(), Problem> {
        let entry = Entry::new(self.now, &self.who.name, self.who.role.word(), self.peer, action, about);
        self.site.audit.note(&entry).map_err(Problem::Unaudited)
    }
}

/// What answers.
pub type Answer = fn(&Visit<'_>) -> Result<Reply, Problem>;

/// One address.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Path; `{id}` names one thing.
    pub path: &'static str,
    /// Who may.
    pub role: Role,
    /// What answers a GET.
    pub get: Answer,
    /// What answers a POST, and who may.
    pub post: Option<(Role, Answer)>,
    /// What it gives, where it is part of the API.
    pub api: Option<Given>,
}

/// What an address of the API gives.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    /// A document of its own.
    Document(&'static str),
    /// One thing of a word with all that belongs to it.
    One(Word),
    /// The rows of a word.
    Rows(Word),
}

const fn page(path: &'static str, get: Answer) -> Route {
    Route {
        path,
        role: Role::Viewer,
        get,
        post: None,
        api: None,
    }
}

const fn api(path: &'static str, get: Answer, given: Given) -> Route {
    Route {
        api: Some(given),
        ..page(path, get)
    }
}

/// Every address that asks who is asking.
pub static ROUTES: [Route; 31] = [
    page("/", pages::overview::show),
    page("/servers", |visit| pages::list::show(visit, Word::Servers)),
    page("/servers/{id}", pages::server::show),
    page("/clients", |visit| pages::list::show(visit, Word::Clients)),
    page("/clients/{id}", pages::client::show),
    page("/tools", |visit| pages::list::show(visit, Word::Tools)),
    page("/findings", |visit| pages::list::show(visit, Word::Findings)),
    Route {
        post: Some((Role::Analyst, pages::finding::decide)),
        ..page("/findings/{id}", pages::finding::show)
    },
    page("/drift", pages::drift::show),
    page("/graph", pages::graph::show),
    page("/lookups", |visit| pages::list::show(visit, Word::Lookups)),
    page("/sessions", |visit| pages::list::show(visit, Word::Sessions)),
    page("/sessions/{id}", pages::session::show),
    page("/timeline", |visit| pages::list::show(visit, Word::Timeline)),
    page("/sensors", pages::sensors::show),
    Route {
        role: Role::Admin,
        ..page("/audit", pages::audit::show)
    },
    api(
        "/api/captures",
        |visit| api::rows(visit, Word::Captures),
        Given::Rows(Word::Captures),
    ),
    api(
        "/api/clients",
        |visit| api::rows(visit, Word::Clients),
        Given::Rows(Word::Clients),
    ),
    api("/api/clients/{id}", api::client, Given::One(Word::Clients)),
    api(
        "/api/drift",
        |visit| api::rows(visit, Word::Drift),
        Given::Rows(Word::Drift),
    ),
    api(
        "/api/findings",
        |visit| api::rows(visit, Word::Findings),
        Given::Rows(Word::Findings),
    ),
    api("/api/findings/{id}", api::finding, Given::One(Word::Findings)),
    api(
        "/api/lookups",
        |visit| api::rows(visit, Word::Lookups),
        Given::Rows(Word::Lookups),
    ),
    api("/api/openapi.json", openapi::show, Given::Document("This document.")),
    api(
        "/api/report",
        api::report,
        Given::Document("The report object, as `replay --format json` prints it."),
    ),
    api(
        "/api/servers",
        |visit| api::rows(visit, Word::Servers),
        Given::Rows(Word::Servers),
    ),
    api("/api/servers/{id}", api::server, Given::One(Word::Servers)),
    api(
        "/api/sessions",
        |visit| api::rows(visit, Word::Sessions),
        Given::Rows(Word::Sessions),
    ),
    api(
        "/api/state",
        api::state,
        Given::Document("A stamp that changes when the store does; its ETag, too."),
    ),
    api(
        "/api/timeline",
        |visit| api::rows(visit, Word::Timeline),
        Given::Rows(Word::Timeline),
    ),
    api(
        "/api/tools",
        |visit| api::rows(visit, Word::Tools),
        Given::Rows(Word::Tools),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_takes_a_post_and_never_from_a_viewer() {
        let posts: Vec<_> = ROUTES
            .iter()
            .filter_map(|route| Some((route.path, route.post?.0)))
            .collect();
        assert_eq!(posts, [("/findings/{id}", Role::Analyst)]);
    }
}
