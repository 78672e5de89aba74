//! What SIEMs are told, and how it reads: records become notices, a gate lets through what is news, formats write it.
//!
//! Everything here is pure but for one file, in which it is kept what was told (`gate/kept.rs`): no network, no clock of its own.
//! Sending is the business of the sinks beside this folder.

mod compose;
pub mod format;
pub mod gate;
mod memory;
pub mod notice;
pub mod parcel;
pub mod schema;
pub mod template;

use std::path::PathBuf;

use crate::model::event::Event;
use crate::sink::remote::{Part, Seal};
use crate::sink::siem::format::syslog::{self, Head};
use crate::sink::siem::format::{Format, json, line, render};
use crate::sink::siem::gate::Gate;
use crate::sink::siem::notice::{Notice, Sensor};
use crate::sink::siem::parcel::{Parcel, pack};
use crate::sink::siem::template::Template;

/// How an event is written for one sink.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// In a format, in at most about so many bytes.
    Plain(Format, usize),
    /// As a syslog message with a format as its text, in at most about so many bytes.
    Syslog(Head, Format, usize),
    /// As a document for a chat tool.
    Template(Template),
}

impl Shape {
    /// A notice as this sink writes it.
    pub fn write(&self, notice: &Notice, sensor: &Sensor) -> String {
        match self {
            Self::Plain(format, max_bytes) => render(notice, sensor, *format, *max_bytes),
            Self::Syslog(head, format, max_bytes) => syslog::message(notice, sensor, head, *format, *max_bytes),
            Self::Template(template) => line(&template.fill(&json::object(notice, sensor))),
        }
    }
}

/// The encoding half of a sink: what is news, written as the sink writes it.
#[derive(Debug)]
pub struct Forward {
    gate: Gate,
    sensor: Sensor,
    shape: Shape,
    /// Where it is kept what was told.
    kept: Option<PathBuf>,
}

impl Forward {
    /// Lets through what the gate does, and keeps over a restart what was told.
    pub fn new(mut gate: Gate, sensor: Sensor, shape: Shape, kept: Option<PathBuf>) -> Self {
        if let Some(file) = &kept {
            gate.recall(file);
        }
        Self {
            gate,
            sensor,
            shape,
            kept,
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some(file) = &self.kept {
            // Where it cannot be kept it is told once more: that is what the ids are for.
            let _ = self.gate.keep(file);
        }
    }
}

impl Seal for Forward {
    fn seal(&mut self, events: &[Event]) -> Option<Part> {
        let notices = self.gate.pass(events);
        let parcels: Vec<Parcel> = notices
            .iter()
            .map(|notice| Parcel {
                event_id: notice.event_id.clone(),
                what: notice.what,
                millis: notice.last.micros().div_euclid(1_000),
                body: self.shape.write(notice, &self.sensor),
            })
            .collect();
        (!parcels.is_empty()).then(|| Part {
            rows: parcels.len() as u64,
            bytes: pack(&parcels),
        })
    }
}
