//! The frame of every page: menu, who is asking, heading, sections. And the pages that stand alone.

use askama::Template;

use crate::report::html::parts::{Section, Shown};
use crate::web::access::{Role, Who};
use crate::web::assets::{SCRIPT_ADDRESS, STYLE_ADDRESS};
use crate::web::reply::Reply;

/// The menu.
const MENU: [(&str, &str); 11] = [
    ("/", "Overview"),
    ("/servers", "Servers"),
    ("/clients", "Clients"),
    ("/tools", "Tools"),
    ("/findings", "Findings"),
    ("/drift", "Changes"),
    ("/graph", "Who uses what"),
    ("/lookups", "Lookups"),
    ("/sessions", "Sessions"),
    ("/timeline", "Time line"),
    ("/sensors", "Sensors"),
];

/// What a page shows.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Title.
    pub(crate) title: Shown,
    /// Entry of the menu that it belongs to.
    pub(crate) here: &'static str,
    /// Address and name of the list that it belongs to.
    pub(crate) up: Option<(&'static str, &'static str)>,
    /// The answer in one line.
    pub(crate) lead: Option<Shown>,
    /// Addresses and names of files.
    pub(crate) exports: Vec<(String, &'static str)>,
    /// HTML before the sections.
    pub(crate) before: String,
    /// Sections.
    pub(crate) sections: Vec<Section>,
}

#[derive(Template)]
#[template(path = "page.html", config = "src/report/html/askama.toml")]
struct Frame<'a> {
    style: &'a str,
    script: &'a str,
    menu: Vec<(&'static str, &'static str)>,
    here: &'a str,
    name: Shown,
    role: &'static str,
    csrf: Option<&'a str>,
    title: Shown,
    up: Option<(&'static str, &'static str)>,
    lead: Option<Shown>,
    exports: Vec<(String, &'static str)>,
    before: String,
    sections: Vec<Section>,
}

impl Page {
    /// In its frame, for who is asking.
    pub(crate) fn reply(self, who: &Who) -> Reply {
        let audit = (who.role == Role::Admin).then_some(("/audit", "Audit log"));
        let frame = Frame {
            style: &STYLE_ADDRESS,
            script: &SCRIPT_ADDRESS,
            menu: MENU.into_iter().chain(audit).collect(),
            here: self.here,
            name: Shown::new(&who.name),
            role: match (&who.csrf, who.role) {
                (None, Role::Viewer) => "This machine, read only",
                (_, role) => role.word(),
            },
            csrf: who.csrf.as_deref(),
            title: self.title,
            up: self.up,
            lead: self.lead,
            exports: self.exports,
            before: self.before,
            sections: self.sections,
        };
        // Our own template over our own parts: nothing in it can fail.
        Reply::html(frame.render().unwrap_or_default())
    }
}

/// A page without menu.
#[derive(Template)]
#[template(path = "lone.html", config = "src/report/html/askama.toml")]
pub(crate) struct Lone<'a> {
    style: &'a str,
    title: &'a str,
    said: Option<Shown>,
    sign_in: Option<&'a str>,
    again: Option<&'a str>,
}

impl<'a> Lone<'a> {
    /// What is wrong.
    pub(crate) fn problem(title: &'a str, said: &str) -> Reply {
        Self::of(title, Some(Shown::new(said)), None, None)
    }

    /// Asks for a token; leads to `next` then.
    pub(crate) fn sign_in(next: &'a str, said: Option<&str>) -> Reply {
        Self::of("Sign in", said.map(Shown::new), Some(next), None)
    }

    /// Loads an address once more, from here.
    pub(crate) fn again(address: &'a str) -> Reply {
        Self::of("Opening", None, None, Some(address))
    }

    fn of(title: &'a str, said: Option<Shown>, sign_in: Option<&'a str>, again: Option<&'a str>) -> Reply {
        let page = Self {
            style: &STYLE_ADDRESS,
            title,
            said,
            sign_in,
            again,
        };
        Reply::html(page.render().unwrap_or_default())
    }
}
