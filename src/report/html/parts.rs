//! What pages are made of: tables, facts, text. Every text is [`Shown`]: through the door, then escaped by the template.

use std::fmt;

use askama::Template;

use crate::model::finding::Severity;
use crate::model::stamp::Timestamp;
use crate::report::display;
use crate::report::grid::thousands;
use crate::report::table::moment;
use crate::store::Value;

/// Characters of one text on a page.
const SHOWN_MAX_CHARS: usize = 600;

/// Digits of a hash that are shown where the whole one would be too wide.
const HASH_DIGITS: usize = 12;

/// Links of one cell; of more only the number is told.
const LINKS_MAX: usize = 6;

/// A text that may be shown on a page: what steers, reorders or hides is written out. Templates escape it for HTML.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown(String);

impl Shown {
    /// Through the door, on one line.
    pub fn new(text: &str) -> Self {
        Self(display::plain(text, SHOWN_MAX_CHARS).into_owned())
    }

    /// As [`Shown::new`], at most so many characters.
    pub fn short(text: &str, max_chars: usize) -> Self {
        Self(display::plain(text, max_chars).into_owned())
    }

    /// What is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that may lead somewhere.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where to; `None` shows the text alone.
    pub href: Option<String>,
    /// What is shown.
    pub text: Shown,
    /// A second line in small print.
    pub below: Option<Shown>,
}

impl Link {
    /// A text that leads somewhere, or nowhere.
    pub fn new(href: Option<String>, text: &str) -> Self {
        Self {
            href,
            text: Shown::new(text),
            below: None,
        }
    }

    /// With a second line, where there is one.
    pub fn below(self, text: Option<&str>) -> Self {
        Self {
            below: text.filter(|text| !text.is_empty()).map(Shown::new),
            ..self
        }
    }
}

/// A piece of a bar: place and width out of 100.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Class of its colour.
    pub class: &'static str,
    /// Left end.
    pub at: String,
    /// Width.
    pub width: String,
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Pieces of a bar.
    Bar(Vec<Piece>),
    /// A hash or an id, whole and short.
    Code(Shown, Shown),
    /// A text that may lead somewhere.
    Link(Link),
    /// Several, and how many were left off.
    Links(Vec<Link>, usize),
    /// A word with a sign: class, sign, word.
    Mark(&'static str, &'static str, &'static str),
    /// Not known, or nothing.
    Nothing,
    /// A figure.
    Number(String),
    /// A severity: word and sign.
    Severity(&'static str, &'static str),
    /// Text.
    Text(Shown),
    /// A moment: RFC 3339, and as people read it.
    Time(String, String),
}

impl Cell {
    /// Text, or nothing where there is none.
    pub fn text(text: Option<&str>) -> Self {
        text.filter(|text| !text.is_empty())
            .map_or(Self::Nothing, |text| Self::Text(Shown::new(text)))
    }

    /// A count.
    pub fn count(count: u64) -> Self {
        Self::Number(thousands(count))
    }

    /// A moment.
    pub fn time(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Nothing, |time| Self::Time(time.to_string(), moment(time)))
    }

    /// A hash, short in tables.
    pub fn hash(digits: Option<&str>) -> Self {
        digits.map_or(Self::Nothing, |digits| {
            Self::Code(Shown::new(digits), Shown(digits.chars().take(HASH_DIGITS).collect()))
        })
    }

    /// A severity by its word.
    pub fn severity(word: Option<&str>) -> Self {
        let known = word.and_then(Severity::parse);
        known.map_or(Self::Nothing, |severity| {
            Self::Severity(severity.word(), sign(severity))
        })
    }

    /// Links, the first few of them.
    pub fn links(mut links: Vec<Link>) -> Self {
        if links.is_empty() {
            return Self::Nothing;
        }
        let more = links.len().saturating_sub(LINKS_MAX);
        links.truncate(LINKS_MAX);
        Self::Links(links, more)
    }

    /// Any value of a store, as text.
    pub fn value(value: &Value) -> Self {
        match value {
            Value::Bool(true) => Self::Text(Shown::new("yes")),
            Value::Bool(false) => Self::Text(Shown::new("no")),
            Value::Int(number) => Self::Number(u64::try_from(*number).map_or_else(|_| number.to_string(), thousands)),
            Value::List(list) => Self::text(Some(&list.join(", "))),
            Value::Map(_) | Value::Null => Self::Nothing,
            Value::Real(number) => Self::Number(number.to_string()),
            Value::Text(text) => Self::text(Some(text)),
            Value::Time(time) => Self::time(Some(*time)),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The shape that stands for a severity beside its word, so that colour never speaks alone.
pub const fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "◆",
        Severity::High => "▲",
        Severity::Medium => "■",
        Severity::Low => "●",
        Severity::Info => "○",
    }
}

/// The head of a column.
#[derive(Clone, Debug)]
pub struct Head {
    /// What it is called.
    pub label: &'static str,
    /// `number` stands right; `lead` stands first on a narrow screen.
    pub class: &'static str,
    /// How rows are put in its order.
    pub sort: Option<Sort>,
}

impl Head {
    /// A column of texts.
    pub const fn new(label: &'static str) -> Self {
        Self::of(label, "")
    }

    /// A column of figures.
    pub const fn number(label: &'static str) -> Self {
        Self::of(label, "number")
    }

    /// A column of some class.
    pub const fn of(label: &'static str, class: &'static str) -> Self {
        Self {
            label,
            class,
            sort: None,
        }
    }
}

/// How rows are put in the order of a column.
#[derive(Clone, Debug)]
pub struct Sort {
    /// Address that does it.
    pub href: String,
    /// `ascending` or `descending`, where they are.
    pub way: Option<&'static str>,
}

/// A table.
#[derive(Clone, Debug, Template)]
#[template(path = "table.html", config = "src/report/html/askama.toml")]
pub struct Table {
    /// Of the element; unique on a page.
    pub id: &'static str,
    /// What it shows.
    pub caption: String,
    /// Columns.
    pub heads: Vec<Head>,
    /// Rows, each as long as `heads`.
    pub rows: Vec<Vec<Cell>>,
    /// What is said where there are no rows.
    pub empty: &'static str,
}

/// Names and what is known of them.
#[derive(Clone, Debug, Template)]
#[template(path = "facts.html", config = "src/report/html/askama.toml")]
pub struct Facts {
    /// In the order in which they are shown.
    pub facts: Vec<(&'static str, Cell)>,
}

/// One piece of a page, below a heading where it has one.
#[derive(Clone, Debug)]
pub struct Section {
    /// Heading; ours or shown.
    pub title: Option<Shown>,
    /// Of the element.
    pub id: &'static str,
    /// Class of the element: `half` stands beside another on a wide screen.
    pub class: &'static str,
    /// HTML that a template wrote.
    pub body: String,
}

impl Section {
    /// A part below a heading.
    pub fn new(id: &'static str, title: &str, part: &impl fmt::Display) -> Self {
        Self {
            title: Some(Shown::new(title)),
            id,
            class: "",
            body: part.to_string(),
        }
    }

    /// A part that speaks for itself.
    pub fn plain(id: &'static str, part: &impl fmt::Display) -> Self {
        Self {
            title: None,
            id,
            class: "",
            body: part.to_string(),
        }
    }

    /// Of another class.
    pub fn class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }

    /// With something more below.
    pub fn and(mut self, part: &impl fmt::Display) -> Self {
        self.body.push_str(&part.to_string());
        self
    }
}

/// Paragraphs of our own words.
#[derive(Clone, Debug, Template)]
#[template(
    source = "{% for line in lines %}<p class=\"{{ class }}\">{{ line }}</p>\n{% endfor %}",
    ext = "html"
)]
pub struct Words {
    /// Class of each.
    pub class: &'static str,
    /// What is said.
    pub lines: Vec<Shown>,
}

impl Words {
    /// One paragraph.
    pub fn new(text: &str) -> Self {
        Self::of("", text)
    }

    /// One paragraph of a class.
    pub fn of(class: &'static str, text: &str) -> Self {
        Self {
            class,
            lines: vec![Shown::new(text)],
        }
    }
}
