//! `capture`: what was looked at, what was lost, what could not be read.

use std::net::IpAddr;

use serde::Serialize;

use crate::model::server::Capture;
use crate::model::stamp::Timestamp;
use crate::report::object::Text;

#[derive(Debug, Serialize)]
pub(crate) struct CaptureObject<'a> {
    sources: &'a [String],
    first: Option<Text<Timestamp>>,
    last: Option<Text<Timestamp>>,
    packets: u64,
    bytes: u64,
    flows: u64,
    lost: LostObject,
    blind: BlindObject,
}

#[derive(Debug, Serialize)]
struct LostObject {
    kernel_drops: u64,
    queue_drops: u64,
    truncated_packets: u64,
    undecodable_packets: u64,
    orphan_fragments: u64,
    evicted_fragments: u64,
    conflicting_fragments: u64,
    gap_bytes: u64,
    evicted_flows: u64,
    shed_events: u64,
    forgotten_names: u64,
}

#[derive(Debug, Serialize)]
struct BlindObject {
    encrypted_flows: u64,
    encrypted_bytes: u64,
    one_sided_flows: u64,
    ech_hellos: u64,
    encrypted_dns_flows: u64,
    encrypted_dns_clients: Vec<DnsClient>,
    decrypted_flows: u64,
    flows_without_secrets: u64,
    flows_with_wrong_secrets: u64,
    evicted_secrets: u64,
}

/// Who asked by encrypted DNS.
#[derive(Debug, Serialize)]
struct DnsClient {
    address: Text<IpAddr>,
    flows: u64,
}

impl DnsClient {
    const fn of((client, flows): (&IpAddr, &u64)) -> Self {
        Self {
            address: Text(*client),
            flows: *flows,
        }
    }
}

impl<'a> CaptureObject<'a> {
    pub(crate) fn of(capture: &'a Capture) -> Self {
        let counters = &capture.counters;
        let (lost, blind) = (&counters.lost, &counters.blind);
        Self {
            sources: &capture.sources,
            first: capture.seen.map(|(first, _)| Text(first)),
            last: capture.seen.map(|(_, last)| Text(last)),
            packets: counters.packets,
            bytes: counters.bytes,
            flows: counters.flows,
            lost: LostObject {
                kernel_drops: lost.kernel_drops,
                queue_drops: lost.queue_drops,
                truncated_packets: lost.truncated_packets,
                undecodable_packets: lost.undecodable_packets,
                orphan_fragments: lost.orphan_fragments,
                evicted_fragments: lost.evicted_fragments,
                conflicting_fragments: lost.conflicting_fragments,
                gap_bytes: lost.gap_bytes,
                evicted_flows: lost.evicted_flows,
                shed_events: lost.shed_events,
                forgotten_names: lost.forgotten_names,
            },
            blind: BlindObject {
                encrypted_flows: blind.encrypted_flows,
                encrypted_bytes: blind.encrypted_bytes,
                one_sided_flows: blind.one_sided_flows,
                ech_hellos: blind.ech_hellos,
                encrypted_dns_flows: blind.encrypted_dns_flows,
                encrypted_dns_clients: capture.encrypted_dns.iter().map(DnsClient::of).collect(),
                decrypted_flows: blind.decrypted_flows,
                flows_without_secrets: blind.flows_without_secrets,
                flows_with_wrong_secrets: blind.flows_with_wrong_secrets,
                evicted_secrets: blind.evicted_secrets,
            },
        }
    }
}
