//! Where the name of a question leads, by the records of its answer.
//!
//! Aliases are followed to their end: CNAME (RFC 1035, section 3.6.2), DNAME (RFC 6672), the alias mode of service
//! bindings (RFC 9460, section 2.4.2), in whatever order the records stand. What stands in the answer without being led
//! to is nobody's. Addresses of service bindings and of their targets may stand in the additional section (RFC 9460,
//! section 4.1), others only in the answer: there nobody vouches for them. A truncated or cut answer gives the records
//! that are whole.
//!
//! In the usual order, where each alias stands before what it leads to, one pass over the records is enough; where they
//! are written as resolvers write them, it compares no names at all (`usual.rs`). Otherwise they are gone through until no
//! alias leads on. The work is bounded: so many records, so many passes over them, so many leads. Allocates for service
//! bindings that name a target, and for nothing else.

mod usual;

use std::net::IpAddr;

use domain::base::iana::{Class, Rtype};
use domain::base::message::Section;
use domain::base::name::ParsedName;
use domain::base::{Message, ParsedRecord};
use domain::rdata::svcb::value::AllValues;
use domain::rdata::svcb::{HttpsVariant, SvcbRdata, SvcbVariant};
use domain::rdata::{A, Aaaa, Cname, Dname};

use crate::model::dns::{Alpns, Service};
use crate::proto::dns::name::Wire;

/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 64;
/// Passes over the records that aliases in no order may take.
const PASSES_MAX: usize = 4;
/// Addresses that are told of one answer.
pub(super) const LEADS_MAX: usize = 32;
/// Targets of service bindings of one answer.
const TARGETS_MAX: usize = 4;
/// Address hints of either family that are taken from one service binding.
const HINTS_MAX: usize = 16;

/// Somewhere that a name leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) addr: Option<IpAddr>,
    pub(super) ttl_secs: u32,
    pub(super) service: Option<Service>,
}

type Record<'m> = ParsedRecord<'m, [u8]>;

/// Writes down everything that the name of a question of class IN leads to.
pub(super) fn leads(message: &Message<[u8]>, asked: &ParsedName<&[u8]>, kind: Rtype, out: &mut Vec<Lead>) {
    out.clear();
    if !matches!(kind, Rtype::A | Rtype::AAAA | Rtype::ANY | Rtype::HTTPS | Rtype::SVCB) {
        return;
    }
    if !usual::leads(message, out) {
        general(message, asked, out);
    }
}

/// However the answer is written.
fn general(message: &Message<[u8]>, asked: &ParsedName<&[u8]>, out: &mut Vec<Lead>) {
    out.clear();
    if in_order(message, asked, out) {
        return;
    }
    out.clear();
    let (name, ttl_secs) = follow(message, asked);
    let mut bindings = Bindings::default();
    for (record, section) in records(message) {
        bindings.lead(&record, section, (&name, ttl_secs), out);
    }
}

/// The leads of an answer in which all aliases stand first and each leads on; `false` when it is none.
fn in_order(message: &Message<[u8]>, asked: &ParsedName<&[u8]>, out: &mut Vec<Lead>) -> bool {
    let (mut name, mut ttl_secs) = (Wire::of(asked), u32::MAX);
    let mut bindings = Bindings::default();
    let mut aliases = true;
    for (record, section) in records(message) {
        let kind = record.rtype();
        if section == Section::Answer && matches!(kind, Rtype::CNAME | Rtype::DNAME) {
            if !aliases || !step(&mut name, &record) {
                return false;
            }
            ttl_secs = ttl_secs.min(seconds(&record));
        } else if matches!(kind, Rtype::A | Rtype::AAAA | Rtype::HTTPS | Rtype::SVCB) {
            aliases = false;
            bindings.lead(&record, section, (&name, ttl_secs), out);
        }
    }
    true
}

fn note(lead: Lead, out: &mut Vec<Lead>) {
    if out.len() < LEADS_MAX {
        out.push(lead);
    }
}

/// The records of the answer and the additional section, in order, of class IN.
pub(super) fn records(message: &Message<[u8]>) -> impl Iterator<Item = (Record<'_>, Section)> {
    message
        .iter()
        .take(RECORDS_MAX)
        .map_while(Result::ok)
        .filter(|(record, section)| *section != Section::Authority && internet(record.class()))
}

/// Whether the class is IN, with or without the cache-flush bit of multicast answers (RFC 6762, section 10.2).
fn internet(class: Class) -> bool {
    class.to_int() & 0x7fff == Class::IN.to_int()
}

/// TTL of a record.
pub(super) fn seconds(record: &Record<'_>) -> u32 {
    believed(record.ttl().as_secs())
}

/// A negative TTL counts as zero (RFC 2181, section 8).
fn believed(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

/// Follows aliases from a name to the last one, and gives the least of their TTLs.
fn follow(message: &Message<[u8]>, asked: &ParsedName<&[u8]>) -> (Wire, u32) {
    let (mut name, mut ttl_secs) = (Wire::of(asked), u32::MAX);
    for _ in 0..PASSES_MAX {
        let (mut aliases, mut followed) = (0_usize, 0_usize);
        for (record, _) in records(message).take_while(|(_, section)| *section == Section::Answer) {
            if !matches!(record.rtype(), Rtype::CNAME | Rtype::DNAME) {
                continue;
            }
            aliases = aliases.saturating_add(1);
            if step(&mut name, &record) {
                followed = followed.saturating_add(1);
                ttl_secs = ttl_secs.min(seconds(&record));
            }
        }
        // In the usual order one pass follows them all; where one follows none, that was the end.
        if followed == 0 || followed == aliases {
            break;
        }
    }
    (name, ttl_secs)
}

/// Follows one alias, if the name is its own.
fn step(name: &mut Wire, record: &Record<'_>) -> bool {
    if record.rtype() == Rtype::DNAME {
        return dname(record).is_some_and(|target| name.redirect(&record.owner(), &target));
    }
    let target = cname(record).filter(|_| name.is(&record.owner()));
    if let Some(target) = &target {
        *name = Wire::of(target);
    }
    target.is_some()
}

fn cname<'m>(record: &Record<'m>) -> Option<ParsedName<&'m [u8]>> {
    let data = record.to_record::<Cname<ParsedName<&[u8]>>>().ok()??;
    Some(data.into_data().into_cname())
}

fn dname<'m>(record: &Record<'m>) -> Option<ParsedName<&'m [u8]>> {
    let data = record.to_record::<Dname<ParsedName<&[u8]>>>().ok()??;
    Some(data.into_data().into_dname())
}

/// The address of an address record. An IPv4 address in the disguise of the other family is what it is.
pub(super) fn address(record: &Record<'_>) -> Option<IpAddr> {
    let addr = match record.rtype() {
        Rtype::A => IpAddr::V4(record.to_record::<A>().ok()??.data().addr()),
        Rtype::AAAA => IpAddr::V6(record.to_record::<Aaaa>().ok()??.data().addr()),
        _ => return None,
    };
    useful(addr)
}

fn useful(addr: IpAddr) -> Option<IpAddr> {
    Some(addr.to_canonical()).filter(|addr| leads_somewhere(*addr))
}

/// Filters answer with no address at all, and nobody connects to a group.
fn leads_somewhere(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast() && addr != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

fn note_address(record: &Record<'_>, ttl_secs: u32, service: Option<Service>, out: &mut Vec<Lead>) {
    if let Some(addr) = address(record) {
        let lead = Lead {
            addr: Some(addr),
            ttl_secs,
            service,
        };
        note(lead, out);
    }
}

/// The service bindings of an answer, as far as the additional section goes on with them.
struct Bindings {
    targets: Vec<Wire>,
    /// Of the first one in service mode.
    service: Option<Service>,
    /// Least of all.
    ttl_secs: u32,
    seen: bool,
}

impl Default for Bindings {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            service: None,
            ttl_secs: u32::MAX,
            seen: false,
        }
    }
}

impl Bindings {
    /// Takes up one record, when the name leads to it.
    fn lead(&mut self, record: &Record<'_>, section: Section, end: (&Wire, u32), out: &mut Vec<Lead>) {
        let (name, ttl_secs) = (end.0, end.1.min(seconds(record)));
        let owner = record.owner();
        if section == Section::Answer && name.is(&owner) {
            match record.rtype() {
                Rtype::A | Rtype::AAAA => note_address(record, ttl_secs, None, out),
                Rtype::HTTPS | Rtype::SVCB => self.read(record, ttl_secs, out),
                _ => {}
            }
        } else if section == Section::Additional && self.lead_to(name, &owner) {
            note_address(record, ttl_secs.min(self.ttl_secs), self.service, out);
        }
    }

    /// Reads one record: in service mode its hints are told, or the service without an address.
    fn read(&mut self, record: &Record<'_>, ttl_secs: u32, out: &mut Vec<Lead>) {
        let known = match record.rtype() {
            Rtype::HTTPS => self.note::<HttpsVariant>(record, ttl_secs, out),
            _ => self.note::<SvcbVariant>(record, ttl_secs, out),
        };
        if known.is_some() {
            self.ttl_secs = self.ttl_secs.min(ttl_secs);
            self.seen = true;
        }
    }

    fn note<'m, Variant>(&mut self, record: &Record<'m>, ttl_secs: u32, out: &mut Vec<Lead>) -> Option<()>
    where
        SvcbRdata<Variant, &'m [u8], ParsedName<&'m [u8]>>: domain::base::rdata::ParseRecordData<'m, [u8]>,
    {
        type Binding<'m, Variant> = SvcbRdata<Variant, &'m [u8], ParsedName<&'m [u8]>>;

        let record = record.to_record::<Binding<'m, Variant>>().ok()??;
        let binding = record.data();
        if !binding.target().is_root() && self.targets.len() < TARGETS_MAX {
            self.targets.push(Wire::of(binding.target()));
        }
        // An alias has no parameters (RFC 9460, section 2.4.2).
        if binding.is_alias() {
            return Some(());
        }
        let mut service = Service::default();
        let values = || binding.params().iter::<AllValues<&[u8]>>().map_while(Result::ok);
        for value in values() {
            match value {
                AllValues::Alpn(names) => {
                    service.alpn = names.iter().fold(service.alpn, |all, name| all.or(Alpns::of(name)));
                }
                AllValues::Ech(_) => service.ech = true,
                AllValues::Port(port) => service.port = Some(port.port()),
                _ => {}
            }
        }
        let mut hinted = false;
        let mut hint = |addr: IpAddr| {
            hinted = true;
            if leads_somewhere(addr) {
                let lead = Lead {
                    addr: Some(addr),
                    ttl_secs,
                    service: Some(service),
                };
                note(lead, out);
            }
        };
        for value in values() {
            match value {
                AllValues::Ipv4Hint(hints) => hints.iter().take(HINTS_MAX).for_each(|addr| hint(addr.into())),
                AllValues::Ipv6Hint(hints) => {
                    let hints = hints.iter().take(HINTS_MAX);
                    hints.for_each(|addr| hint(IpAddr::from(addr).to_canonical()));
                }
                _ => {}
            }
        }
        if !hinted {
            let lead = Lead {
                addr: None,
                ttl_secs,
                service: Some(service),
            };
            note(lead, out);
        }
        self.service.get_or_insert(service);
        Some(())
    }

    /// Whether an address record of this owner belongs to the service.
    fn lead_to(&self, name: &Wire, owner: &ParsedName<&[u8]>) -> bool {
        self.seen && (name.is(owner) || self.targets.iter().any(|target| target.is(owner)))
    }
}
