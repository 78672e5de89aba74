//! The web page and its JSON API, read-only over a store: `shadowtap serve`, and beside `shadowtap live`.
//!
//! On loopback without tokens everybody on this machine may look. Any other address needs tokens and TLS. Every request
//! passes `guard` (whose page is asking?) and `access` (who is asking?), then one function of `route`'s table answers it
//! on a thread of its own. What people do is written to `audit`. Capture never waits for any of it.

pub mod access;
pub mod audit;
pub mod desk;
pub mod guard;
pub mod listen;
pub mod openapi;
pub mod pages;
pub mod reply;
pub mod route;
pub mod select;
pub mod shelf;
pub mod tokens;
pub mod way;

mod api;
mod assets;
mod page;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::defect::Defect;
use crate::model::stamp::Timestamp;

/// Where the page is unless something else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8470);

/// The section `[web]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port; where it is set, `live` shows the page, too.
    pub listen: Option<SocketAddr>,
    /// Names by which the page is called, beside addresses and localhost.
    pub hosts: Vec<String>,
    /// File with the hashes of tokens.
    pub tokens: Option<PathBuf>,
    /// Certificate chain (PEM).
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
}

/// What a page needs to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address and port.
    pub listen: SocketAddr,
    /// Further names in `Host`.
    pub hosts: Vec<String>,
    /// File with the hashes of tokens; without one, or while it is not there, nobody signs in.
    pub tokens: PathBuf,
    /// Certificate chain and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where what people do is written.
    pub audit: PathBuf,
    /// The clock on the wall.
    pub clock: fn() -> Timestamp,
}

/// Why there is no page. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file of the operator's is wrong.
    #[error("{0}")]
    Defect(#[from] Defect),
    /// The address cannot be had.
    #[error("{listen}: {what}; name another with --listen, or end what is using it")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system says.
        what: std::io::Error,
    },
    /// Everybody could read it.
    #[error(
        "{listen} can be reached from other machines, and there are no tokens in {0}; make one with `shadowtap serve token \
         --role viewer --name NAME --tokens {0}`",
        tokens.display()
    )]
    NoTokens {
        /// The address.
        listen: SocketAddr,
        /// Where tokens would be.
        tokens: PathBuf,
    },
    /// Tokens would cross the network in clear.
    #[error("{listen} can be reached from other machines, and there is no TLS; give --certificate FILE and --key FILE")]
    NoTls {
        /// The address.
        listen: SocketAddr,
    },
    /// Certificate or key is wrong.
    #[error("{0}")]
    Tls(#[from] crate::sink::tls::TlsError),
    /// The system says no.
    #[error("the web page cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// A lock that a panic of its holder does not close.
///
/// No packet ever waits here: requests alone do, and none holds it while it asks the store.
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(
    #[expect(
        clippy::disallowed_types,
        reason = "requests share state, and nothing here is on the packet path"
    )]
    std::sync::Mutex<T>,
);

impl<T> Lock<T> {
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub(crate) fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
