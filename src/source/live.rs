//! One live interface through libpcap, also `any`.
//!
//! A quiet interface gives [`Pull::Idle`] at once, so that whoever pulls can look at other interfaces, keep time and be
//! stopped. The handle never blocks: on Linux a blocking one waits for the next packet for ever, whatever its time-out says.
//! What the kernel or the card had to drop is counted by them and asked for. Time stamps are nanoseconds where the
//! platform gives them. An interface that went is opened again when it is back.

mod fanout;

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pcap::{Active, Capture, Device, PacketHeader, Precision};

use self::fanout::Group;
use super::filter::{bad_filter, combine_filter};
use super::interfaces::is_network;
use super::{Pull, Source, SourceError};
use crate::model::net::Endpoint;
use crate::model::packet::{LinkType, RawPacket};
use crate::model::stamp::{Stamp, Timestamp};

/// All interfaces at once, on Linux.
const ANY: &str = "any";

/// How interfaces are captured.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// BPF expression (pcap-filter(7)): only what matches is captured.
    pub bpf: Option<String>,
    /// Capture ring in the kernel. Full at 10 Gbit/s in about 50 ms.
    pub buffer_bytes: u32,
    /// Whether to see frames for other machines; `any` never does.
    pub promiscuous: bool,
    /// How long the kernel gathers packets before it hands them over, at least 1.
    pub read_timeout_ms: u32,
    /// Bytes kept of a packet. A host that segments in its card captures packets far above the MTU.
    pub snap_len_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bpf: None,
            buffer_bytes: 64 * 1024 * 1024,
            promiscuous: true,
            read_timeout_ms: 100,
            snap_len_bytes: 262_144,
        }
    }
}

/// Oldest packet that handles may have in common, in nanoseconds before the last of them joined.
const STALE_NANOS: u64 = 10_000_000_000;

/// What is captured, and how.
#[derive(Clone, Debug)]
struct Plan {
    name: String,
    config: Config,
    /// BPF expression; empty for none.
    filter: String,
    team: Option<Team>,
}

/// The group of all handles of an interface. A lock, because one that is back must found the group anew where it went with
/// the interface, and exactly one may; it is taken when a handle opens.
#[expect(clippy::disallowed_types, reason = "not on the packet path")]
type Team = Arc<std::sync::Mutex<Group>>;

/// A live interface.
pub struct Live {
    /// `None` while the interface is gone: a handle that stays open would link itself in again, unread.
    capture: Option<Capture<Active>>,
    plan: Plan,
    index: u16,
    link: LinkType,
    packets: u64,
    drops: Drops,
    /// Packets before this moment came to other handles, too.
    from: Timestamp,
    /// To be closed.
    failed: bool,
    /// The card counts its drops once for all handles: the first one tells them.
    counts_card: bool,
}

impl Live {
    /// Starts to capture on an interface; traffic from or to `exclude` (the sensor's own sinks) is left out.
    ///
    /// # Errors
    /// When the interface cannot be captured on, or the filter is wrong.
    pub fn open(name: &str, index: u16, config: &Config, exclude: &[Endpoint]) -> Result<Self, SourceError> {
        let plan = Plan {
            name: name.to_owned(),
            config: config.clone(),
            filter: combine_filter(config.bpf.as_deref(), exclude),
            team: None,
        };
        let capture = plan.open()?;
        let link = LinkType::from_number(u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX));
        Ok(Self {
            capture: Some(capture),
            plan,
            index,
            link,
            packets: 0,
            drops: Drops::default(),
            from: Timestamp::MIN,
            failed: false,
            counts_card: true,
        })
    }

    /// So many handles, over which the kernel spreads whole flows; a single one where it cannot.
    ///
    /// # Errors
    /// As [`Live::open`].
    pub fn spread(
        name: &str,
        index: u16,
        config: &Config,
        exclude: &[Endpoint],
        count: usize,
    ) -> Result<Vec<Self>, SourceError> {
        let first = Self::open(name, index, config, exclude)?;
        let founded = first.capture.as_ref().filter(|_| count > 1);
        let group = founded.and_then(|capture| Group::found(capture.as_fd()).ok());
        let mut handles = vec![first];
        let Some(group) = group else { return Ok(handles) };
        while handles.len() < count {
            let next = Self::open(name, index, config, exclude).ok().filter(|next| {
                let joined = next.capture.as_ref().map(|capture| group.join(capture.as_fd()));
                joined.is_some_and(|joined| joined.is_ok())
            });
            let Some(next) = next else {
                // With one left in it the group gives that one everything.
                handles.truncate(1);
                return Ok(handles);
            };
            handles.push(Self {
                counts_card: false,
                ..next
            });
        }
        let (from, team) = (clock(), Team::new(group.into()));
        for handle in &mut handles {
            (handle.from, handle.plan.team) = (from, Some(Arc::clone(&team)));
        }
        Ok(handles)
    }
}

impl Plan {
    fn open(&self) -> Result<Capture<Active>, SourceError> {
        let Self { name, config, .. } = self;
        let bounded = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let inactive = Capture::from_device(name.as_str()).map_err(|error| unopened(name, &error))?;
        let mut inactive = inactive
            .buffer_size(bounded(config.buffer_bytes))
            // libpcap warns of promiscuous mode on all interfaces, and its binding takes a warning for an error.
            .promisc(config.promiscuous && name != ANY)
            .snaplen(bounded(config.snap_len_bytes))
            .timeout(bounded(config.read_timeout_ms).max(1));
        if NANOS {
            inactive = inactive.precision(Precision::Nano);
        }
        let opened = inactive.open().and_then(Capture::setnonblock);
        let mut capture = opened.map_err(|error| unopened(name, &error))?;
        if !self.filter.is_empty() {
            capture
                .filter(&self.filter, true)
                .map_err(|error| bad_filter(&self.filter, &error))?;
        }
        Ok(capture)
    }
}

/// The kernel stamps packets by this clock.
#[expect(
    clippy::disallowed_methods,
    reason = "which packets came before all handles were there"
)]
fn clock() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX))
}

/// libpcap cannot be asked what it granted; on Linux it always grants nanoseconds.
const NANOS: bool = cfg!(target_os = "linux");

impl Source for Live {
    fn pull(&mut self) -> Pull<'_> {
        if std::mem::take(&mut self.failed) {
            self.kernel_drops();
            self.capture = None;
        }
        let Some(capture) = &mut self.capture else {
            return Pull::Idle;
        };
        match capture.next_packet() {
            Ok(packet) => {
                self.packets += 1;
                let time = time(packet.header);
                // What is older by more was stamped by a clock that has been set back since.
                if time < self.from && self.from.since(time) < STALE_NANOS {
                    return Pull::Passed;
                }
                self.from = Timestamp::MIN;
                Pull::Packet(RawPacket {
                    at: Stamp {
                        time,
                        source: self.index,
                        // There is no file in which it could be looked up.
                        packet: 0,
                    },
                    link: self.link,
                    data: packet.data,
                    wire_len: packet.header.len.max(packet.header.caplen),
                })
            }
            Err(pcap::Error::TimeoutExpired) => Pull::Idle,
            Err(error) => {
                let error = words(&error);
                self.failed = true;
                Pull::Failed(SourceError::Unreadable {
                    name: self.plan.name.clone(),
                    what: format!("capture ended after {} packets: {}", self.packets, error),
                    cure: "it goes on when the interface is back and up".to_owned(),
                })
            }
        }
    }

    fn name(&self) -> &str {
        &self.plan.name
    }

    fn revive(&mut self) -> bool {
        let Ok(capture) = self.plan.open() else { return false };
        if let Some(team) = &self.plan.team {
            let mut group = team.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if group.join(capture.as_fd()).is_err() {
                match Group::found(capture.as_fd()) {
                    Ok(anew) => *group = anew,
                    Err(_) => return false,
                }
            }
        }
        self.drops.restart();
        self.link = LinkType::from_number(u32::try_from(capture.get_datalink().0).unwrap_or(u32::MAX));
        (self.capture, self.from) = (Some(capture), clock());
        true
    }

    fn kernel_drops(&mut self) -> u64 {
        if let Some(Ok(now)) = self.capture.as_mut().map(Capture::stats) {
            let card = if self.counts_card { now.if_dropped } else { 0 };
            self.drops.see([now.dropped, card]);
        }
        self.drops.total
    }
}

#[allow(
    clippy::useless_conversion,
    reason = "the width of both fields depends on the platform"
)]
fn time(header: &PacketHeader) -> Timestamp {
    let ticks = i64::from(header.ts.tv_usec);
    let nanos = if NANOS { ticks } else { ticks.saturating_mul(1_000) };
    Timestamp::from_parts(i64::from(header.ts.tv_sec), nanos)
}

/// Drop counters of the kernel and of the card: 32 bits each, and they wrap.
#[derive(Clone, Copy, Debug, Default)]
struct Drops {
    last: [u32; 2],
    total: u64,
}

impl Drops {
    /// The counters belong to a handle.
    const fn restart(&mut self) {
        self.last = [0; 2];
    }

    fn see(&mut self, now: [u32; 2]) {
        for (last, now) in self.last.iter_mut().zip(now) {
            self.total += u64::from(now.wrapping_sub(*last));
            *last = now;
        }
    }
}

#[cold]
fn unopened(name: &str, error: &pcap::Error) -> SourceError {
    let names = Device::list()
        .unwrap_or_default()
        .into_iter()
        .map(|device| device.name)
        .filter(|name| is_network(name))
        .collect::<Vec<_>>();
    let program = std::env::current_exe().map_or_else(|_| "shadowtap".to_owned(), |path| path.display().to_string());
    refusal(name, &words(error), &names, &program)
}

/// What libpcap's words mean, and what to do about it.
fn refusal(name: &str, words: &str, names: &[String], program: &str) -> SourceError {
    let says = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let (what, cure) = if !names.is_empty() && !names.iter().any(|known| known == name) {
        (
            "there is no such interface".to_owned(),
            format!("use one of {}", names.join(", ")),
        )
    } else if lacks_permission(words) {
        let what = "this user may not capture".to_owned();
        (
            what,
            format!(
                "run as root, or once: sudo setcap cap_net_raw,cap_net_admin=eip {}",
                quoted(program)
            ),
        )
    } else if says(&["is not up", "is down", "went down"]) {
        (
            "the interface is down".to_owned(),
            format!("bring it up: sudo ip link set {} up", quoted(name)),
        )
    } else {
        (
            format!("cannot capture: {words}"),
            "see `shadowtap interfaces` for what can be captured".to_owned(),
        )
    };
    SourceError::Unreadable {
        name: name.to_owned(),
        what,
        cure,
    }
}

/// Whether libpcap says that the user lacks a permission.
fn lacks_permission(words: &str) -> bool {
    ["ermission", "not permitted", "CAP_NET_RAW"]
        .iter()
        .any(|part| words.contains(part))
}

/// libpcap's own words, without those of its binding.
pub(super) fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(words) if words.is_empty() => "libpcap gave no reason".to_owned(),
        pcap::Error::PcapError(words) => words.clone(),
        other => other.to_string(),
    }
}

/// For a shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte);
    if word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_cure() {
        let names = ["eth0".to_owned(), "lo".to_owned()];
        for (name, words, expected) in [
            (
                "eth9",
                "anything",
                "eth9: there is no such interface; use one of eth0, lo",
            ),
            (
                "eth0",
                "socket: Operation not permitted",
                "eth0: this user may not capture; run as root, or once: sudo setcap cap_net_raw,cap_net_admin=eip '/o p/s'",
            ),
            (
                "lo",
                "That device is not up",
                "lo: the interface is down; bring it up: sudo ip link set lo up",
            ),
            (
                "lo",
                "odd",
                "lo: cannot capture: odd; see `shadowtap interfaces` for what can be captured",
            ),
        ] {
            assert_eq!(refusal(name, words, &names, "/o p/s").to_string(), expected);
        }
    }

    #[test]
    fn counters_wrap() {
        let mut drops = Drops::default();
        drops.see([u32::MAX - 1, 5]);
        drops.see([3, 7]);
        assert_eq!(drops.total, u64::from(u32::MAX - 1) + 5 + 5 + 2);
    }

    #[test]
    fn an_interface_that_is_not_there() {
        let error = Live::open("no-such-interface0", 0, &Config::default(), &[])
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("no-such-interface0: "), "{error}");
    }

    #[test]
    fn configuration_refuses_what_it_does_not_know() {
        let config = toml::from_str::<Config>("read_timeout_ms = 50").unwrap();
        assert_eq!(
            config,
            Config {
                read_timeout_ms: 50,
                ..Config::default()
            }
        );
        assert!(toml::from_str::<Config>("timeout = 50").is_err());
    }
}
