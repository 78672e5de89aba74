//! Where the sinks of a sensor go, as the capture needs to know it.

use std::net::ToSocketAddrs as _;

use crate::log;
use crate::model::net::Endpoint;
use crate::sink::settings::Setting;

/// Addresses of the receivers, whose traffic is our own and no news. What cannot be resolved now is told.
pub(super) fn ends(sinks: &[Setting]) -> Vec<Endpoint> {
    let mut ends = Vec::new();
    for sink in sinks {
        let Some(end) = &sink.end else { continue };
        match (&*end.host, end.port).to_socket_addrs() {
            Ok(found) => ends.extend(found.map(|addr| Endpoint::new(addr.ip(), addr.port()))),
            Err(error) => {
                let why = "its address is not known yet, so that its traffic is captured like any other";
                log::warning(
                    "sink-address",
                    format_args!("{}: {why}: {}: {error}", sink.name, end.host),
                );
            }
        }
    }
    ends
}
