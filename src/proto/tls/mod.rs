//! TLS over TCP (RFC 8446, RFC 5246): what the two sides say in clear, and the fact that a flow is encrypted.
//!
//! ```text
//!  client  ClientHello ──────────────►      ◄────── ServerHello [Certificate … ServerHelloDone]  server
//!          name, protocols, versions, JA4           version, cipher suite, names of the certificate
//!                                    Terms: what opens it, given secrets
//! ```
//!
//! Once both were read nothing more can be learned without keys, so the flow is bypassed there and then. A flow that is
//! joined midway is recognised by its records and bypassed as opaque at once, so that it is counted as encrypted and not
//! as unknown. The same goes for a hello with a gap in it (the name is told if it stands before the gap), one that is too
//! long, and one that is malformed; and for the hello of SSLv2 form with which old clients offer TLS.
//!
//! Does not tell a real encrypted ClientHello from one that is sent as grease: they are made to look alike.

mod certificate;
pub(in crate::proto) mod decrypt;
pub mod dtls;
pub mod frame;
pub mod hello;
pub mod ja4;
mod probe;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::model::chunk::{Chunk, Data};
use crate::model::flow::Why;
use crate::model::net::{Direction, Transport};
use crate::model::observation::Fact;
use crate::model::stamp::Stamp;
use crate::model::tls::TlsAnswer;
use crate::proto::tls::certificate::Names;
use crate::proto::tls::decrypt::Opener;
use crate::proto::tls::frame::{Handshake, Messages, Next, Record, Records};
use crate::proto::tls::hello::{CLIENT_HELLO, ClientHello, SERVER_HELLO, ServerHello, TLS_1_3};
use crate::proto::tls::ja4::Carrier;
use crate::stream::layer::{Env, Layer, Protocol, Step, Up};

/// The row of `proto::PROTOCOLS`.
pub const PROTOCOL: Protocol = Protocol {
    name: "tls",
    transport: Transport::Tcp,
    probe: probe::probe,
    open,
};

/// Handshake messages of a server that end, or come before, what is told of it.
const HELLO_REQUEST: u8 = 0;
const SERVER_HELLO_DONE: u8 = 14;

/// First byte of an alert that ends the connection.
const FATAL: u8 = 2;

const OPAQUE: Step = Step::Bypass(Why::Opaque);

fn open(env: &Env) -> Box<dyn Layer> {
    Box::new(Tls {
        max_bytes: env.head_max_bytes,
        sides: Default::default(),
        talk: Talk::default(),
        over: false,
        opener: env.keys.as_ref().and_then(Opener::new),
    })
}

/// What both hellos settled, as far as they were seen: all that opens a connection besides its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `random` of the ClientHello: what key logs name a connection by.
    pub client_random: Option<[u8; 32]>,
    /// `random` of the ServerHello.
    pub server_random: Option<[u8; 32]>,
    /// `session_id` that the client sent; up to TLS 1.2 one that the server repeats is resumed.
    pub offered_session: Vec<u8>,
    /// `session_id` that the server sent.
    pub session: Vec<u8>,
    /// The client offered a ticket or a pre-shared key.
    pub resumes: bool,
    /// The client said that it sends data at once.
    pub early_data: bool,
    /// The version that is spoken, as on the wire.
    pub version: u16,
    /// The cipher suite, as IANA numbers it.
    pub cipher: u16,
    /// RFC 7627.
    pub extended_master_secret: bool,
    /// RFC 7366.
    pub encrypt_then_mac: bool,
}

/// Reads one connection until both sides have said what they say in clear, whichever way they go.
struct Tls {
    /// Longest handshake message, and most bytes of one side that are waited through for the other.
    max_bytes: usize,
    /// Indexed by [`Direction::index`].
    sides: [Side; 2],
    talk: Talk,
    /// Nothing more stands in clear.
    over: bool,
    /// Where there is key material.
    opener: Option<Box<Opener>>,
}

#[derive(Default)]
struct Side {
    records: Records,
    speaker: Speaker,
}

/// One side as it speaks.
#[derive(Default)]
struct Speaker {
    messages: Messages,
    first: Stamp,
    bytes: usize,
    /// The hello that it said.
    said: Option<Hello>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hello {
    Client,
    Server,
}

/// What was said so far.
#[derive(Default)]
struct Talk {
    terms: Terms,
    /// The ClientHello was told.
    asked: bool,
    /// It named the server.
    named: bool,
    answer: Option<Answer>,
}

/// What is to be told of the server.
#[derive(Default)]
struct Answer {
    at: Stamp,
    alpn: Option<Vec<u8>>,
    extensions: Vec<u16>,
    certificate: Option<Names>,
    /// Nothing more of it stands in clear.
    complete: bool,
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Onwards {
    Yes,
    /// What follows cannot be read.
    No,
}

impl Layer for Tls {
    fn push(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let read = if self.over { OPAQUE } else { self.read(chunk, up) };
        self.over = read != Step::Continue;
        match &mut self.opener {
            Some(opener) => opener.push(chunk, &self.talk.terms, self.over, up),
            None => read,
        }
    }

    fn finish(&mut self, up: &mut Up<'_>) -> Step {
        match &mut self.opener {
            Some(opener) => opener.finish(&self.talk.terms, up),
            None => Step::Continue,
        }
    }
}

impl Tls {
    fn read(&mut self, chunk: Chunk<'_>, up: &mut Up<'_>) -> Step {
        let Self {
            max_bytes, sides, talk, ..
        } = self;
        let [to_server, to_client] = sides;
        let Side { records, speaker } = match chunk.dir {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        if speaker.bytes == 0 {
            speaker.first = chunk.at;
        }
        let Data::Bytes(mut rest) = chunk.data else {
            talk.cut(speaker, records.cut(), *max_bytes, up);
            return talk.give_up(up);
        };
        speaker.bytes = speaker.bytes.saturating_add(rest.len());
        loop {
            let onwards = match records.next(&mut rest) {
                Next::Frame(record) => talk.record(speaker, record, *max_bytes, up),
                Next::More => break,
                Next::Wrong => Onwards::No,
            };
            if onwards == Onwards::No {
                return talk.give_up(up);
            }
            if talk.is_over() {
                return talk.settled(up);
            }
        }
        // One side may be all there is to see, and two taps may deliver an answer before the hello that it answers.
        if speaker.bytes > *max_bytes {
            return talk.give_up(up);
        }
        Step::Continue
    }
}

impl Talk {
    fn record(&mut self, speaker: &mut Speaker, record: Record<'_>, max_bytes: usize, up: &mut Up<'_>) -> Onwards {
        match (record.header[0], speaker.said) {
            // Up to TLS 1.2 a client has nothing more to say in clear, and in TLS 1.3 it may only say its hello again.
            (frame::HANDSHAKE, Some(Hello::Client)) => {}
            (frame::HANDSHAKE, _) => return self.handshake(speaker, record.body, max_bytes, up),
            (frame::ALERT, Some(Hello::Server) | None) if record.body.first() == Some(&FATAL) => return Onwards::No,
            // A server that warns of the name goes on.
            (frame::ALERT, _) => {}
            // Early data, or what follows an answer that was not captured.
            (_, Some(Hello::Client)) => {}
            // From here on the server is encrypted: a session was resumed. After a request to retry it means nothing.
            (_, Some(Hello::Server)) => {
                if let Some(answer) = &mut self.answer {
                    answer.complete = true;
                }
            }
            (_, None) => return Onwards::No,
        }
        Onwards::Yes
    }

    fn handshake(&mut self, speaker: &mut Speaker, mut body: &[u8], max_bytes: usize, up: &mut Up<'_>) -> Onwards {
        loop {
            let message = match speaker.messages.next(&mut body, max_bytes) {
                Next::Frame(message) => message,
                Next::More => {
                    // Joined within a handshake: what stands here will never make sense.
                    let begun = speaker.messages.cut().map(|message| message.kind);
                    let hello = begun.is_none_or(|kind| matches!(kind, CLIENT_HELLO | SERVER_HELLO));
                    return if hello || speaker.said.is_some() {
                        Onwards::Yes
                    } else {
                        Onwards::No
                    };
                }
                Next::Wrong => return Onwards::No,
            };
            match (message.kind, speaker.said) {
                (CLIENT_HELLO, None) if !self.asked => {
                    speaker.said = Some(Hello::Client);
                    let Some(hello) = ClientHello::parse(message.body) else {
                        return Onwards::No;
                    };
                    self.ask(&hello, speaker.first, up);
                    return Onwards::Yes;
                }
                (SERVER_HELLO, _) if self.answer.is_none() => {
                    speaker.said = Some(Hello::Server);
                    let Some(hello) = ServerHello::parse(message.body) else {
                        return Onwards::No;
                    };
                    if !hello.retry {
                        self.answer(&hello, speaker.first);
                    }
                }
                (HELLO_REQUEST, None) if message.body.is_empty() => {}
                (_, Some(_)) => self.more(&message),
                (_, None) => return Onwards::No,
            }
        }
    }

    fn ask(&mut self, hello: &ClientHello<'_>, at: Stamp, up: &mut Up<'_>) {
        self.asked = true;
        self.named = hello.sni.is_some();
        self.terms.client_random = Some(hello.random);
        self.terms.offered_session = hello.session_id.to_vec();
        self.terms.resumes = hello.resumes;
        self.terms.early_data = hello.early_data;
        up.fact(at, Fact::Tls(hello.fact(Carrier::Tcp)));
    }

    fn answer(&mut self, hello: &ServerHello<'_>, at: Stamp) {
        self.terms.server_random = Some(hello.random);
        self.terms.session = hello.session_id.to_vec();
        self.terms.version = hello.version;
        self.terms.cipher = hello.cipher;
        self.terms.extended_master_secret = hello.extended_master_secret;
        self.terms.encrypt_then_mac = hello.encrypt_then_mac;
        self.answer = Some(Answer {
            at,
            alpn: hello.alpn.map(<[u8]>::to_vec),
            extensions: hello.extensions.clone(),
            certificate: None,
            complete: hello.version >= TLS_1_3,
        });
    }

    /// A message that follows a server's hello.
    fn more(&mut self, message: &Handshake<'_>) {
        let Some(answer) = &mut self.answer else { return };
        match message.kind {
            certificate::CERTIFICATE => {
                answer.certificate = Names::parse(message.body);
                answer.complete = true;
            }
            SERVER_HELLO_DONE => answer.complete = true,
            _ => {}
        }
    }

    /// A snap length cuts hellos; the name often stands before the cut.
    fn cut(&mut self, speaker: &mut Speaker, record: Option<Record<'_>>, max_bytes: usize, up: &mut Up<'_>) {
        let mut rest = record
            .filter(|record| record.header[0] == frame::HANDSHAKE)
            .map_or(&[][..], |record| record.body);
        if speaker.said.is_some() || self.asked {
            return;
        }
        let message = match speaker.messages.next(&mut rest, max_bytes) {
            Next::Frame(message) => Some(message),
            Next::More => speaker.messages.cut(),
            Next::Wrong => None,
        };
        let hello = message.filter(|message| message.kind == CLIENT_HELLO);
        let hello = hello.and_then(|message| ClientHello::parse(message.body));
        if let Some(hello) = hello.filter(|hello| hello.sni.is_some()) {
            self.ask(&hello, speaker.first, up);
        }
    }

    /// Whether all is said that can be read without keys.
    fn is_over(&self) -> bool {
        self.asked && self.answer.as_ref().is_some_and(|answer| answer.complete)
    }

    /// Both sides have agreed: what follows is for keys.
    fn settled(&mut self, up: &mut Up<'_>) -> Step {
        self.give_up(up)
    }

    /// Nothing more can be read: tells what is known of the server.
    fn give_up(&mut self, up: &mut Up<'_>) -> Step {
        if let Some(answer) = self.answer.take() {
            let said = TlsAnswer {
                version: self.terms.version,
                cipher: self.terms.cipher,
                alpn: answer.alpn.as_deref(),
                extensions: &answer.extensions,
                named: self.named,
                certificate: answer.certificate.as_ref().map(Names::fact),
            };
            up.fact(answer.at, Fact::TlsAnswer(said));
        }
        OPAQUE
    }
}
