//! Requests that wait for their response, per HTTP exchange and connection, bounded.
//!
//! A response is matched to its request by exchange first: two sessions pipelined over one connection may use the same
//! ids at once. On a stream without exchanges everything is exchange 0.

use std::collections::VecDeque;

use crate::model::mcp::{Auth, Revision};
use crate::model::net::Direction;
use crate::model::observation::Call;

/// Requests of one connection that wait for a response. The oldest goes first.
pub const CALLS_MAX: usize = 1024;

/// Exchanges of one connection that are remembered. A response is rarely far behind its request.
pub const EXCHANGES_MAX: usize = 64;

/// Longest id, method or name that is kept, in bytes; a longer one is not matched.
pub const TOKEN_MAX_BYTES: usize = 256;

/// A request as it waits.
#[derive(Debug)]
pub struct Pending {
    exchange: u64,
    /// Which way the request went.
    dir: Direction,
    id: Box<str>,
    method: Box<str>,
    name: Option<Box<str>>,
    auth: Auth,
    cursor: Option<u64>,
    revision: Option<Revision>,
    /// The request proved its client to speak MCP.
    pub proven: bool,
}

impl Pending {
    /// As an observation shows it.
    pub fn call(&self) -> Call<'_> {
        Call {
            method: &self.method,
            name: self.name.as_deref(),
            auth: self.auth,
            cursor: self.cursor,
            revision: self.revision,
        }
    }
}

/// What is known of one HTTP exchange before its response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange {
    /// [`crate::model::message::Transaction::number`].
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
        if self.pending.len() >= CALLS_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back(Pending {
            exchange,
            dir,
            id: id.into(),
            method: call.method.into(),
            name: call.name.filter(|name| name.len() <= TOKEN_MAX_BYTES).map(Into::into),
            auth: call.auth,
            cursor: call.cursor,
            revision: call.revision,
            proven,
        });
    }

    /// Takes the request that a response with this id answers. `dir` is the direction of the response; outside its own
    /// exchange a request is only found when the two travel opposite ways on a stream without exchanges.
    pub fn answer(&mut self, exchange: u64, dir: Direction, id: &str) -> Option<Pending> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.exchange == exchange && pending.dir != dir && &*pending.id == id)?;
        self.pending.remove(at)
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
