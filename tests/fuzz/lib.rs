//! What the fuzzers share: reading decisions out of fuzzed bytes, and a file in memory.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use libfuzzer_sys::arbitrary::Unstructured;
use shadowtap::detect::panel::Ruleset;
use shadowtap::detect::signature::Signatures;
use shadowtap::engine::settings::Settings;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::net::{Direction, Endpoint};
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::policy::Policy;

/// Longest piece that an operation takes, in bytes: about an MTU.
const PIECE_MAX_BYTES: u16 = 1_500;

/// Decisions out of fuzzed bytes; zeros when they run out.
pub struct Decisions<'a> {
    bytes: Unstructured<'a>,
    packet: u64,
}

impl<'a> Decisions<'a> {
    /// From the input of a fuzzer.
    pub fn new(data: &'a [u8]) -> Self {
        Self {
            bytes: Unstructured::new(data),
            packet: 0,
        }
    }

    /// Whether any are left.
    pub fn more(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.bytes.choose_index(end.max(1)).unwrap_or(0)
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// Any 32 bits.
    pub fn word(&mut self) -> u32 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// A piece of the input, at most about an MTU.
    pub fn piece(&mut self) -> &'a [u8] {
        let wanted = usize::from(self.bytes.arbitrary::<u16>().unwrap_or(0) % PIECE_MAX_BYTES);
        let len = wanted.min(self.bytes.len());
        self.bytes.bytes(len).unwrap_or_default()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let len = self.bytes.len();
        self.bytes.bytes(len).unwrap_or_default()
    }

    /// A direction.
    pub fn direction(&mut self) -> Direction {
        if self.byte() & 1 == 0 {
            Direction::ToServer
        } else {
            Direction::ToClient
        }
    }

    /// What the next packet carries, on a stream without lanes.
    pub fn chunk<'c>(&mut self, dir: Direction, data: Data<'c>) -> Chunk<'c> {
        Chunk {
            at: self.stamp(),
            dir,
            lane: 0,
            data,
        }
    }

    /// The stamp of the next packet.
    pub fn stamp(&mut self) -> Stamp {
        self.packet += 1;
        Stamp {
            time: Timestamp::from_parts(1_795_168_800, i64::try_from(self.packet).unwrap_or(0)),
            source: 0,
            packet: self.packet,
        }
    }
}

/// Client and server of everything that has no addresses of its own.
pub fn ends() -> (Endpoint, Endpoint) {
    let end = |host, port| Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), port);
    (end(9, 40_000), end(5, 8_000))
}

/// Small bounds, so that a short input reaches them, and no fence: a panic is what is looked for.
pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.env.message_max_bytes = 64 << 10;
    settings.env.head_max_bytes = 8 << 10;
    settings.env.inflate_max_bytes = 256 << 10;
    settings.fence = false;
    settings
}

/// Built-in signatures and the default policy.
pub fn ruleset() -> Ruleset {
    Ruleset {
        signatures: Arc::new(Signatures::builtin()),
        policy: Arc::new(Policy::default()),
        fingerprints: shadowtap::detect::fingerprint::Fingerprints::random(),
    }
}

/// A file that holds the input, in memory where the system has such a place.
pub fn file(data: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new()
        .suffix(".toml")
        .tempfile_in("/dev/shm")
        .or_else(|_| tempfile::NamedTempFile::new())
        .expect("a temporary file");
    file.write_all(data).expect("room for a temporary file");
    file
}
