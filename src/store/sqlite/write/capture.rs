//! What a run captured, and what it could not see: the columns of its own row.

use rusqlite::params;

use crate::model::server::Capture;
use crate::store::sqlite::write::{Rows, int, json};

impl Rows<'_> {
    pub(super) fn capture(&self, capture: &Capture) -> rusqlite::Result<()> {
        let counters = &capture.counters;
        let (lost, blind) = (&counters.lost, &counters.blind);
        self.run(
            "UPDATE runs_raw SET sources = ?2, first_seen = ?3, last_seen = ?4, packets = ?5, bytes = ?6, flows = ?7,
                kernel_drops = ?8, queue_drops = ?9, truncated_packets = ?10, undecodable_packets = ?11, gap_bytes = ?12,
                evicted_flows = ?13, shed_events = ?14, encrypted_flows = ?15, encrypted_bytes = ?16,
                one_sided_flows = ?17, ech_hellos = ?18
             WHERE run = ?1",
            params![
                self.run,
                json(&capture.sources),
                capture.seen.map(|(first, _)| first.nanos()),
                capture.seen.map(|(_, last)| last.nanos()),
                int(counters.packets),
                int(counters.bytes),
                int(counters.flows),
                int(lost.kernel_drops),
                int(lost.queue_drops),
                int(lost.truncated_packets),
                int(lost.undecodable_packets),
                int(lost.gap_bytes),
                int(lost.evicted_flows),
                int(lost.shed_events),
                int(blind.encrypted_flows),
                int(blind.encrypted_bytes),
                int(blind.one_sided_flows),
                int(blind.ech_hellos),
            ],
        )
    }
}
