//! What moved and what was lost: plain integers, one struct per shard, summed at the edge.

use crate::model::flow::{FlowInfo, Why};
use crate::model::packet::{LinkType, RawPacket};

/// Counters of one shard or source. The report's `capture`, the metrics and the exit code all read this struct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets read from the sources.
    pub packets: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Flows that were opened.
    pub flows: u64,
    /// Messages that were read as JSON-RPC.
    pub messages: u64,
    /// What could not be processed.
    pub lost: Lost,
    /// What could not be read.
    pub blind: Blind,
    /// Flows that were bypassed, by reason, indexed by [`Why::index`].
    pub bypassed: [u64; Why::ALL.len()],
}

/// Loss, by place. `damaged` ends a file; truncated packets, one-sided flows and gaps are told, and no reason for exit
/// code 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Dropped by the kernel or the capture ring.
    pub kernel_drops: u64,
    /// Captured and dropped because the worker of their flows was behind (live only).
    pub queue_drops: u64,
    /// Cut by the snap length.
    pub truncated_packets: u64,
    /// Neither decoded nor known to be of no interest.
    pub undecodable_packets: u64,
    /// Fragments whose datagram never became whole.
    pub orphan_fragments: u64,
    /// Fragments dropped because a bound was reached.
    pub evicted_fragments: u64,
    /// Fragments that contradict others of their datagram.
    pub conflicting_fragments: u64,
    /// Stream bytes that were sent and not captured.
    pub gap_bytes: u64,
    /// Flows dropped because a bound was reached.
    pub evicted_flows: u64,
    /// Observations, records and events dropped because a bound was reached.
    pub shed_events: u64,
    /// DNS answers, and encrypted flows without a name, that made room for younger ones: a name may be missing. Told,
    /// and no reason for exit code 4.
    pub forgotten_names: u64,
    /// Capture files that ended in damage.
    pub damaged_files: u64,
}

/// What a passive observer could not read: "none found" is a measured claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blind {
    /// Flows whose content could not be read for encryption, as a whole or from some point on.
    pub encrypted_flows: u64,
    /// Their payload bytes.
    pub encrypted_bytes: u64,
    /// TCP flows of which packets of only one direction were captured.
    pub one_sided_flows: u64,
    /// ClientHellos whose name is hidden by ECH.
    pub ech_hellos: u64,
    /// Flows of DNS over TLS, QUIC or HTTPS: names that were asked for where nobody could read them.
    pub encrypted_dns_flows: u64,
    /// Flows that key material opened.
    pub decrypted_flows: u64,
    /// Encrypted flows that the key material says nothing of; 0 without key material.
    pub flows_without_secrets: u64,
    /// Encrypted flows whose secrets in the key material do not fit.
    pub flows_with_wrong_secrets: u64,
    /// Connections whose secrets were forgotten because a bound was reached.
    pub evicted_secrets: u64,
}

/// What is held at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Flows in the tables.
    pub flows: u64,
    /// Bytes out of order that wait for a gap to close.
    pub reassembly_bytes: u64,
}

impl Load {
    /// Adds what is held elsewhere.
    pub const fn add(&mut self, other: Self) {
        self.flows += other.flows;
        self.reassembly_bytes += other.reassembly_bytes;
    }
}

/// How one interface is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceState {
    /// Name.
    pub name: String,
    /// It is captured on.
    pub up: bool,
    /// Packets that the kernel or the card dropped.
    pub kernel_drops: u64,
}

impl Counters {
    /// Counts one packet.
    pub fn count(&mut self, raw: &RawPacket<'_>) {
        if raw.link == LinkType::Datagram {
            return;
        }
        self.packets += 1;
        self.bytes += u64::from(raw.wire_len);
        self.lost.truncated_packets += u64::from(raw.data.len() < raw.wire_len as usize);
    }

    /// Counts a flow that is bypassed.
    pub fn bypass(&mut self, why: Why) {
        if let Some(count) = self.bypassed.get_mut(why.index()) {
            *count += 1;
        }
        self.blind.encrypted_flows += u64::from(why.is_encryption());
        self.blind.flows_without_secrets += u64::from(why == Why::NoSecrets);
        self.blind.flows_with_wrong_secrets += u64::from(why == Why::WrongSecrets);
    }

    /// Counts what a flow that was bypassed has carried, when it ends.
    pub fn hide(&mut self, why: Why, info: &FlowInfo) {
        if why.is_encryption() {
            self.blind.encrypted_bytes += info.bytes[0].saturating_add(info.bytes[1]);
        }
    }

    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.flows += other.flows;
        self.messages += other.messages;
        self.lost.add(&other.lost);
        self.blind.encrypted_flows += other.blind.encrypted_flows;
        self.blind.encrypted_bytes += other.blind.encrypted_bytes;
        self.blind.one_sided_flows += other.blind.one_sided_flows;
        self.blind.ech_hellos += other.blind.ech_hellos;
        self.blind.encrypted_dns_flows += other.blind.encrypted_dns_flows;
        self.blind.decrypted_flows += other.blind.decrypted_flows;
        self.blind.flows_without_secrets += other.blind.flows_without_secrets;
        self.blind.flows_with_wrong_secrets += other.blind.flows_with_wrong_secrets;
        self.blind.evicted_secrets += other.blind.evicted_secrets;
        for (sum, value) in self.bypassed.iter_mut().zip(other.bypassed) {
            *sum += value;
        }
    }
}

impl Lost {
    /// Adds another place's losses.
    pub fn add(&mut self, other: &Self) {
        self.kernel_drops += other.kernel_drops;
        self.queue_drops += other.queue_drops;
        self.truncated_packets += other.truncated_packets;
        self.undecodable_packets += other.undecodable_packets;
        self.orphan_fragments += other.orphan_fragments;
        self.evicted_fragments += other.evicted_fragments;
        self.conflicting_fragments += other.conflicting_fragments;
        self.gap_bytes += other.gap_bytes;
        self.evicted_flows += other.evicted_flows;
        self.shed_events += other.shed_events;
        self.forgotten_names += other.forgotten_names;
        self.damaged_files += other.damaged_files;
    }

    /// Whether data was lost in a way that exit code 4 tells.
    pub const fn matters(&self) -> bool {
        self.kernel_drops > 0
            || self.queue_drops > 0
            || self.evicted_fragments > 0
            || self.evicted_flows > 0
            || self.shed_events > 0
            || self.damaged_files > 0
    }
}
