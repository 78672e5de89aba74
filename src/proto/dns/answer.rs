//! Where the name of a question leads, by the records of its answer.
//!
//! Aliases are followed to their end: CNAME (RFC 1035, section 3.6.2), DNAME (RFC 6672), the alias mode of service
//! bindings (RFC 9460, section 2.4.2), in whatever order the records stand. What stands in the answer without being led
//! to is nobody's. Addresses of service bindings and of their targets may stand in the additional section (RFC 9460,
//! section 4.1), others only in the answer: there nobody vouches for them. A truncated or cut answer gives the records
//! that are whole.
//!
//! The work is bounded: so many records, so many passes over them, nothing allocated.

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
/// Targets of service bindings of one answer.
const TARGETS_MAX: usize = 4;
/// Address hints of either family that are taken from one service binding.
const HINTS_MAX: usize = 16;

/// Somewhere that a name leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    pub(super) addr: Option<IpAddr>,
    pub(super) ttl_secs: u32,
    pub(super) service: Option<Service>,
}

type Record<'m> = ParsedRecord<'m, [u8]>;

/// Tells everything that the name of a question of class IN leads to.
pub(super) fn leads(message: &Message<[u8]>, asked: &ParsedName<&[u8]>, kind: Rtype, tell: &mut dyn FnMut(Lead)) {
    if !matches!(kind, Rtype::A | Rtype::AAAA | Rtype::ANY | Rtype::HTTPS | Rtype::SVCB) {
        return;
    }
    let (name, ttl_secs) = follow(message, asked);
    let mut bindings = Bindings::default();
    for (record, section) in records(message) {
        let owner = record.owner();
        let ttl_secs = ttl_secs.min(seconds(&record));
        if section == Section::Answer && name.is(&owner) {
            match record.rtype() {
                Rtype::A | Rtype::AAAA => tell_address(&record, ttl_secs, None, tell),
                Rtype::HTTPS | Rtype::SVCB => bindings.read(&record, ttl_secs, tell),
                _ => {}
            }
        } else if section == Section::Additional && bindings.lead_to(&name, &owner) {
            tell_address(&record, ttl_secs.min(bindings.ttl_secs), bindings.service, tell);
        }
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

/// TTL; a negative one counts as zero (RFC 2181, section 8).
pub(super) fn seconds(record: &Record<'_>) -> u32 {
    let ttl = record.ttl().as_secs();
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

/// Follows aliases from a name to the last one, and gives the least of their TTLs.
fn follow(message: &Message<[u8]>, asked: &ParsedName<&[u8]>) -> (Wire, u32) {
    let (mut name, mut ttl_secs) = (Wire::of(asked), u32::MAX);
    for _ in 0..PASSES_MAX {
        let (mut aliases, mut followed) = (0_usize, 0_usize);
        for (record, _) in records(message).take_while(|(_, section)| *section == Section::Answer) {
            let led = match record.rtype() {
                Rtype::CNAME => {
                    aliases = aliases.saturating_add(1);
                    name.is(&record.owner()) && set(&mut name, cname(&record))
                }
                Rtype::DNAME => {
                    aliases = aliases.saturating_add(1);
                    dname(&record).is_some_and(|target| name.redirect(&record.owner(), &target))
                }
                _ => false,
            };
            if led {
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

fn set(name: &mut Wire, target: Option<ParsedName<&[u8]>>) -> bool {
    target.is_some_and(|target| {
        *name = Wire::of(&target);
        true
    })
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
    Some(addr.to_canonical()).filter(|addr| leads_somewhere(*addr))
}

/// Filters answer with no address at all, and nobody connects to a group.
fn leads_somewhere(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast() && addr != IpAddr::V4(std::net::Ipv4Addr::BROADCAST)
}

fn tell_address(record: &Record<'_>, ttl_secs: u32, service: Option<Service>, tell: &mut dyn FnMut(Lead)) {
    if let Some(addr) = address(record) {
        tell(Lead {
            addr: Some(addr),
            ttl_secs,
            service,
        });
    }
}

/// The service bindings of an answer, as far as the additional section goes on with them.
struct Bindings {
    targets: [Option<Wire>; TARGETS_MAX],
    /// Of the first one in service mode.
    service: Option<Service>,
    /// Least of all.
    ttl_secs: u32,
    seen: bool,
}

impl Default for Bindings {
    fn default() -> Self {
        Self {
            targets: [None; TARGETS_MAX],
            service: None,
            ttl_secs: u32::MAX,
            seen: false,
        }
    }
}

impl Bindings {
    /// Reads one record: in service mode its hints are told, or the service without an address.
    fn read(&mut self, record: &Record<'_>, ttl_secs: u32, tell: &mut dyn FnMut(Lead)) {
        let known = match record.rtype() {
            Rtype::HTTPS => self.note::<HttpsVariant>(record, ttl_secs, tell),
            _ => self.note::<SvcbVariant>(record, ttl_secs, tell),
        };
        if known.is_some() {
            self.ttl_secs = self.ttl_secs.min(ttl_secs);
            self.seen = true;
        }
    }

    fn note<'m, Variant>(&mut self, record: &Record<'m>, ttl_secs: u32, tell: &mut dyn FnMut(Lead)) -> Option<()>
    where
        SvcbRdata<Variant, &'m [u8], ParsedName<&'m [u8]>>: domain::base::rdata::ParseRecordData<'m, [u8]>,
    {
        type Binding<'m, Variant> = SvcbRdata<Variant, &'m [u8], ParsedName<&'m [u8]>>;

        let record = record.to_record::<Binding<'m, Variant>>().ok()??;
        let binding = record.data();
        if !binding.target().is_root() {
            let free = self.targets.iter_mut().find(|target| target.is_none());
            if let Some(free) = free {
                *free = Some(Wire::of(binding.target()));
            }
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
                tell(Lead {
                    addr: Some(addr),
                    ttl_secs,
                    service: Some(service),
                });
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
            tell(Lead {
                addr: None,
                ttl_secs,
                service: Some(service),
            });
        }
        self.service.get_or_insert(service);
        Some(())
    }

    /// Whether an address record of this owner belongs to the service.
    fn lead_to(&self, name: &Wire, owner: &ParsedName<&[u8]>) -> bool {
        self.seen && (name.is(owner) || self.targets.iter().flatten().any(|target| target.is(owner)))
    }
}
