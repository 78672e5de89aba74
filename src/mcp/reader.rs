//! The reader of one flow.
//!
//! Cost per message: one pass over the envelope, one over the first level of `params` or `result`; a few hundred
//! nanoseconds plus 0.2 ns per byte of long strings. Allocates per message for what waits for an answer.

use crate::mcp::calls::Calls;
use crate::mcp::jsonrpc;
use crate::mcp::names::Names;
use crate::mcp::shape::{self, ResultShape};
use crate::mcp::{around, legacy, mirror, plain, proof, site, tools};
use crate::model::errand;
use crate::model::flow::FlowInfo;
use crate::model::mcp::{Auth, JsonRpc, McpTransport, Odd, Revision, RpcKind, Site};
use crate::model::message::{Body, Carrier, Field, HttpMethod, Message, Request, Transaction};
use crate::model::net::Direction;
use crate::model::observation::{Call, Fact, Listing, Mcp, Observation, Offer, Proof};

/// Reads the messages of one flow.
#[derive(Debug, Default)]
pub struct Reader {
    calls: Calls,
    /// Names of the request heads, kept so that a keep-alive connection does not make them anew.
    names: Names,
    /// Raw session id last seen and its hash.
    session: Option<(Box<[u8]>, u64)>,
    /// This flow is the event stream of the 2024-11-05 transport: session of its `endpoint` event.
    stream: Option<Option<u64>>,
    /// Cursor of the page that comes next on an event stream, where no request shows which page a listing is.
    next_page: Option<u64>,
    /// Credential of the exchange looked at last: its messages share one head.
    auth: Option<(u64, Auth)>,
    /// A message of this flow proved or suggested MCP.
    mcp: bool,
    /// Number of messages read.
    messages: u64,
    /// Messages left out of batches at the bound.
    shed: u64,
}

/// What surrounds the messages of one body.
struct Around<'a> {
    message: Message<'a>,
    flow: &'a FlowInfo,
    site: Site<'a>,
    /// Of the exchange.
    number: u64,
    transport: Option<McpTransport>,
    session: Option<u64>,
    auth: Option<Auth>,
    /// `MCP-Protocol-Version` of the request.
    revision: Option<Revision>,
    /// The heads carry MCP's own fields.
    marked: bool,
}

impl<'a> Around<'a> {
    /// An observation of MCP that says nothing yet.
    fn blank(&self) -> Mcp<'a> {
        Mcp {
            rpc: None,
            dir: self.message.dir,
            site: self.site,
            transport: self.transport,
            transaction: self.message.transaction,
            call: None,
            name: None,
            scheme: None,
            session: self.session,
            auth: self.auth,
            revision: None,
            client: None,
            server: None,
            instructions: None,
            listing: None,
            offers: Vec::new(),
            proof: Proof(0),
            success: false,
            gives: false,
            wants_input: false,
            relevant: self.marked,
            request_head: false,
            response_head: false,
            alias: None,
        }
    }

    fn tell(&self, mcp: &Mcp<'_>, out: &mut dyn FnMut(Observation<'_>)) {
        out(Observation {
            at: self.message.at,
            flow: self.flow,
            fact: Fact::Mcp(mcp),
        });
    }
}

impl Reader {
    /// Messages read, and messages left out of batches, since the last call.
    pub fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.messages), std::mem::take(&mut self.shed))
    }

    /// A layer below the messages names the host that this flow goes to.
    pub fn named(&mut self, host: Option<&str>) {
        if let Some(host) = host {
            self.names.lead(host);
        }
    }

    /// The server that the flow's messages belong to, as far as its last request head tells.
    pub fn site(&self, flow: &FlowInfo) -> Site<'_> {
        self.names.last(flow)
    }

    /// Turns one message into observations.
    pub fn read(&mut self, message: &Message<'_>, flow: &FlowInfo, out: &mut dyn FnMut(Observation<'_>)) {
        let transaction = message.transaction;
        let request = transaction.and_then(|transaction| transaction.request.as_ref());
        if let Some(request) = request {
            self.names.learn(request);
            if let (Direction::ToServer, Some(transaction)) = (message.dir, transaction) {
                let named = !self.names.told();
                if self.names.asks_with(request) || (named && request.headers.has(Field::Authorization)) {
                    out(Observation {
                        at: message.at,
                        flow,
                        fact: Fact::Credential(transaction),
                    });
                }
                if named {
                    out(Observation {
                        at: message.at,
                        flow,
                        fact: Fact::Http(transaction),
                    });
                }
            }
        }
        if let (Some(transaction), Some(step)) = (transaction, around::step(message)) {
            let fact = Fact::Around(errand::Around {
                dir: message.dir,
                site: self.names.site(flow, message),
                transaction,
                mcp: has_marks(transaction) || self.calls.knows(number(transaction)),
                step: &step,
            });
            out(Observation {
                at: message.at,
                flow,
                fact,
            });
        }
        let (bytes, cut) = match message.body {
            Body::Absent => (&[][..], false),
            Body::Cut { head, .. } => (head, true),
            Body::Whole(bytes) => (bytes, false),
        };
        let number = transaction.map_or(0, number);
        let marked = transaction.is_some_and(has_marks);
        if bytes.is_empty() && !marked && !self.calls.knows(number) {
            return;
        }
        let mut names = std::mem::take(&mut self.names);
        if request.is_some() && !bytes.is_empty() {
            names.settle();
        }
        let around = Around {
            message: *message,
            flow,
            site: names.site(flow, message),
            number,
            transport: self.transport(message),
            session: self.session_of(message, flow),
            auth: request.map(|request| self.auth(number, request)),
            revision: request
                .and_then(|request| request.headers.text(Field::McpProtocolVersion))
                .and_then(|value| Revision::parse(value.trim())),
            marked,
        };
        let text = plain::text(bytes, cut);
        let before = self.messages;
        if let Carrier::SseEvent { name: "endpoint" } = message.carrier {
            self.endpoint_event(&text, &around, out);
        } else if !text.is_empty() {
            let left_out = jsonrpc::each(&text, cut, &mut |envelope| {
                self.envelope(&envelope.view(), &around, out);
            });
            self.shed = self.shed.saturating_add(left_out as u64);
        }
        if message.dir == Direction::ToClient && message.carrier == Carrier::HttpBody {
            self.exchange(&around, self.messages != before, out);
        }
        self.names = names;
    }

    /// One JSON-RPC message.
    fn envelope(&mut self, rpc: &JsonRpc<'_>, around: &Around<'_>, out: &mut dyn FnMut(Observation<'_>)) {
        self.messages = self.messages.saturating_add(1);
        match rpc.kind {
            RpcKind::Notification | RpcKind::Request => self.request(rpc, around, out),
            RpcKind::Error | RpcKind::Success => self.response(rpc, around, out),
        }
    }

    fn request(&mut self, rpc: &JsonRpc<'_>, around: &Around<'_>, out: &mut dyn FnMut(Observation<'_>)) {
        let Message { dir, transaction, .. } = around.message;
        let params = rpc
            .params
            .map(|raw| shape::params(raw, rpc.method == "initialize"))
            .unwrap_or_default();
        let mut proof = proof::of_request(rpc, &params, dir, transaction);
        let named = matches!(rpc.method, "tools/call" | "prompts/get");
        let name = params.name.clone().filter(|_| named);
        let resource = params.name.as_deref().filter(|_| rpc.method.starts_with("resources/"));
        let scheme = resource.and_then(site::scheme);
        let revision = if params.stateless {
            params.revision
        } else {
            around.revision
        };
        let mut request_head = false;
        if dir == Direction::ToServer {
            let exchange = self.calls.exchange(around.number);
            request_head = !std::mem::replace(&mut exchange.asked, true);
            if rpc.kind == RpcKind::Request {
                exchange.requests = exchange.requests.saturating_add(1);
            }
            exchange.client |= proof.has(Proof::CLIENT);
            // Once for each exchange, as it is refused once: a refused batch proves nothing.
            let echoed = exchange.echo;
            exchange.echo |= proof.has(Proof::ECHO);
            if echoed && transaction.is_some() {
                proof.0 &= !Proof::ECHO;
            }
        }
        if let (RpcKind::Request, Some(id)) = (rpc.kind, rpc.id) {
            let mut odd = Odd(rpc.odd.0 | params.odd.0);
            if let Some(request) = transaction.and_then(|transaction| transaction.request.as_ref()) {
                odd.add(mirror::disagreement(&request.headers, rpc, &params));
            }
            let call = Call {
                at: around.message.at,
                method: rpc.method,
                name: name.as_deref(),
                scheme,
                auth: around.auth.unwrap_or(Auth::None),
                cursor: params.cursor.map(tools::cursor),
                revision,
                offered: params.revision.filter(|_| rpc.method == "initialize"),
                able: params.able,
                odd,
            };
            self.calls.ask(around.number, dir, id, call, proof.has(Proof::CLIENT));
        }
        self.mcp |= proof.0 != 0;
        let mcp = Mcp {
            rpc: Some(*rpc),
            name,
            scheme,
            client: params.client,
            proof,
            relevant: self.mcp || around.marked,
            request_head,
            ..around.blank()
        };
        around.tell(&mcp, out);
    }

    fn response(&mut self, rpc: &JsonRpc<'_>, around: &Around<'_>, out: &mut dyn FnMut(Observation<'_>)) {
        let Message {
            dir,
            transaction,
            carrier,
            ..
        } = around.message;
        let asked = rpc.id.and_then(|id| self.calls.answer(around.number, dir, id));
        let call = asked.as_ref().map(|pending| (pending.call(), pending.proven));
        let method = call.map(|(call, _)| call.method);
        let result: ResultShape<'_> = match (dir, rpc.result) {
            (Direction::ToClient, Some(raw)) => shape::result(raw),
            _ => ResultShape::default(),
        };
        let lists = |wanted: &str| method.is_none_or(|method| method == wanted);
        let (tools, shaped) = match result.tools {
            Some(raw) if lists("tools/list") => tools::parse(raw),
            _ => (Vec::new(), false),
        };
        let proof = proof::of_response(rpc, &result, shaped, call, dir, transaction);
        let listing = (method.is_some() || shaped)
            .then_some(result.tools)
            .flatten()
            .filter(|_| lists("tools/list"));
        let next = result.next_cursor.map(tools::cursor);
        let listing = listing.map(|_| Listing {
            cursor: match call {
                Some((call, _)) => call.cursor,
                // A page that names itself as the next one is a first page asked for again.
                None => std::mem::replace(&mut self.next_page, next).filter(|cursor| Some(*cursor) != next),
            },
            next,
            tools,
        });
        let mut offers = Vec::new();
        for (raw, key, offer, wanted) in [
            (result.resources, "uri", Offer::Resource, "resources/list"),
            (result.prompts, "name", Offer::Prompt, "prompts/list"),
        ] {
            if let Some(raw) = raw.filter(|_| lists(wanted)) {
                offers.extend(shape::keys(raw, key).map(|value| (offer, tools::cursor(value))));
            }
        }
        self.mcp |= proof.0 != 0;
        let headless = transaction.is_none() && matches!(carrier, Carrier::SseEvent { .. });
        let success = rpc.kind == RpcKind::Success && !result.is_error;
        let mcp = Mcp {
            rpc: Some(*rpc),
            call: call.map(|(call, _)| call),
            revision: if rpc.kind == RpcKind::Success {
                result.revision.or_else(|| call.and_then(|(call, _)| call.revision))
            } else {
                None
            },
            server: result.server,
            instructions: result.instructions,
            listing,
            offers,
            proof,
            success,
            gives: result.gives,
            wants_input: result.input_required,
            relevant: self.mcp || around.marked || headless,
            ..around.blank()
        };
        around.tell(&mcp, out);
    }

    /// The response head of an exchange that carried MCP: once, whatever the body. `answered` says that messages were
    /// read in it.
    fn exchange(&mut self, around: &Around<'_>, answered: bool, out: &mut dyn FnMut(Observation<'_>)) {
        if !around.marked && !self.calls.knows(around.number) {
            return;
        }
        let exchange = self.calls.exchange(around.number);
        if std::mem::replace(&mut exchange.told, true) {
            return;
        }
        let request_head = !std::mem::replace(&mut exchange.asked, true);
        let exchange = *exchange;
        let response = around.message.transaction.and_then(|t| t.response.as_ref());
        let status = response.map_or(0, |response| response.status);
        let accepted = (200..300).contains(&status);
        let mut mcp = around.blank();
        let receipt = exchange.requests > 0 && !answered && response.is_some_and(legacy::is_receipt);
        mcp.transport = receipt.then_some(McpTransport::HttpSse);
        mcp.success = accepted;
        mcp.proof = Proof(if exchange.echo { Proof::ECHO } else { 0 });
        mcp.relevant |= self.mcp;
        (mcp.request_head, mcp.response_head) = (request_head, true);
        around.tell(&mcp, out);
    }

    /// `event: endpoint` of 2024-11-05: the address for POSTs, which also holds the session.
    fn endpoint_event(&mut self, uri: &str, around: &Around<'_>, out: &mut dyn FnMut(Observation<'_>)) {
        let request = around.message.transaction.and_then(|t| t.request.as_ref());
        let Some(target) = legacy::resolve(uri, request.map(Request::path)) else {
            return;
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*target, None),
        };
        let session = legacy::session(path, query);
        self.stream = Some(session);
        let template = site::template(path);
        let mut mcp = around.blank();
        mcp.transport = Some(McpTransport::HttpSse);
        mcp.session = session;
        mcp.alias = Some(&template);
        around.tell(&mcp, out);
    }

    fn auth(&mut self, exchange: u64, request: &Request) -> Auth {
        match self.auth {
            Some((known, auth)) if known == exchange => auth,
            _ => {
                let auth = site::auth(request);
                self.auth = Some((exchange, auth));
                auth
            }
        }
    }

    /// Which transport a message shows; `None` when it could be either of HTTP's.
    fn transport(&self, message: &Message<'_>) -> Option<McpTransport> {
        match message.carrier {
            Carrier::Framed | Carrier::Line => Some(McpTransport::RawTcp),
            Carrier::WebSocket => Some(McpTransport::WebSocket),
            Carrier::SseEvent { .. } if self.stream.is_some() => Some(McpTransport::HttpSse),
            Carrier::HttpBody | Carrier::SseEvent { .. } => match message.dir {
                _ if message.transaction.is_some_and(legacy::is_announced) => Some(McpTransport::HttpSse),
                Direction::ToClient => Some(McpTransport::StreamableHttp),
                Direction::ToServer => None,
            },
        }
    }

    fn session_of(&mut self, message: &Message<'_>, flow: &FlowInfo) -> Option<u64> {
        // A WebSocket has no session ids: the connection, or the stream of it, is the session.
        let socket = (message.carrier == Carrier::WebSocket).then_some(flow.id);
        if let (Some(id), Some(transaction)) = (socket, message.transaction) {
            return Some(id ^ transaction.number.rotate_left(48));
        }
        let Some(transaction) = message.transaction else {
            return match self.stream {
                Some(session) => session,
                None => Some(flow.id),
            };
        };
        let request = transaction.request.as_ref();
        let raw = request
            .and_then(|request| request.headers.get(Field::McpSessionId))
            .or_else(|| {
                transaction
                    .response
                    .as_ref()
                    .and_then(|response| response.headers.get(Field::McpSessionId))
            })
            .or_else(|| request.and_then(query_session).map(str::as_bytes));
        let Some(raw) = raw.filter(|raw| !raw.is_empty()) else {
            // A POST whose answer is on its own connection has no session in its path.
            let response = transaction.response.as_ref();
            let posted = request.filter(|request| request.method == HttpMethod::Post);
            let posted = posted.filter(|request| match (message.dir, response) {
                (Direction::ToServer, _) | (Direction::ToClient, None) => true,
                (Direction::ToClient, Some(response)) => !has_mcp_fields(request) && legacy::is_receipt(response),
            });
            let named = posted.and_then(|request| legacy::session(request.path(), None));
            return self.stream.flatten().or(named);
        };
        match &self.session {
            Some((known, hash)) if **known == *raw => Some(*hash),
            _ => {
                let hash = site::session(raw);
                self.session = Some((raw.into(), hash));
                Some(hash)
            }
        }
    }
}

/// Tells an exchange apart on its connection: by its position, and by the packet of its head, because positions start
/// anew when the connection was lost and found again.
fn number(transaction: &Transaction) -> u64 {
    let request = transaction.request.as_ref().map(|request| request.at);
    let at = request.or_else(|| transaction.response.as_ref().map(|response| response.at));
    transaction.number ^ at.map_or(0, |at| at.packet.rotate_left(32))
}

fn query_session(request: &Request) -> Option<&str> {
    if request.method != HttpMethod::Post {
        return None;
    }
    request.query().and_then(site::query_session)
}

fn has_mcp_fields(request: &Request) -> bool {
    [Field::McpSessionId, Field::McpProtocolVersion, Field::McpMethod]
        .iter()
        .any(|field| request.headers.has(*field))
}

/// Whether either head carries a field that only MCP uses. A name inside a CORS list is a value, and no mark.
fn has_marks(transaction: &Transaction) -> bool {
    transaction.request.as_ref().is_some_and(has_mcp_fields)
        || transaction
            .response
            .as_ref()
            .is_some_and(|response| response.headers.has(Field::McpSessionId))
}
