//! BPF expressions (pcap-filter(7)): compiled by libpcap for each link type that turns up, run on packets of files; and
//! the filter that keeps a sensor from watching its own reports.
//!
//! On a file `len` is the captured length, which differs from libpcap's only for packets that the snap length cut.

use pcap::{BpfProgram, Capture, Linktype};

use super::SourceError;
use crate::model::net::Endpoint;
use crate::model::packet::LinkType;

/// Programs that are kept; a file with more link types than these compiles some of them again.
const MAX_PROGRAMS: usize = 16;

/// An expression and its programs so far.
pub(super) struct Filter {
    expression: String,
    programs: Vec<(LinkType, BpfProgram)>,
}

impl Filter {
    /// Checks the expression as one for Ethernet: whoever wants another link type asks for nothing more than Ethernet has.
    pub(super) fn new(expression: &str) -> Result<Self, SourceError> {
        let mut filter = Self {
            expression: expression.to_owned(),
            programs: Vec::new(),
        };
        let ethernet = filter.compile(LinkType::Ethernet)?;
        filter.programs.push((LinkType::Ethernet, ethernet));
        Ok(filter)
    }

    /// Whether the filter lets a packet through.
    #[inline]
    pub(super) fn keeps(&mut self, link: LinkType, data: &[u8]) -> Result<bool, SourceError> {
        if let Some((_, program)) = self.programs.iter().find(|(known, _)| *known == link) {
            return Ok(program.filter(data));
        }
        let program = self.compile(link)?;
        if self.programs.len() >= MAX_PROGRAMS {
            self.programs.clear();
        }
        let keeps = program.filter(data);
        self.programs.push((link, program));
        Ok(keeps)
    }

    #[cold]
    fn compile(&self, link: LinkType) -> Result<BpfProgram, SourceError> {
        let number = i32::try_from(number(link)).unwrap_or(i32::MAX);
        Capture::dead(Linktype(number))
            .and_then(|capture| capture.compile(&self.expression, true))
            .map_err(|error| bad_filter(&self.expression, &error))
    }
}

/// libpcap's number of raw IP, which is 101 in files.
const DLT_RAW: u32 = if cfg!(target_os = "openbsd") { 14 } else { 12 };

/// libpcap's number of a link type.
const fn number(link: LinkType) -> u32 {
    match link {
        LinkType::Ethernet => 1,
        LinkType::LinuxSll => 113,
        LinkType::LinuxSll2 => 276,
        LinkType::Loop => 108,
        LinkType::Null => 0,
        LinkType::Datagram | LinkType::RawIp => DLT_RAW,
        LinkType::Unsupported(number) => number,
    }
}

/// The error for an expression that libpcap refuses.
#[cold]
pub(super) fn bad_filter(expression: &str, error: &pcap::Error) -> SourceError {
    SourceError::Filter {
        expression: expression.to_owned(),
        what: match error {
            pcap::Error::PcapError(what) => what.clone(),
            other => other.to_string(),
        },
    }
}

/// The operator's filter, and not the traffic with these ends: a sensor that watches the link over which it reports
/// would otherwise report its reports. Empty when there is nothing to filter. Port 0 stands for all ports.
pub fn combine_filter(user: Option<&str>, exclude: &[Endpoint]) -> String {
    let user = user
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(|text| format!("({text})"));
    let others = exclude.iter().map(|end| match end.port {
        0 => format!("not host {}", end.addr),
        port => format!("not (host {} and port {port})", end.addr),
    });
    user.into_iter().chain(others).collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(addr: &str, port: u16) -> Endpoint {
        Endpoint::new(addr.parse().unwrap(), port)
    }

    #[test]
    fn combines() {
        assert_eq!(combine_filter(None, &[]), "");
        assert_eq!(combine_filter(Some("  "), &[]), "");
        assert_eq!(combine_filter(Some("tcp or udp"), &[]), "(tcp or udp)");
        assert_eq!(
            combine_filter(Some("tcp or udp"), &[end("10.0.0.9", 6514), end("fd88::9", 0)]),
            "(tcp or udp) and not (host 10.0.0.9 and port 6514) and not host fd88::9"
        );
        assert_eq!(
            combine_filter(None, &[end("10.0.0.9", 1)]),
            "not (host 10.0.0.9 and port 1)"
        );
    }

    /// What is combined compiles and means what it says.
    #[test]
    fn keeps_own_traffic_out() {
        let packet = |port: u16| {
            let mut bytes = Vec::new();
            let ip = etherparse::PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 9], 64);
            ip.udp(4711, port).write(&mut bytes, b"x").unwrap();
            bytes
        };
        let text = combine_filter(Some("tcp or udp"), &[end("10.0.0.9", 6514), end("fd88::9", 0)]);
        let mut filter = Filter::new(&text).unwrap();
        assert!(!filter.keeps(LinkType::Ethernet, &packet(6514)).unwrap());
        assert!(filter.keeps(LinkType::Ethernet, &packet(6515)).unwrap());
        assert!(filter.keeps(LinkType::RawIp, &packet(6515)[14..]).unwrap());
        assert!(!filter.keeps(LinkType::RawIp, &packet(6514)[14..]).unwrap());
    }

    #[test]
    fn refuses_with_the_reason() {
        let error = Filter::new("port of call").map(drop).unwrap_err().to_string();
        assert!(
            error.contains("port of call") && error.contains("pcap-filter"),
            "{error}"
        );
        let mut ethernet_only = Filter::new("ether host 01:01:01:01:01:01").unwrap();
        assert!(ethernet_only.keeps(LinkType::RawIp, &[0x45]).is_err());
    }
}
