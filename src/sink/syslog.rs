//! Syslog over UDP (RFC 5426), TCP (RFC 6587) and TLS (RFC 5425).
//!
//! Syslog has no acknowledgement. Over TCP and TLS a batch is taken for delivered when the receiver has read everything: after
//! its last message the sending side is closed, and the receiver closes its own when it has come that far. So a receiver that
//! was killed, a line that is dead and a client certificate that is refused after the handshake (TLS 1.3) lose nothing. What is
//! on its way when that fails is sent again, and has the same ids. UDP loses without anybody noticing.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;

use crate::sink::SinkError;
use crate::sink::remote::{Batch, Deliver};
use crate::sink::siem::parcel::unpack;

/// Bytes of a receiver that are read over while it is awaited to close: it has nothing to say.
const CHATTER_MAX_BYTES: usize = 65_536;

const NOT_READ: &str =
    "the receiver has not read everything in time (for one that never closes its side set confirm = false)";

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// By a line end; for old receivers.
    Newline,
    /// By their length (RFC 6587, section 3.4.1).
    #[default]
    OctetCounting,
}

/// What carries the messages.
#[derive(Clone, Debug)]
pub enum Carrier {
    /// A datagram a message.
    Udp,
    /// In clear.
    Tcp(Framing),
    /// Encrypted, octets counted.
    Tls {
        /// What is trusted and shown.
        config: Arc<ClientConfig>,
        /// Whom the certificate must name.
        name: ServerName<'static>,
    },
}

/// See the module.
#[derive(Debug)]
pub struct Syslog {
    host: String,
    port: u16,
    carrier: Carrier,
    timeout: Duration,
    /// Await that the receiver has read everything.
    confirm: bool,
    /// Without `confirm`: the connection that is kept.
    kept: Option<Line>,
}

#[derive(Debug)]
enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Syslog {
    /// Sends to a host; nothing is connected yet.
    pub const fn new(host: String, port: u16, carrier: Carrier, timeout: Duration, confirm: bool) -> Self {
        Self {
            host,
            port,
            carrier,
            timeout,
            confirm,
            kept: None,
        }
    }

    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        Ok((&*self.host, self.port).to_socket_addrs()?.collect())
    }

    fn datagrams(&self, messages: &[String]) -> io::Result<()> {
        let to = self.addresses()?.into_iter().next().ok_or(ErrorKind::NotFound)?;
        let any: SocketAddr = if to.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0; 16], 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(to)?;
        socket.set_write_timeout(Some(self.timeout))?;
        for message in messages {
            socket.send(message.as_bytes())?;
        }
        Ok(())
    }

    fn stream(&mut self, messages: &[String], framing: Framing) -> io::Result<()> {
        let kept = self.kept.take().and_then(Line::still_open);
        let mut line = match kept {
            Some(line) => line,
            None => self.connect()?,
        };
        let mut bytes = Vec::new();
        for message in messages {
            match framing {
                Framing::Newline => bytes.extend([message.as_bytes(), b"\n"].concat()),
                Framing::OctetCounting => {
                    bytes.extend_from_slice(format!("{} ", message.len()).as_bytes());
                    bytes.extend_from_slice(message.as_bytes());
                }
            }
        }
        line.send(&bytes)?;
        if self.confirm {
            return line.finish(self.timeout);
        }
        self.kept = Some(line);
        Ok(())
    }

    fn connect(&self) -> io::Result<Line> {
        let mut last = io::Error::from(ErrorKind::NotFound);
        let mut connected = None;
        for address in self.addresses()? {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(stream) => {
                    connected = Some(stream);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let stream = connected.ok_or(last)?;
        // A line that is dead is known as such, and not as a receiver that is slow.
        SockRef::from(&stream).set_tcp_user_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.set_read_timeout(Some(self.timeout * 2))?;
        stream.set_nodelay(true)?;
        let Carrier::Tls { config, name } = &self.carrier else {
            return Ok(Line::Plain(stream));
        };
        let session = ClientConnection::new(Arc::clone(config), name.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        // Before anything is sent: a wrong certificate is told as such.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Line::Tls(Box::new(stream)))
    }
}

impl Line {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// The line, unless the receiver has closed or broken it.
    fn still_open(mut self) -> Option<Self> {
        self.socket().set_nonblocking(true).ok()?;
        let open = match self.read(&mut [0; 512]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        self.socket().set_nonblocking(false).ok()?;
        open.then_some(self)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }

    /// Says that nothing more comes, and waits until the receiver has read it all and says the same.
    fn finish(mut self, timeout: Duration) -> io::Result<()> {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        self.socket().shutdown(Shutdown::Write)?;
        let until = now() + timeout * 2;
        let mut chatter = [0; 4_096];
        let mut left = CHATTER_MAX_BYTES;
        while left > 0 && now() < until {
            match self.read(&mut chatter) {
                Ok(0) => return Ok(()),
                Ok(read) => left = left.saturating_sub(read),
                // The end of a TLS connection without a word: the receiver has closed all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(ErrorKind::TimedOut, NOT_READ))
    }
}

impl Deliver for Syslog {
    fn deliver(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let messages: Vec<String> = unpack(batch)?.into_iter().map(|parcel| parcel.body).collect();
        let sent = match &self.carrier {
            Carrier::Udp => self.datagrams(&messages),
            Carrier::Tcp(framing) => {
                let framing = *framing;
                self.stream(&messages, framing)
            }
            Carrier::Tls { .. } => self.stream(&messages, Framing::OctetCounting),
        };
        sent.map_err(|error| SinkError::Retry(format!("{}:{}: {error}", self.host, self.port)))
    }
}

/// Waiting for a receiver is of the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "time-outs are of the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}
