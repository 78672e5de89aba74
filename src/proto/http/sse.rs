//! Event streams (WHATWG HTML, section 9.2.6), decoded incrementally over any split of the bytes.
//!
//! An event whose one `data` line lies wholly in one slice is borrowed from it; any other is put together in one
//! recycled buffer. `id` and `retry` are passed over: nothing here reconnects. Cost: one search per line.

use memchr::memchr2;

use super::body::{Said, Say};
use crate::model::message::Body;
use crate::model::stamp::Stamp;
use crate::stream::carry::release;

/// Longest name of an event, in bytes; a longer one is taken for the default name.
const NAME_MAX_BYTES: usize = 128;
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
const DEFAULT_NAME: &str = "message";

/// A decoder of one event stream.
#[derive(Debug)]
pub(super) struct Sse {
    max_bytes: usize,
    line: Line,
    /// A line whose field cannot be told yet; at most a name's length.
    field: Vec<u8>,
    /// Data of the event so far, apart from what is still borrowed.
    data: Vec<u8>,
    /// Data lines of the event so far.
    lines: u32,
    name: String,
    line_at: Stamp,
    event_at: Option<Stamp>,
    after_cr: bool,
    /// Bytes of the byte order mark that were met; 3 when it can come no more.
    bom: u8,
    /// Whether the event at hand is not worth finishing.
    lost: bool,
}

/// What is known of the line that the last slice ended in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// A value whose beginning is in `data` already.
    Data,
    /// Too short to tell; it is in `field`.
    Field,
    /// Nothing that is wanted.
    Ignored,
    /// It has not begun.
    Start,
}

/// A line's field.
enum Field<'a> {
    Comment,
    Data(&'a [u8]),
    Name(&'a [u8]),
    Other,
}

impl Sse {
    /// At the start of a stream. Events longer than `max_bytes` are cut.
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            line: Line::Start,
            field: Vec::new(),
            data: Vec::new(),
            lines: 0,
            name: String::new(),
            line_at: Stamp::default(),
            event_at: None,
            after_cr: false,
            bom: 0,
            lost: false,
        }
    }

    /// Back to the start of a stream; memory is kept.
    pub(super) fn reset(&mut self) {
        self.forget();
        self.field.clear();
        (self.line, self.after_cr, self.bom, self.lost) = (Line::Start, false, 0, false);
    }

    /// Whether no event has begun.
    pub(super) fn between_events(&self) -> bool {
        self.line == Line::Start && self.event_at.is_none() && !self.lost
    }

    /// Bytes of the event at hand that are kept.
    pub(super) fn held_bytes(&self) -> usize {
        self.data.len().saturating_add(self.field.len())
    }

    /// Reads on.
    pub(super) fn push<'b>(&mut self, at: Stamp, bytes: &'b [u8], say: &mut Say<'_>) {
        let mut rest = self.without_bom(bytes);
        let mut borrowed: Option<&'b [u8]> = None;
        loop {
            if self.after_cr && !rest.is_empty() {
                self.after_cr = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            if rest.is_empty() {
                break;
            }
            if self.line == Line::Start {
                self.line_at = at;
            }
            let Some((text, end, behind)) = memchr2(b'\r', b'\n', rest).and_then(|end| {
                let (text, tail) = rest.split_at(end);
                tail.split_first().map(|(end, behind)| (text, *end, behind))
            }) else {
                self.begin(rest, &mut borrowed, say);
                break;
            };
            self.after_cr = end == b'\r';
            rest = behind;
            self.end_line(text, &mut borrowed, say);
        }
        if let Some(value) = borrowed {
            self.append(value, say);
        }
    }

    /// Bytes are missing: the event at hand ends here, and whatever comes before the next empty line is lost.
    pub(super) fn gap(&mut self, say: &mut Say<'_>) {
        self.cut(say);
        self.forget();
        self.field.clear();
        (self.line, self.after_cr, self.bom, self.lost) = (Line::Ignored, false, 3, true);
    }

    /// The stream has ended: an unfinished event is discarded, unless it may be a cut message.
    pub(super) fn end(&mut self, say: &mut Say<'_>) {
        self.cut(say);
        self.reset();
    }

    fn cut(&self, say: &mut Say<'_>) {
        let json = matches!(self.data.trim_ascii_start().first(), Some(b'{' | b'['));
        if json && !self.lost {
            self.say(
                Body::Cut {
                    head: &self.data,
                    missing: 0,
                },
                say,
            );
        }
    }

    fn without_bom<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while let (Some(expect), Some((byte, behind))) = (BOM.get(usize::from(self.bom)), rest.split_first()) {
            if expect != byte {
                self.bom = 3;
                break;
            }
            self.bom = self.bom.saturating_add(1);
            rest = behind;
        }
        rest
    }

    /// The slice ends within a line.
    fn begin<'b>(&mut self, text: &'b [u8], borrowed: &mut Option<&'b [u8]>, say: &mut Say<'_>) {
        match self.line {
            Line::Data => self.append(text, say),
            Line::Ignored => {}
            Line::Field => {
                let mut field = std::mem::take(&mut self.field);
                field.extend_from_slice(text);
                self.line = self.classify(&field, borrowed, say);
                if self.line != Line::Field {
                    field.clear();
                }
                self.field = field;
            }
            Line::Start => {
                self.line = self.classify(text, borrowed, say);
                if self.line == Line::Field {
                    self.field.extend_from_slice(text);
                }
            }
        }
    }

    /// What an unfinished line is; the value of a data line goes into the event at once.
    fn classify(&mut self, text: &[u8], borrowed: &mut Option<&[u8]>, say: &mut Say<'_>) -> Line {
        if self.lost {
            return Line::Ignored;
        }
        if let Some(value @ [_, ..]) = text.strip_prefix(b"data:") {
            self.data_line(borrowed, say);
            self.append(without_space(value), say);
            return Line::Data;
        }
        let name = text.starts_with(b"event:") && text.len() <= NAME_MAX_BYTES;
        if name || b"data:".starts_with(text) || b"event:".starts_with(text) {
            return Line::Field;
        }
        if !text.starts_with(b":") {
            self.event_at.get_or_insert(self.line_at);
        }
        if text.starts_with(b"event:") {
            self.name.clear();
        }
        Line::Ignored
    }

    /// A line ends; `text` is its end, or all of it.
    fn end_line<'b>(&mut self, text: &'b [u8], borrowed: &mut Option<&'b [u8]>, say: &mut Say<'_>) {
        match std::mem::replace(&mut self.line, Line::Start) {
            Line::Data => self.append(text, say),
            Line::Ignored => {}
            Line::Start if text.is_empty() => self.dispatch(borrowed.take(), say),
            Line::Start if self.lost => {}
            Line::Start => match parse(text) {
                Field::Data(value) if self.lines == 0 => {
                    self.event_at.get_or_insert(self.line_at);
                    self.lines = 1;
                    *borrowed = Some(value);
                }
                field => self.take(field, borrowed, say),
            },
            Line::Field => {
                let mut field = std::mem::take(&mut self.field);
                field.extend_from_slice(text);
                self.take(parse(&field), borrowed, say);
                field.clear();
                self.field = field;
            }
        }
    }

    fn take(&mut self, field: Field<'_>, borrowed: &mut Option<&[u8]>, say: &mut Say<'_>) {
        match field {
            Field::Comment => return,
            Field::Data(value) => {
                self.data_line(borrowed, say);
                self.append(value, say);
            }
            Field::Name(name) => {
                self.name.clear();
                if name.len() <= NAME_MAX_BYTES.saturating_sub(b"event:".len()) {
                    self.name.push_str(&String::from_utf8_lossy(name));
                }
            }
            Field::Other => {}
        }
        if !self.lost {
            self.event_at.get_or_insert(self.line_at);
        }
    }

    /// A further data line begins: what was borrowed can no longer stand alone.
    fn data_line(&mut self, borrowed: &mut Option<&[u8]>, say: &mut Say<'_>) {
        if let Some(value) = borrowed.take() {
            self.append(value, say);
        }
        self.event_at.get_or_insert(self.line_at);
        if self.lines > 0 {
            self.append(b"\n", say);
        }
        self.lines = self.lines.saturating_add(1);
    }

    fn append(&mut self, value: &[u8], say: &mut Say<'_>) {
        if self.lost {
            return;
        }
        let room = self.max_bytes.saturating_sub(self.data.len());
        match value.get(..room) {
            Some(fits) if room < value.len() => {
                self.data.extend_from_slice(fits);
                self.say(
                    Body::Cut {
                        head: &self.data,
                        missing: 0,
                    },
                    say,
                );
                self.forget();
                self.lost = true;
            }
            _ => self.data.extend_from_slice(value),
        }
    }

    fn dispatch(&mut self, borrowed: Option<&[u8]>, say: &mut Say<'_>) {
        match borrowed {
            _ if self.lost => {}
            Some(value) if value.len() > self.max_bytes => {
                let head = value.get(..self.max_bytes).unwrap_or(value);
                self.say(Body::Cut { head, missing: 0 }, say);
            }
            Some([]) => {}
            Some(value) => self.say(Body::Whole(value), say),
            None if self.data.is_empty() => {}
            None => self.say(Body::Whole(&self.data), say),
        }
        self.lost = false;
        self.forget();
    }

    fn say(&self, body: Body<'_>, say: &mut Say<'_>) {
        let name = if self.name.is_empty() { DEFAULT_NAME } else { &self.name };
        say(Said {
            at: self.event_at.unwrap_or(self.line_at),
            event: Some(name),
            body,
        });
    }

    fn forget(&mut self) {
        release(&mut self.data);
        self.name.clear();
        self.lines = 0;
        self.event_at = None;
    }
}

fn parse(line: &[u8]) -> Field<'_> {
    let (name, value) = match memchr::memchr(b':', line) {
        Some(colon) => {
            let (name, value) = line.split_at(colon);
            (name, without_space(value.strip_prefix(b":").unwrap_or(value)))
        }
        None => (line, &[][..]),
    };
    match name {
        b"" => Field::Comment,
        b"data" => Field::Data(value),
        b"event" => Field::Name(value),
        _ => Field::Other,
    }
}

fn without_space(value: &[u8]) -> &[u8] {
    value.strip_prefix(b" ").unwrap_or(value)
}

#[cfg(test)]
mod tests;
