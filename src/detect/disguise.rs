//! `protocol-violation`: a request that means one thing to a relay and another to the server, and was answered.
//!
//! Whether it was an attack or a bug: the server accepted what the specification wants refused, so rules of a relay can
//! be passed there. Only a request that was captured whole, on one connection with its answer, is judged.

use std::sync::Arc;

use crate::detect::panel::Ruleset;
use crate::detect::signature::Signatures;
use crate::detect::{Detector, FactMask, Findings, about};
use crate::model::finding::{Kind, Severity};
use crate::model::mcp::{Odd, RpcKind};
use crate::model::net::Direction;
use crate::model::observation::{Fact, Observation};

/// One way to be odd.
struct Oddity {
    bit: u8,
    rule: &'static str,
    what: &'static str,
    place: &'static str,
    references: &'static [&'static str],
}

const MIRROR: &[&str] = &["MCP 2026-07-28, Streamable HTTP, request headers"];

const ODDITIES: &[Oddity] = &[
    Oddity {
        bit: Odd::FOLDED,
        rule: "member-case",
        what: "with its members in a letter case that JSON-RPC does not have",
        place: "body",
        references: &["CVE-2026-27896"],
    },
    Oddity {
        bit: Odd::TWICE,
        rule: "member-twice",
        what: "with a member that stands there twice, with different values",
        place: "body",
        references: &["RFC 8259, section 4"],
    },
    Oddity {
        bit: Odd::METHOD,
        rule: "header-mismatch",
        what: "whose Mcp-Method names another method than its body",
        place: "Mcp-Method",
        references: MIRROR,
    },
    Oddity {
        bit: Odd::NAME,
        rule: "header-mismatch",
        what: "whose Mcp-Name names something else than its body",
        place: "Mcp-Name",
        references: MIRROR,
    },
    Oddity {
        bit: Odd::PARAM,
        rule: "header-mismatch",
        what: "with an Mcp-Param field whose value is in none of its arguments",
        place: "Mcp-Param",
        references: MIRROR,
    },
    Oddity {
        bit: Odd::REVISION,
        rule: "header-mismatch",
        what: "whose MCP-Protocol-Version names another revision than its body",
        place: "MCP-Protocol-Version",
        references: MIRROR,
    },
    Oddity {
        bit: Odd::REPEATED,
        rule: "header-mismatch",
        what: "with an Mcp field that stands there twice, with different values",
        place: "Mcp-*",
        references: MIRROR,
    },
];

/// See the module.
pub struct Disguise {
    signatures: Arc<Signatures>,
}

impl Disguise {
    /// For [`super::DETECTORS`].
    pub fn build(rules: &Ruleset) -> Box<dyn Detector> {
        Box::new(Self {
            signatures: Arc::clone(&rules.signatures),
        })
    }
}

impl Detector for Disguise {
    fn wants(&self) -> FactMask {
        FactMask::MCP
    }

    fn inspect(&self, seen: &Observation<'_>, out: &mut Findings) {
        let Fact::Mcp(mcp) = &seen.fact else { return };
        let answered = mcp.dir == Direction::ToClient && mcp.success;
        let Some(call) = mcp.call.filter(|call| answered && call.odd != Odd::default()) else {
            return;
        };
        if mcp.rpc.is_none_or(|rpc| rpc.kind != RpcKind::Success) {
            return;
        }
        let name = call.name.map(|name| about::called(name, &self.signatures));
        for oddity in ODDITIES.iter().filter(|oddity| call.odd.has(oddity.bit)) {
            let kind = (Kind::ProtocolViolation, oddity.rule);
            let mut finding = about::moment(kind, seen, mcp, &self.signatures, Severity::Low);
            finding.key.direction = Some(Direction::ToServer);
            finding.key.tool.clone_from(&name);
            finding.key.place = Some(oddity.place.to_owned());
            finding.title = format!(
                "MCP server {} answered a request {}",
                finding.detail.get("name").map_or("", String::as_str),
                oddity.what
            );
            finding.references = oddity.references.iter().map(|text| (*text).to_owned()).collect();
            out.findings.push(finding);
        }
    }
}
