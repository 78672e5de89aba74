//! What systemd is told (sd_notify(3)): that the sensor is ready, reloads, stops, and that it is still alive.
//!
//! A datagram to the socket that it names in the environment. The socket is opened before rights are given up.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// See the module. Without a service manager it tells nobody.
#[derive(Debug, Default)]
pub(super) struct Notify {
    socket: Option<UnixDatagram>,
    /// It is to hear of the sensor regularly.
    watched: bool,
}

impl Notify {
    /// Finds the service manager.
    pub(super) fn find() -> Self {
        let socket = std::env::var("NOTIFY_SOCKET").ok().and_then(|name| connect(&name).ok());
        let this = std::process::id().to_string();
        let for_this = std::env::var("WATCHDOG_PID").map_or(true, |id| id == this);
        let watched = std::env::var_os("WATCHDOG_USEC").is_some() && for_this;
        Self { socket, watched }
    }

    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    pub(super) fn reloading(&self) {
        let Ok(now) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) else {
            return;
        };
        let micros = now
            .tv_sec()
            .saturating_mul(1_000_000)
            .saturating_add(now.tv_nsec() / 1_000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// The sensor makes progress.
    pub(super) fn alive(&self, status: &str) {
        let watchdog = if self.watched { "WATCHDOG=1\n" } else { "" };
        self.tell(&format!("{watchdog}STATUS={}", one_line(status)));
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // A manager that does not listen now will hear the next one.
            let _ = socket.send(text.as_bytes());
        }
    }
}

fn connect(name: &str) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A line break would begin another word.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
