//! A capture file, or a capture on standard input, as a [`Source`].
//!
//! Knows which format a file has, numbers its packets as Wireshark does, and tells damage: everything before it is
//! given, then one error. A file without a byte and a file without a packet are captures in which nothing happened.
//! Costs one `read()` per block and nothing per packet. Packets are given in the order of the file, which need not be
//! that of time.

use std::io;

use super::buffer::{Broken, Buffer};
use super::compressed::{self, OnDisk};
use super::filter::Filter;
use super::pcap::{HEADER_BYTES, Pcap};
use super::pcapng::Pcapng;
use super::record::Record;
use super::{KeyLog, Pull, Source, SourceError};
use crate::model::packet::RawPacket;
use crate::model::stamp::Stamp;

/// An open capture file.
pub(super) struct CaptureFile {
    name: String,
    index: u16,
    disk: OnDisk,
    filter: Option<Filter>,
    state: State,
    /// Numbered records so far.
    packets: u64,
}

enum State {
    Damaged(Broken),
    Ended,
    Reading(Buffer, Format),
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl CaptureFile {
    /// Opens a path, or `-` for standard input; waits for its first bytes.
    pub(super) fn open(name: &str, index: u16, filter: Option<Filter>) -> Result<Self, SourceError> {
        let (input, disk) = compressed::open(name).map_err(|error| unopened(name, &error))?;
        let mut buffer = Buffer::new(input);
        let state = match begin(&mut buffer) {
            Ok(Begin::Empty) => State::Ended,
            Ok(Begin::Reading(format)) => State::Reading(buffer, format),
            Ok(Begin::Cut) => State::Damaged(buffer.cut("the header of the capture")),
            Ok(Begin::Foreign) => return Err(foreign(name, buffer.ahead())),
            Err(broken) => {
                let cure = "check that the file is whole, or unpack it and give the result".to_owned();
                return Err(SourceError::Unreadable {
                    name: name.to_owned(),
                    what: broken.what,
                    cure,
                });
            }
        };
        Ok(Self {
            name: name.to_owned(),
            index,
            disk,
            filter,
            state,
            packets: 0,
        })
    }

    /// The next packet that the filter lets through, or the next secrets.
    #[inline]
    fn advance(&mut self) -> Result<Option<Record>, SourceError> {
        let State::Reading(buffer, format) = &mut self.state else {
            return self.finish();
        };
        loop {
            let record = match format {
                Format::Pcap(pcap) => pcap.next(buffer),
                Format::Pcapng(pcapng) => pcapng.next(buffer),
            };
            let frame = match record {
                Ok(Some(Record::Packet(frame))) => frame,
                Ok(Some(Record::Skipped)) => {
                    self.packets += 1;
                    continue;
                }
                Ok(secrets @ Some(Record::Secrets(_))) => return Ok(secrets),
                Ok(None) => return Ok(None),
                Err(broken) => {
                    self.state = State::Damaged(broken);
                    return self.finish();
                }
            };
            self.packets += 1;
            let keeps = match &mut self.filter {
                None => true,
                Some(filter) => filter.keeps(frame.link, buffer.at(frame.place.clone()))?,
            };
            if keeps {
                return Ok(Some(Record::Packet(frame)));
            }
        }
    }

    #[cold]
    fn finish(&mut self) -> Result<Option<Record>, SourceError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Damaged(Broken { offset, what }) => Err(SourceError::Damaged {
                name: self.name.clone(),
                packets: self.packets,
                offset,
                what,
            }),
            State::Ended | State::Reading(..) => Ok(None),
        }
    }
}

impl Source for CaptureFile {
    fn pull(&mut self) -> Pull<'_> {
        let record = match self.advance() {
            Ok(record) => record,
            Err(error) => {
                self.state = State::Ended;
                return Pull::Failed(error);
            }
        };
        if record.is_none() {
            self.state = State::Ended;
        }
        let State::Reading(buffer, _) = &self.state else {
            return Pull::End;
        };
        match record {
            Some(Record::Packet(frame)) => Pull::Packet(RawPacket {
                at: Stamp {
                    time: frame.time,
                    source: self.index,
                    packet: self.packets,
                },
                link: frame.link,
                data: buffer.at(frame.place),
                wire_len: frame.wire_len,
            }),
            Some(Record::Secrets(place)) => Pull::Secrets(KeyLog(buffer.at(place))),
            Some(Record::Skipped) | None => Pull::End,
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn progress(&self) -> Option<(u64, u64)> {
        self.disk.progress()
    }
}

/// How a file begins.
enum Begin {
    Cut,
    Empty,
    Foreign,
    Reading(Format),
}

fn begin(buffer: &mut Buffer) -> Result<Begin, Broken> {
    let whole = buffer.want(4)?;
    let Some(magic) = buffer.ahead().first_chunk::<4>().copied() else {
        return Ok(if whole || !buffer.ahead().is_empty() {
            Begin::Foreign
        } else {
            Begin::Empty
        });
    };
    if Pcapng::knows(magic) {
        return Ok(Begin::Reading(Format::Pcapng(Pcapng::new())));
    }
    if !Pcap::knows(magic) {
        return Ok(Begin::Foreign);
    }
    if !buffer.want(HEADER_BYTES)? {
        return Ok(Begin::Cut);
    }
    let format = buffer.ahead().first_chunk().and_then(Pcap::open);
    buffer.consume(HEADER_BYTES);
    Ok(format.map_or(Begin::Foreign, |pcap| Begin::Reading(Format::Pcap(pcap))))
}

#[cold]
fn unopened(name: &str, error: &io::Error) -> SourceError {
    let cure = match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "make the file readable for this user",
        io::ErrorKind::IsADirectory => "name the capture files in it",
        _ => "check that the file can be read",
    };
    SourceError::Unreadable {
        name: name.to_owned(),
        what: format!("cannot be opened: {error}"),
        cure: cure.to_owned(),
    }
}

/// What is often taken for a capture, by its first bytes, and what to do with it.
const FOREIGN: [(&[u8], &str, &str); 7] = [
    (&[0xfd, b'7', b'z', b'X'], "an xz file", "unpack it with `xz -d`"),
    (b"BZh", "a bzip2 file", "unpack it with `bzip2 -d`"),
    (&[0x04, 0x22, 0x4d, 0x18], "an lz4 file", "unpack it with `lz4 -d`"),
    (b"PK", "a zip archive", "unpack it and name the capture files in it"),
    (
        b"7z\xbc\xaf",
        "a 7z archive",
        "unpack it and name the capture files in it",
    ),
    (b"snoo", "a snoop capture", "convert it with `editcap -F pcapng`"),
    (
        b"GMBU",
        "a Network Monitor capture",
        "convert it with `editcap -F pcapng`",
    ),
];

#[cold]
fn foreign(name: &str, start: &[u8]) -> SourceError {
    let known = FOREIGN.iter().find(|(magic, ..)| start.starts_with(magic));
    let (what, cure) = match known {
        Some((_, what, cure)) => (format!("is {what}, no pcap or pcapng capture"), *cure),
        None => {
            let hex = start
                .iter()
                .take(4)
                .map(|byte| format!("{byte:02x}"))
                .collect::<Vec<_>>()
                .join(" ");
            let what = format!("is no pcap or pcapng capture (it starts with {hex})");
            (what, "give a pcap or pcapng file, plain or packed with gzip or zstd")
        }
    };
    SourceError::Unreadable {
        name: name.to_owned(),
        what,
        cure: cure.to_owned(),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
