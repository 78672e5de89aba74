//! `assets.csv`: whose an address is, one line for each address or network.
//!
//! `address,owner,team,tag`: what comes last may be left out, and so may a head line that says just that. Empty lines and
//! lines that begin with `#` count nothing. Cells may stand in quotes (RFC 4180) on one line.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::model::asset::{Asset, Assets};
use crate::model::defect::Defect;

/// Reads a list of assets.
///
/// # Errors
/// The first line that is wrong, with its cure.
pub fn parse(file: &Path, text: &str) -> Result<Assets, Defect> {
    let mut assets = Assets::default();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let defect = |what: String, cure: &str| Defect {
            file: file.to_owned(),
            line: Some(number + 1),
            what,
            cure: cure.to_owned(),
        };
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(cells) = cells(line) else {
            let cure = "end the cell with a quote, and double those inside it";
            return Err(defect("a quote that is not closed".to_owned(), cure));
        };
        let mut cells = cells.into_iter().map(|cell| cell.trim().to_owned());
        let place = cells.next().unwrap_or_default();
        if number == 0 && place.eq_ignore_ascii_case("address") {
            continue;
        }
        let Some((network, prefix)) = network(&place) else {
            let cure = "write `address,owner,team,tag` with an address (10.20.4.77) or a network (10.20.0.0/16)";
            return Err(defect(format!("`{place}` is no address"), cure));
        };
        let mut cell = || cells.next().filter(|cell| !cell.is_empty());
        let asset = Asset {
            owner: cell(),
            team: cell(),
            tag: cell(),
        };
        if cells.next().is_some() {
            let cure = "leave it at address, owner, team, tag, or put a cell with commas in quotes";
            return Err(defect("more than four cells".to_owned(), cure));
        }
        if assets.add(network, prefix, asset).is_some() {
            return Err(defect(
                format!("`{place}` stands here twice"),
                "leave one of the two lines",
            ));
        }
    }
    Ok(assets)
}

fn network(place: &str) -> Option<(IpAddr, u8)> {
    if let Ok(addr) = place.parse::<IpAddr>() {
        return Some((addr, if addr.is_ipv4() { 32 } else { 128 }));
    }
    let network: IpNet = place.parse().ok()?;
    Some((network.network(), network.prefix_len()))
}

/// The cells of a line; `None` where a quote is not closed.
fn cells(line: &str) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            char => cell.push(char),
        }
    }
    cells.push(cell);
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read() {
        let text = "address,owner,team,tag\r\n# the lab\r\n10.20.0.0/16,\"Lovelace, Ada\",research\r\n\
                    10.20.4.77,Grace,,\"a \"\"big\"\" one\"\nfd88::/64,,net\n";
        let assets = parse(Path::new("assets.csv"), text).unwrap();
        let of = |addr: &str| {
            let asset = assets.of(addr.parse().unwrap()).cloned().unwrap_or_default();
            [asset.owner, asset.team, asset.tag].map(Option::unwrap_or_default)
        };
        assert_eq!(of("10.20.1.1"), ["Lovelace, Ada", "research", ""]);
        assert_eq!(of("10.20.4.77"), ["Grace", "", "a \"big\" one"]);
        assert_eq!(of("fd88::1"), ["", "net", ""]);
        assert_eq!(of("10.21.0.1"), ["", "", ""]);
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_cure() {
        for (text, expect) in [
            ("10.0.0.1,a\nnowhere,b", "a.csv:2: `nowhere` is no address; write "),
            ("10.0.0.0/33,a", "a.csv:1: `10.0.0.0/33` is no address; "),
            ("\n\n10.0.0.1,a,b,c,d", "a.csv:3: more than four cells; "),
            ("10.0.0.1,\"a", "a.csv:1: a quote that is not closed; "),
            (
                "10.0.0.1,a\n10.0.0.1/32,b",
                "a.csv:2: `10.0.0.1/32` stands here twice; ",
            ),
        ] {
            let told = parse(Path::new("a.csv"), text).unwrap_err().to_string();
            assert!(told.starts_with(expect), "{told}");
        }
    }
}
