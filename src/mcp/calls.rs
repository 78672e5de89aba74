//! Requests that wait for their response, per HTTP exchange and connection, bounded.
//!
//! A response is matched to its request by exchange first: two sessions pipelined over one connection may use the same
//! ids at once. On a stream without exchanges everything is exchange 0.

use std::collections::VecDeque;

use crate::model::mcp::{Abilities, Auth, Odd, Revision};
use crate::model::net::Direction;
use crate::model::observation::Call;
use crate::model::stamp::Stamp;

/// Requests of one connection that wait for a response. The oldest goes first.
pub const CALLS_MAX: usize = 1024;

/// Bytes of ids, methods and names of all that waits on one connection. The oldest goes first.
pub const CALLS_MAX_BYTES: usize = 131_072;

/// Exchanges of one connection that are remembered: as many as requests may be pipelined, so that no refusal is missed.
pub const EXCHANGES_MAX: usize = 256;

/// Longest id, method or name that is kept, in bytes; a longer one is not matched.
pub const TOKEN_MAX_BYTES: usize = 256;

/// A request as it waits.
#[derive(Debug)]
pub struct Pending {
    exchange: u64,
    /// Which way the request went.
    dir: Direction,
    id: Box<str>,
    at: Stamp,
    method: Box<str>,
    name: Option<Box<str>>,
    scheme: Option<Box<str>>,
    auth: Auth,
    cursor: Option<u64>,
    revision: Option<Revision>,
    offered: Option<Revision>,
    able: Option<Abilities>,
    odd: Odd,
    /// The request proved its client to speak MCP.
    pub proven: bool,
}

impl Pending {
    fn weight(&self) -> usize {
        let name = self.name.as_ref().map_or(0, |name| name.len());
        self.id.len().saturating_add(self.method.len()).saturating_add(name)
    }

    /// As an observation shows it.
    pub fn call(&self) -> Call<'_> {
        Call {
            at: self.at,
            method: &self.method,
            name: self.name.as_deref(),
            scheme: self.scheme.as_deref(),
            auth: self.auth,
            cursor: self.cursor,
            revision: self.revision,
            offered: self.offered,
            able: self.able,
            odd: self.odd,
        }
    }
}

/// What is known of one HTTP exchange before its response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange {
    /// Number within the connection, which survives a loss of step.
    pub number: u64,
    /// JSON-RPC requests in the request body.
    pub requests: u32,
    /// The request proved its client to speak MCP.
    pub client: bool,
    /// The request echoed what only a server gives.
    pub echo: bool,
    /// The request head was shown already.
    pub asked: bool,
    /// The response head was shown already.
    pub told: bool,
}

/// All that waits on one connection.
#[derive(Debug, Default)]
pub struct Calls {
    pending: VecDeque<Pending>,
    /// Text of all that is pending.
    bytes: usize,
    exchanges: VecDeque<Exchange>,
    /// Stands in where an index could fail; it cannot, and this spares the reader a panic to reason about.
    spare: Exchange,
}

impl Calls {
    /// Remembers a request.
    pub fn ask(&mut self, exchange: u64, dir: Direction, id: &str, call: Call<'_>, proven: bool) {
        if id.len() > TOKEN_MAX_BYTES || call.method.len() > TOKEN_MAX_BYTES {
            return;
        }
        let pending = Pending {
            exchange,
            dir,
            id: id.into(),
            at: call.at,
            method: call.method.into(),
            name: call.name.filter(|name| name.len() <= TOKEN_MAX_BYTES).map(Into::into),
            scheme: call.scheme.map(Into::into),
            auth: call.auth,
            cursor: call.cursor,
            revision: call.revision,
            offered: call.offered,
            able: call.able,
            odd: call.odd,
            proven,
        };
        self.bytes = self.bytes.saturating_add(pending.weight());
        self.pending.push_back(pending);
        while self.pending.len() > CALLS_MAX || self.bytes > CALLS_MAX_BYTES {
            let oldest = self.pending.pop_front();
            self.bytes = self
                .bytes
                .saturating_sub(oldest.map_or(usize::MAX, |oldest| oldest.weight()));
        }
    }

    /// Takes the request that a response with this id answers. `dir` is the direction of the response; outside its own
    /// exchange a request is only found when the two travel opposite ways on a stream without exchanges.
    pub fn answer(&mut self, exchange: u64, dir: Direction, id: &str) -> Option<Pending> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.exchange == exchange && pending.dir != dir && &*pending.id == id)?;
        let found = self.pending.remove(at)?;
        self.bytes = self.bytes.saturating_sub(found.weight());
        Some(found)
    }

    /// Whether a message of that exchange was seen.
    pub fn knows(&self, number: u64) -> bool {
        self.exchanges.iter().rev().any(|exchange| exchange.number == number)
    }

    /// The record of an exchange, made when it is new.
    pub fn exchange(&mut self, number: u64) -> &mut Exchange {
        let at = self.exchanges.iter().rposition(|exchange| exchange.number == number);
        let at = at.unwrap_or_else(|| {
            if self.exchanges.len() >= EXCHANGES_MAX {
                self.exchanges.pop_front();
            }
            self.exchanges.push_back(Exchange {
                number,
                ..Exchange::default()
            });
            self.exchanges.len().saturating_sub(1)
        });
        self.exchanges.get_mut(at).unwrap_or(&mut self.spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_within_bounds() {
        let mut calls = Calls::default();
        let name = "n".repeat(200);
        for id in 0..2000 {
            let call = Call {
                at: Stamp::default(),
                method: "tools/call",
                name: Some(&name),
                scheme: None,
                auth: Auth::None,
                cursor: None,
                revision: None,
                offered: None,
                able: None,
                odd: Odd::default(),
            };
            calls.ask(0, Direction::ToServer, &id.to_string(), call, false);
            assert!(calls.bytes <= CALLS_MAX_BYTES && calls.pending.len() <= CALLS_MAX);
        }
        assert!(calls.answer(0, Direction::ToClient, "0").is_none());
        assert!(calls.answer(0, Direction::ToServer, "1999").is_none());
        assert!(calls.answer(0, Direction::ToClient, "1999").is_some());
        assert!(calls.answer(0, Direction::ToClient, "1999").is_none());
        while let Some(pending) = calls.pending.front() {
            let id = pending.id.clone();
            assert!(calls.answer(0, Direction::ToClient, &id).is_some());
        }
        assert_eq!(calls.bytes, 0);
    }
}
