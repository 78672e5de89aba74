//! Services that tell by DNS where they are (RFC 6763), and hosts that tell their addresses to everybody (RFC 6762).
//!
//! Of services only those whose type names MCP, such as `_mcp._tcp.local`: SRV says host and port, TXT the path. Hosts
//! tell their own addresses; a TTL of zero takes a record back and is passed over.

use domain::base::iana::Rtype;
use domain::base::name::ParsedName;
use domain::base::{Message, ParsedRecord};
use domain::rdata::{Srv, Txt};

use crate::model::dns::{Announced, Resolved};
use crate::model::observation::Fact;
use crate::model::stamp::Stamp;
use crate::proto::dns::answer::{address, records, seconds};
use crate::proto::dns::name::write_name;
use crate::stream::layer::Up;

/// Longest path of a TXT record that is taken, in bytes.
const PATH_MAX_BYTES: usize = 200;

/// Texts that are written anew for each record.
#[derive(Default)]
pub(super) struct Scratch {
    name: String,
    host: String,
    path: String,
}

impl Scratch {
    /// An answer without question: every host in it tells its own address.
    pub(super) fn tell_hosts(&mut self, message: &Message<[u8]>, at: Stamp, up: &mut Up<'_>) {
        for (record, _) in records(message) {
            let Some(addr) = address(&record).filter(|_| seconds(&record) > 0) else {
                continue;
            };
            write_name(&mut self.name, &record.owner());
            if !self.name.is_empty() {
                let resolved = Resolved {
                    name: &self.name,
                    addr: Some(addr),
                    ttl_secs: seconds(&record),
                    service: None,
                };
                up.fact(at, Fact::Resolved(resolved));
            }
        }
    }

    /// Every service in an answer that names MCP, and the addresses of its host where they stand beside it.
    pub(super) fn tell_services(&mut self, message: &Message<[u8]>, hosts: bool, at: Stamp, up: &mut Up<'_>) {
        for (record, _) in records(message) {
            let owner = record.owner();
            if record.rtype() != Rtype::SRV || seconds(&record) == 0 || !names_mcp(&owner) {
                continue;
            }
            let Ok(Some(srv)) = record.to_record::<Srv<ParsedName<&[u8]>>>() else {
                continue;
            };
            let host = srv.data().target();
            write_name(&mut self.name, &owner);
            write_name(&mut self.host, host);
            // A service at the root is one that is not offered (RFC 2782).
            if self.host.is_empty() {
                continue;
            }
            if hosts {
                self.tell_host(message, host, at, up);
            }
            self.path.clear();
            records(message).for_each(|(record, _)| write_path(&mut self.path, &record, &owner));
            let announced = Announced {
                name: &self.name,
                host: &self.host,
                port: srv.data().port(),
                path: Some(&*self.path).filter(|path| !path.is_empty()),
                ttl_secs: seconds(&record),
            };
            up.fact(at, Fact::Announced(announced));
        }
    }

    fn tell_host(&self, message: &Message<[u8]>, host: &ParsedName<&[u8]>, at: Stamp, up: &mut Up<'_>) {
        for (record, _) in records(message).filter(|(record, _)| record.owner() == *host) {
            if let Some(addr) = address(&record) {
                let resolved = Resolved {
                    name: &self.host,
                    addr: Some(addr),
                    ttl_secs: seconds(&record),
                    service: None,
                };
                up.fact(at, Fact::Resolved(resolved));
            }
        }
    }
}

/// Whether a service type among the labels names MCP: `_mcp`, `_mcp-http`, `_x-mcp`.
fn names_mcp(name: &ParsedName<&[u8]>) -> bool {
    name.iter().any(|label| {
        let words = label.as_slice().strip_prefix(b"_");
        words.is_some_and(|words| {
            words
                .split(|byte| *byte == b'-')
                .any(|word| word.eq_ignore_ascii_case(b"mcp"))
        })
    })
}

/// Writes `path=` of the TXT record of that service (RFC 6763, section 6), when it is an absolute path and fit to be
/// shown.
fn write_path(out: &mut String, record: &ParsedRecord<'_, [u8]>, service: &ParsedName<&[u8]>) {
    if record.rtype() != Rtype::TXT || record.owner() != *service || !out.is_empty() {
        return;
    }
    let Ok(Some(text)) = record.to_record::<Txt<&[u8]>>() else {
        return;
    };
    let value = text.data().iter().find_map(|pair| {
        let (key, value) = pair.split_at_checked(5)?;
        key.eq_ignore_ascii_case(b"path=").then_some(value)
    });
    let fit =
        |path: &&[u8]| path.len() <= PATH_MAX_BYTES && path.starts_with(b"/") && path.iter().all(u8::is_ascii_graphic);
    if let Some(path) = value.filter(fit).and_then(|path| std::str::from_utf8(path).ok()) {
        out.push_str(path);
    }
}
