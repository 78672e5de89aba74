//! What an address asks for: the filters of the command line, and on pages also words, order and page.

use std::cmp::Ordering;

use crate::model::finding::{Kind, Severity};
use crate::model::stamp::Timestamp;
use crate::report::html::doors::escape;
use crate::report::html::words::{Standing, standing};
use crate::store::record::Record;
use crate::store::{Filter, Rows, State, Value, when};
use crate::web::reply::Problem;

/// Rows of one page.
pub const PAGE_ROWS: usize = 100;

/// Parameters of one request.
const PARAMETERS_MAX: usize = 32;

/// Spans before now are counted from a moment that moves in steps of so many seconds, so that the same address asks the
/// same question for a while.
const STEP_SECONDS: i64 = 30;

/// Filters of the command line, by name.
pub const FILTERS: [&str; 9] = [
    "since",
    "until",
    "severity",
    "kind",
    "server",
    "client",
    "unapproved",
    "state",
    "limit",
];

/// Parameters as they stand in an address, in its order.
#[derive(Clone, Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180.
    Csv,
    /// One object.
    Json,
    /// One object a line.
    Ndjson,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// What the store is asked.
    pub filter: Filter,
    /// Words that a row must hold.
    pub words: Vec<String>,
    /// Standing of servers.
    pub standing: Option<Standing>,
    /// Column, and whether the greatest stand first.
    pub order: Option<(String, bool)>,
    /// From 1.
    pub page: usize,
    /// Other than a page.
    pub format: Option<Format>,
}

impl Parameters {
    /// Of the query of an address, or of a form.
    pub fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text).take(PARAMETERS_MAX);
        Self(
            pairs
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        )
    }

    /// The first value of a name that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = self
            .0
            .iter()
            .filter(|(known, value)| known == name && !value.is_empty());
        found.next().map(|(_, value)| value.as_str())
    }

    /// The address of a path with these parameters, some of them changed or taken away.
    pub fn address(&self, path: &str, changes: &[(&str, Option<&str>)]) -> String {
        let kept = self
            .0
            .iter()
            .filter(|(name, value)| !value.is_empty() && !changes.iter().any(|(changed, _)| changed == name))
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let added = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let query: Vec<String> = kept
            .chain(added)
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
            .collect();
        if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", query.join("&"))
        }
    }

    /// The names that a request may not have.
    pub fn unknown<'p>(&'p self, known: &[&str]) -> Vec<&'p str> {
        let names = self.0.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !known.contains(name)).collect()
    }
}

impl Select {
    /// What parameters ask for.
    ///
    /// # Errors
    /// A value that cannot be, and what may be written.
    pub fn parse(parameters: &Parameters, now: Timestamp) -> Result<Self, Problem> {
        let step = STEP_SECONDS * 1_000_000_000;
        let now = Timestamp::from_nanos(now.nanos().div_euclid(step).saturating_add(1).saturating_mul(step));
        let moment = |name: &str| {
            let read = parameters.get(name).map(|text| when::moment(text, now));
            read.transpose().map_err(|cure| Problem::Bad(format!("{name}: {cure}")))
        };
        let number = |name: &str| {
            let read = parameters.get(name).map(str::parse::<u64>);
            read.transpose()
                .map_err(|_| Problem::Bad(format!("{name}: write a number")))
        };
        let descending = match parameters.get("dir") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(one_of("dir", &["asc", "desc"])),
        };
        Ok(Self {
            filter: Filter {
                since: moment("since")?,
                until: moment("until")?,
                severity: word(
                    parameters,
                    "severity",
                    Severity::parse,
                    &Severity::ALL.map(Severity::word),
                )?,
                kind: word(parameters, "kind", Kind::parse, &Kind::ALL.map(|(_, word)| word))?,
                server: parameters.get("server").map(str::to_owned),
                client: parameters.get("client").map(str::to_owned),
                unapproved: word(parameters, "unapproved", yes_or_no, &["true", "false"])?.unwrap_or(false),
                state: word(parameters, "state", State::parse, &State::ALL.map(State::word))?,
                limit: number("limit")?,
                ..Filter::default()
            },
            words: parameters
                .get("q")
                .unwrap_or_default()
                .split_whitespace()
                .take(8)
                .map(str::to_lowercase)
                .collect(),
            standing: word(
                parameters,
                "approved",
                |text| {
                    Standing::ALL
                        .into_iter()
                        .find(|(_, word)| *word == text)
                        .map(|(standing, _)| standing)
                },
                &Standing::ALL.map(|(_, word)| word),
            )?,
            order: parameters.get("sort").map(|column| (column.to_owned(), descending)),
            page: usize::try_from(number("page")?.unwrap_or(1))
                .unwrap_or(usize::MAX)
                .max(1),
            format: word(parameters, "format", Format::parse, &["csv", "json", "ndjson"])?,
        })
    }

    /// The rows that are asked for, in the order that is asked for.
    pub fn choose<'r>(&self, rows: &'r Rows) -> Vec<Record<'r>> {
        let holds = |row: &Record<'_>| {
            let standing = self.standing.is_none_or(|wanted| standing(row) == wanted);
            standing
                && self
                    .words
                    .iter()
                    .all(|word| row.cells().any(|(_, value)| says(value, word)))
        };
        let mut chosen: Vec<Record<'r>> = rows.records().filter(holds).collect();
        let sorted = self.order.as_ref().filter(|(column, _)| rows.place(column).is_some());
        if let Some((column, descending)) = sorted {
            chosen.sort_by(|a, b| {
                let order = compare(column, a.value(column), b.value(column));
                if *descending { order.reverse() } else { order }
            });
        }
        chosen
    }

    /// The rows of the page that is asked for, the place of the first among all, and the last page.
    pub fn page<'v, 'r>(&self, chosen: &'v [Record<'r>]) -> (&'v [Record<'r>], usize, usize) {
        let last = chosen.len().div_ceil(PAGE_ROWS).max(1);
        let first = (self.page.min(last) - 1) * PAGE_ROWS;
        let end = (first + PAGE_ROWS).min(chosen.len());
        (chosen.get(first..end).unwrap_or_default(), first, last)
    }
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn word<T>(
    parameters: &Parameters,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, Problem> {
    let Some(text) = parameters.get(name) else {
        return Ok(None);
    };
    parse(text).map(Some).ok_or_else(|| one_of(name, words))
}

fn one_of(name: &str, words: &[&str]) -> Problem {
    Problem::Bad(format!("{name}: must be one of {}", words.join(", ")))
}

/// Whether a cell holds a word, in lower case.
fn says(value: &Value, word: &str) -> bool {
    match value {
        Value::Text(text) => text.to_lowercase().contains(word),
        Value::List(list) => list.iter().any(|text| text.to_lowercase().contains(word)),
        Value::Map(map) => map
            .iter()
            .any(|(name, value)| name.to_lowercase().contains(word) || says(value, word)),
        _ => false,
    }
}

/// The order of two cells as people expect it: severities by weight, lists by length, names without case.
fn compare(column: &str, a: &Value, b: &Value) -> Ordering {
    let severity = |value: &Value| value.as_text().and_then(Severity::parse);
    match (a, b) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Text(_), Value::Text(_)) if matches!(column, "severity" | "worst") => severity(a).cmp(&severity(b)),
        (Value::Text(a), Value::Text(b)) => a.to_lowercase().cmp(&b.to_lowercase()),
        (Value::List(a), Value::List(b)) => a.len().cmp(&b.len()),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.total_cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_nanos(1_795_168_800_000_000_001);

    fn select(query: &str) -> Result<Select, String> {
        Select::parse(&Parameters::parse(query.as_bytes()), NOW).map_err(|problem| problem.told().1)
    }

    #[test]
    fn the_filters_of_the_command_line_are_understood() {
        let all = select(
            "since=24h&until=2026-11-21&severity=high&kind=tool-drift&server=a%20b&client=10.0.0.1&unapproved=true\
             &state=open&limit=5&q=Two+words&sort=worst&dir=desc&page=3&format=csv&approved=no",
        )
        .unwrap();
        assert_eq!(all.filter.since.unwrap().to_string(), "2026-11-19T10:00:30.000000Z");
        assert_eq!(all.filter.server.as_deref(), Some("a b"));
        assert_eq!((all.filter.unapproved, all.filter.limit, all.page), (true, Some(5), 3));
        assert_eq!(all.words, ["two", "words"]);
        assert_eq!(all.order, Some(("worst".to_owned(), true)));
        assert_eq!(
            (all.format, all.standing),
            (Some(Format::Csv), Some(Standing::Unapproved))
        );
        for (query, part) in [
            ("severity=bad", "severity: must be one of info, low"),
            ("since=tomorrow", "since: write a date"),
            ("limit=-1", "limit: write a number"),
            ("unapproved=maybe", "must be one of"),
            ("dir=up", "must be one of"),
        ] {
            let said = select(query).unwrap_err();
            assert!(said.contains(part), "{query}: {said}");
        }
        assert_eq!(select("severity=&since=").unwrap().filter, Filter::default());
    }

    #[test]
    fn addresses_keep_what_is_not_changed() {
        let parameters = Parameters::parse(b"q=a%26b&page=2&empty=&sort=x");
        assert_eq!(
            parameters.address("/servers", &[("page", Some("3")), ("sort", None)]),
            "/servers?q=a%26b&page=3"
        );
        assert_eq!(Parameters::default().address("/", &[]), "/");
        assert_eq!(parameters.unknown(&["q", "page", "sort"]), ["empty"]);
        let many = "a=1&".repeat(1_000);
        assert_eq!(Parameters::parse(many.as_bytes()).0.len(), PARAMETERS_MAX);
    }

    #[test]
    fn pages_end_where_rows_do() {
        let rows = Rows {
            columns: crate::store::schema::Schema::of(crate::store::Word::Clients).columns,
            rows: (0..250).map(|nth| vec![Value::Text(format!("{nth:03}"))]).collect(),
        };
        let all: Vec<Record<'_>> = rows.records().collect();
        for (page, first, length) in [(1, 0, 100), (3, 200, 50), (9, 200, 50), (usize::MAX, 200, 50)] {
            let select = Select {
                page,
                ..Select::default()
            };
            let (shown, from, last) = select.page(&all);
            assert_eq!((from, shown.len(), last), (first, length, 3), "{page}");
        }
        let (shown, from, last) = Select {
            page: 1,
            ..Select::default()
        }
        .page(&[])
        .to_owned();
        assert_eq!((shown.len(), from, last), (0, 0, 1));
    }
}
