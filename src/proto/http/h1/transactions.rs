//! Requests that wait for their answer, in order (RFC 9112, section 9.3.2), and the memory of those that have it.
//!
//! The two directions are read independently; this queue is all that joins them. It is bounded in number and in bytes:
//! in a capture of one direction no answer ever comes. A connection in steady state allocates nothing here.

use std::collections::VecDeque;

use crate::model::message::{Headers, HttpMethod, Request, Response, Transaction};
use crate::model::stamp::Stamp;

/// Most requests that wait on one connection.
const PIPELINED_MAX: usize = 256;
/// Most heads and transactions that are kept for reuse.
const SPARE_MAX: usize = 2;
/// Where the numbers of transactions begin that have no request: beyond all that have one.
const ORPHANS: u64 = 1 << 63;

/// A transaction and how far it is.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) transaction: Transaction,
    /// Whether its bodies are worth collecting, compressed or not.
    pub(super) candidate: bool,
    /// Bytes of the request head: what it costs while it waits.
    weight: usize,
    asked: bool,
    answered: bool,
    done: bool,
}

/// Which exchange a direction is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A response whose request was not captured.
    Orphan,
    /// By number, counted from the connection's first request.
    Queued(u64),
}

/// All exchanges of a connection that are not finished.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    queue: VecDeque<Box<Exchange>>,
    /// Number of the front of the queue.
    front: u64,
    weight: usize,
    /// Requests that were dropped while they waited; their answers come first.
    dropped: u64,
    /// Whether answers may have been lost since the last one.
    missed: bool,
    /// Whether this client sends a request before the last one is answered.
    pipelined: bool,
    orphan: Option<Box<Exchange>>,
    /// Responses so far whose request was not captured.
    orphans: u64,
    #[expect(clippy::vec_box, reason = "the boxes are what is kept for the queue")]
    idle: Vec<Box<Exchange>>,
    requests: Vec<Request>,
    responses: Vec<Response>,
}

impl Transactions {
    /// Memory for a request head.
    pub(super) fn spare_request(&mut self) -> Request {
        self.requests.pop().unwrap_or_else(|| Request {
            at: Stamp::default(),
            method: HttpMethod::Other,
            target: String::new(),
            headers: Headers::default(),
        })
    }

    /// Memory for a response head.
    pub(super) fn spare_response(&mut self) -> Response {
        self.responses.pop().unwrap_or_else(|| Response {
            at: Stamp::default(),
            status: 0,
            headers: Headers::default(),
        })
    }

    /// Gives the memory of an unfinished or passing request head back.
    pub(super) fn keep_request(&mut self, request: Request) {
        if self.requests.len() < SPARE_MAX {
            self.requests.push(request);
        }
    }

    /// Gives the memory of an unfinished or informational response head back.
    pub(super) fn keep_response(&mut self, response: Response) {
        if self.responses.len() < SPARE_MAX {
            self.responses.push(response);
        }
    }

    /// A request was asked; `weight` is the size of its head, `max_weight` what all waiting ones may weigh.
    pub(super) fn ask(&mut self, request: Request, candidate: bool, weight: usize, max_weight: usize) -> Slot {
        self.weight = self.weight.saturating_add(weight);
        while self.queue.len() >= PIPELINED_MAX || (self.weight > max_weight && !self.queue.is_empty()) {
            let answered = self.queue.front().is_some_and(|exchange| exchange.answered);
            self.dropped = self.dropped.saturating_add(u64::from(!answered));
            self.pop_front();
        }
        let mut exchange = self.idle.pop().unwrap_or_default();
        let number = self.front.saturating_add(self.queue.len() as u64);
        exchange.transaction.number = number;
        exchange.transaction.request = Some(request);
        exchange.candidate = candidate;
        exchange.weight = weight;
        self.queue.push_back(exchange);
        Slot::Queued(number)
    }

    /// Whether a request has no answer yet.
    pub(super) fn waits(&self) -> bool {
        self.queue.iter().any(|exchange| !exchange.answered)
    }

    /// Whether this client was seen not to wait for answers.
    pub(super) fn pipelined(&self) -> bool {
        self.pipelined
    }

    /// Answers may be lost.
    pub(super) fn miss(&mut self) {
        self.missed = true;
    }

    /// The next answer is here. When some were lost before it, it is to the newest request: a client that waits for each
    /// answer had all the others. A request that waits alone is not known to be the newest, since more may be lost than
    /// answers.
    pub(super) fn align(&mut self) {
        let waiting = self.queue.iter().filter(|exchange| !exchange.answered).count();
        if !std::mem::take(&mut self.missed) {
            self.pipelined |= waiting > 1 || self.dropped > 0;
            return;
        }
        self.dropped = 0;
        while self.queue.len() > usize::from(waiting > 1) {
            self.pop_front();
        }
    }

    /// The body of an answer shows itself behind its lost head: it is to the newest request.
    pub(super) fn adopt(&mut self) -> Option<Slot> {
        if !self.missed || !self.waits() {
            return None;
        }
        (self.missed, self.dropped) = (false, 0);
        while self.queue.len() > 1 {
            self.pop_front();
        }
        self.queue.front_mut()?.answered = true;
        Some(Slot::Queued(self.front))
    }

    /// Method of the request that the next response answers.
    pub(super) fn next_method(&self) -> Option<HttpMethod> {
        if self.dropped > 0 {
            return None;
        }
        let exchange = self.queue.iter().find(|exchange| !exchange.answered)?;
        exchange.transaction.request.as_ref().map(|request| request.method)
    }

    /// A final response has come: it answers the oldest request that waits.
    pub(super) fn answer(&mut self, response: Response) -> Slot {
        let index = self
            .queue
            .iter()
            .position(|exchange| !exchange.answered)
            .filter(|_| self.dropped == 0);
        self.dropped = self.dropped.saturating_sub(1);
        let Some((index, exchange)) = index.and_then(|index| Some((index, self.queue.get_mut(index)?))) else {
            let mut exchange = self.idle.pop().unwrap_or_default();
            exchange.transaction.number = ORPHANS.saturating_add(self.orphans);
            self.orphans = self.orphans.saturating_add(1);
            exchange.transaction.response = Some(response);
            self.orphan = Some(exchange);
            return Slot::Orphan;
        };
        exchange.answered = true;
        exchange.transaction.response = Some(response);
        Slot::Queued(self.front.saturating_add(index as u64))
    }

    /// The exchange of a slot; `None` when it had to be dropped.
    pub(super) fn get(&self, slot: Slot) -> Option<&Exchange> {
        match slot {
            Slot::Orphan => self.orphan.as_deref(),
            Slot::Queued(number) => self.queue.get(self.index(number)?).map(Box::as_ref),
        }
    }

    /// As [`Self::get`].
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Exchange> {
        match slot {
            Slot::Orphan => self.orphan.as_deref_mut(),
            Slot::Queued(number) => self
                .index(number)
                .and_then(|index| self.queue.get_mut(index))
                .map(Box::as_mut),
        }
    }

    /// The request of that slot is complete.
    pub(super) fn end_request(&mut self, slot: Slot) {
        if let Some(exchange) = self.get_mut(slot) {
            exchange.asked = true;
        }
        self.retire();
    }

    /// The response of that slot is complete.
    pub(super) fn end_response(&mut self, slot: Slot) {
        if let Some(exchange) = self.get_mut(slot) {
            exchange.done = true;
        }
        if let (Slot::Orphan, Some(exchange)) = (slot, self.orphan.take()) {
            self.recycle(exchange);
        }
        self.retire();
    }

    /// Takes the request of that slot out, and whether its bodies are worth collecting: it is answered elsewhere, and so
    /// is all that waits.
    pub(super) fn hand_over(&mut self, slot: Slot) -> Option<(Request, bool)> {
        let exchange = self.get_mut(slot)?;
        let request = exchange.transaction.request.take();
        let candidate = exchange.candidate;
        self.give_up();
        Some((request?, candidate))
    }

    /// The answers of all that wait are lost.
    pub(super) fn give_up(&mut self) {
        while !self.queue.is_empty() {
            self.pop_front();
        }
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.front)?).ok()
    }

    fn retire(&mut self) {
        while self
            .queue
            .front()
            .is_some_and(|exchange| exchange.asked && exchange.done)
        {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(exchange) = self.queue.pop_front() {
            self.front = self.front.saturating_add(1);
            self.weight = self.weight.saturating_sub(exchange.weight);
            self.recycle(exchange);
        }
    }

    fn recycle(&mut self, mut exchange: Box<Exchange>) {
        let Transaction { request, response, .. } = std::mem::take(&mut exchange.transaction);
        if let Some(request) = request {
            self.keep_request(request);
        }
        if let Some(response) = response {
            self.keep_response(response);
        }
        if self.idle.len() < SPARE_MAX {
            *exchange = Exchange::default();
            self.idle.push(exchange);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

    use super::*;

    fn ask(transactions: &mut Transactions, target: &str) -> Slot {
        let mut request = transactions.spare_request();
        request.target = target.into();
        transactions.ask(request, false, 100, 64 * 1024)
    }

    fn answered(transactions: &mut Transactions) -> Option<String> {
        let response = transactions.spare_response();
        let slot = transactions.answer(response);
        let target = transactions
            .get(slot)?
            .transaction
            .request
            .as_ref()
            .map(|request| request.target.clone());
        transactions.end_response(slot);
        target
    }

    #[test]
    fn answers_in_order_also_before_the_request_has_ended() {
        let mut transactions = Transactions::default();
        assert_eq!(answered(&mut transactions), None);
        let slots = ["a", "b", "c"].map(|target| ask(&mut transactions, target));
        transactions.end_request(slots[0]);
        assert_eq!(answered(&mut transactions).as_deref(), Some("a"));
        assert_eq!(answered(&mut transactions).as_deref(), Some("b"));
        assert!(transactions.get(slots[0]).is_none());
        assert!(transactions.get(slots[1]).is_some(), "its request is not complete");
        transactions.end_request(slots[1]);
        assert!(transactions.get(slots[1]).is_none());
        assert_eq!(answered(&mut transactions).as_deref(), Some("c"));
    }

    #[test]
    fn what_was_dropped_keeps_its_turn() {
        let mut transactions = Transactions::default();
        for number in 0..PIPELINED_MAX + 2 {
            let slot = ask(&mut transactions, &number.to_string());
            transactions.end_request(slot);
        }
        assert_eq!(transactions.queue.len(), PIPELINED_MAX);
        assert_eq!(transactions.next_method(), None);
        assert_eq!([answered(&mut transactions), answered(&mut transactions)], [None, None]);
        assert_eq!(answered(&mut transactions).as_deref(), Some("2"));
    }

    #[test]
    fn heads_that_wait_are_bounded_in_bytes() {
        let mut transactions = Transactions::default();
        for _ in 0..100 {
            let request = transactions.spare_request();
            transactions.ask(request, false, 1000, 10_000);
        }
        assert_eq!((transactions.queue.len(), transactions.weight), (10, 10_000));
    }
}
