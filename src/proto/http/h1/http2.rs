//! From HTTP/1 to HTTP/2 in clear text on the same connection (RFC 7540, section 3.2).
//!
//! The one upgrade that is not left to the stream above: its first stream answers the request that asked for it, so that
//! request is handed over. A client sends it to its end before it goes on in HTTP/2; a server may not wait for that.

use super::transactions::Slot;
use super::upgrade::tunnel;
use super::{Http1, State};
use crate::model::chunk::Chunk;
use crate::model::message::{Field, Headers};
use crate::model::stamp::Stamp;
use crate::proto::http::h2::Http2;
use crate::stream::layer::{Layer, Step, Up};

/// Whether an answer switches to HTTP/2 in clear text.
pub(super) fn is_http2(headers: &Headers) -> bool {
    let upgrade = headers.get(Field::Upgrade).unwrap_or_default();
    upgrade.trim_ascii().eq_ignore_ascii_case(b"h2c")
}

impl Http1 {
    /// The wish was granted.
    pub(super) fn turn_to_http2(&mut self, at: Stamp, up: &mut Up<'_>) {
        let base = match self.requests.slot {
            Slot::Queued(number) => number,
            Slot::Orphan => 0,
        };
        self.http2 = Some(Box::new(Http2::upgraded(self.limits, base)));
        tunnel(&mut self.responses);
        if !matches!(self.requests.state, State::Body(_)) {
            self.hand_over();
            self.uncover(at, up);
        }
    }

    /// The request that asked for HTTP/2 is whole.
    pub(super) fn hand_over(&mut self) {
        let Some(http2) = &mut self.http2 else { return };
        if let Some((request, candidate)) = self.transactions.hand_over(self.requests.slot) {
            http2.adopt(request, candidate, self.rpc);
        }
        tunnel(&mut self.requests);
    }

    /// What comes behind an upgrade.
    pub(super) fn tunnel(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> bool {
        match &mut self.http2 {
            Some(http2) => http2.push(chunk, up) == Step::Continue,
            None => {
                up.stream(chunk);
                true
            }
        }
    }
}
