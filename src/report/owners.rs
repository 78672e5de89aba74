//! Whose the addresses of an answer are: columns beside those of clients and servers.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use crate::model::asset::{Asset, Assets};
use crate::report::document::Document;
use crate::report::{change, impact, story, weekly};
use crate::store::schema::{Column, Schema, Type};
use crate::store::{Rows, Value, Word};

/// Columns with an address of a client or a server, and what stands beside them.
const SIDES: [(&str, [Column; 3]); 2] = [
    (
        "client",
        [
            Column::new("client_owner", Type::Text, "who answers for the client"),
            Column::rare("client_team", Type::Text, "of which team"),
            Column::rare("client_tag", Type::Text, "what the client is"),
        ],
    ),
    (
        "server",
        [
            Column::new("server_owner", Type::Text, "who answers for the server's host"),
            Column::rare("server_team", Type::Text, "of which team"),
            Column::rare("server_tag", Type::Text, "what the server's host is"),
        ],
    ),
];

/// Every list of columns that an answer may have, and the same with owners.
static WIDENED: LazyLock<Vec<(&'static [Column], Vec<Column>)>> = LazyLock::new(|| {
    let words = Word::ALL.into_iter().map(|word| Schema::of(word).columns);
    let lists = [change::LISTS, impact::LISTS, story::LISTS, weekly::LISTS];
    let all = words.chain(lists.into_iter().flatten().copied());
    all.map(|columns| (columns, widen(columns))).collect()
});

fn widen(columns: &[Column]) -> Vec<Column> {
    let mut out = Vec::with_capacity(columns.len());
    for column in columns {
        out.push(*column);
        out.extend(beside(column.name).into_iter().flatten());
    }
    out
}

fn beside(name: &str) -> Option<[Column; 3]> {
    SIDES
        .iter()
        .find(|(side, _)| *side == name)
        .map(|(_, columns)| *columns)
}

/// An answer with the owners of its addresses, where there are any to know.
pub fn rows(answer: Rows, assets: &Assets) -> Rows {
    if assets.is_empty() {
        return answer;
    }
    let widened = WIDENED
        .iter()
        .find(|(columns, _)| std::ptr::eq(*columns, answer.columns));
    let Some((narrow, wide)) = widened else { return answer };
    let row = |row: Vec<Value>| {
        let mut out = Vec::with_capacity(wide.len());
        for (column, value) in narrow.iter().zip(row) {
            let owner = beside(column.name).map(|_| cells(&value, assets));
            out.push(value);
            out.extend(owner.into_iter().flatten());
        }
        out
    };
    Rows {
        columns: wide,
        rows: answer.rows.into_iter().map(row).collect(),
    }
}

/// A report with the owners of its addresses.
pub fn document(mut document: Document, assets: &Assets) -> Document {
    if assets.is_empty() {
        return document;
    }
    let mut facts = Vec::with_capacity(document.facts.len());
    for (name, value) in document.facts {
        let owner = beside(name).map(|columns| (columns, cells(&value, assets)));
        facts.push((name, value));
        if let Some((columns, cells)) = owner {
            facts.extend(columns.into_iter().map(|column| column.name).zip(cells));
        }
    }
    document.facts = facts;
    for section in &mut document.sections {
        let columns = section.rows.columns;
        let bare = std::mem::replace(
            &mut section.rows,
            Rows {
                columns,
                rows: Vec::new(),
            },
        );
        section.rows = rows(bare, assets);
    }
    document
}

/// Owner, team and tag of an address, or of an address with a port.
fn cells(value: &Value, assets: &Assets) -> [Value; 3] {
    let text = value.as_text().unwrap_or_default();
    let addr = text.parse::<IpAddr>().ok();
    let addr = addr.or_else(|| text.parse::<SocketAddr>().ok().map(|end| end.ip()));
    let asset = addr.and_then(|addr| assets.of(addr));
    let cell = |pick: fn(&Asset) -> &Option<String>| Value::text(asset.and_then(|asset| pick(asset).clone()));
    [
        cell(|asset| &asset.owner),
        cell(|asset| &asset.team),
        cell(|asset| &asset.tag),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::store::memory::Memory;
    use crate::store::{Question, Store as _, fixture};

    #[test]
    fn every_word_says_whose_its_addresses_are() {
        let view = fixture::view();
        let mut assets = Assets::default();
        let asset = |owner: &str| Asset {
            owner: Some(owner.to_owned()),
            ..Asset::default()
        };
        assets.add("10.0.0.0".parse().unwrap(), 8, asset("ten"));
        assets.add("10.0.0.9".parse().unwrap(), 32, asset("nine"));
        for word in Word::ALL {
            let bare = Memory::new(&view).ask(&Question::all(word)).unwrap();
            assert_eq!(rows(bare.clone(), &Assets::default()), bare);
            let answer = rows(bare.clone(), &assets);
            let at = |rows: &Rows, name: &str| rows.columns.iter().position(|column| column.name == name);
            assert_eq!(
                at(&answer, "client_owner").is_some(),
                at(&bare, "client").is_some(),
                "{word:?}"
            );
            assert_eq!(
                at(&answer, "server_owner").is_some(),
                at(&bare, "server").is_some(),
                "{word:?}"
            );
            for row in &answer.rows {
                assert_eq!(row.len(), answer.columns.len());
                if let (Some(client), Some(owner)) = (at(&answer, "client"), at(&answer, "client_owner")) {
                    let expect = row[client]
                        .as_text()
                        .map(|text| if text == "10.0.0.9" { Some("nine") } else { None });
                    assert_eq!(row[owner].as_text(), expect.flatten(), "{word:?}");
                }
            }
        }
    }
}
