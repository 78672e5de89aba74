//! Connections: bounded in number, in time and in the size of their heads; TLS where it is wanted.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::sink::tls;
use crate::web::access::Access;
use crate::web::audit::Audit;
use crate::web::desk::Desk;
use crate::web::guard::Guard;
use crate::web::shelf::Shelf;
use crate::web::way::{self, Peer, Site};
use crate::web::{Options, WebError};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS_MAX: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and how long a connection may be idle before it.
const HEAD_MAX: Duration = Duration::from_secs(15);
/// How long a connection lives, whatever is done on it.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
/// Longest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1_024;
/// Pause after a connection could not be taken: there are no descriptors left, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// A page that is bound to its address and not yet served.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Binds the address. Any but loopback needs tokens and TLS.
    ///
    /// # Errors
    /// Every mistake of the operator's, with its cure.
    pub fn bind(options: &Options, shelf: Box<dyn Shelf>) -> Result<Self, WebError> {
        let tls = options
            .tls
            .as_ref()
            .map(|(certificate, key)| tls::server(certificate, key).map(TlsAcceptor::from))
            .transpose()?;
        let remote = !options.listen.ip().is_loopback();
        let access = Access::new(&options.tokens, tls.is_some(), remote)?;
        if remote && !access.has_tokens() {
            return Err(WebError::NoTokens {
                listen: options.listen,
                tokens: options.tokens.clone(),
            });
        }
        if remote && tls.is_none() {
            return Err(WebError::NoTls { listen: options.listen });
        }
        let listener = TcpListener::bind(options.listen).map_err(|what| WebError::Listen {
            listen: options.listen,
            what,
        })?;
        listener.set_nonblocking(true)?;
        let site = Site::new(
            Desk::new(shelf),
            access,
            Audit::new(&options.audit),
            Guard::new(&options.hosts, tls.is_some()),
            // What else is served on this machine's `localhost` may have no TLS.
            remote,
            options.clock,
        );
        Ok(Self {
            listener,
            tls,
            router: way::router(Arc::new(site)),
        })
    }

    /// Where it is, with the port that the system gave for port 0.
    ///
    /// # Errors
    /// Those of the system.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Its address as a browser takes it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.address()
            .map_or_else(|_| String::new(), |address| format!("{scheme}://{address}/"))
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the runtime does not take the listener.
    pub async fn serve(self) -> Result<(), WebError> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            // Never closed.
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return Ok(());
            };
            let Ok((stream, peer)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            let router = self.router.clone().layer(Extension(Peer(peer.ip().to_canonical())));
            let tls = self.tls.clone();
            tokio::spawn(async move {
                let _ = timeout(CONNECTION_MAX, talk(stream, tls, router)).await;
                drop(permit);
            });
        }
    }
}

/// One connection. What goes wrong on it is its peer's to see.
async fn talk(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router) {
    let _ = stream.set_nodelay(true);
    match tls {
        None => exchange(stream, router).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                exchange(stream, router).await;
            }
        }
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    drop(served);
}
