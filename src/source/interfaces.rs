//! The capture interfaces of this machine, and whether this user may capture on each.
//!
//! Each is opened as a capture would open it and closed at once; no packet is read. What is no network (USB, Bluetooth,
//! D-Bus) is left out, and so are netfilter's queues: to open one of those would take packets away from whoever it
//! is meant for.

use std::net::IpAddr;

use pcap::{Capture, Device};

use super::SourceError;
use super::live::words;

/// Devices of libpcap that are no network interfaces, by the start of their names.
const NO_NETWORKS: [&str; 6] = ["bluetooth", "dbus", "nflog", "nfqueue", "rpmsg", "usbmon"];

/// One capture interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name, as `live -i` takes it.
    pub name: String,
    /// What the system says about it.
    pub description: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier.
    pub running: bool,
    /// Reaches this machine only.
    pub loopback: bool,
    /// Why this user cannot capture on it; `None` when it works.
    pub refused: Option<String>,
}

/// One line for people: name, state, addresses, and why not.
impl std::fmt::Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match (self.up, self.running) {
            (false, _) => "down",
            (true, false) => "no carrier",
            (true, true) => "up",
        };
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        write!(f, "{:<16} {state:<11} ", self.name)?;
        match &self.refused {
            None => f.write_str("may capture  ")?,
            Some(reason) => write!(f, "may not capture: {reason}  ")?,
        }
        f.write_str(&addresses.join(" "))?;
        match &self.description {
            Some(description) => write!(f, "  ({description})"),
            None => Ok(()),
        }
    }
}

/// All interfaces, in the order of libpcap: the most useful first.
pub fn list() -> Result<Vec<Interface>, SourceError> {
    let devices = Device::list().map_err(|error| SourceError::Unreadable {
        name: "interfaces".to_owned(),
        what: format!("cannot be listed: {}", words(&error)),
        cure: "run as root".to_owned(),
    })?;
    Ok(devices
        .into_iter()
        .filter(|device| is_network(&device.name))
        .map(describe)
        .collect())
}

/// Whether a device of libpcap is a network interface.
pub(super) fn is_network(name: &str) -> bool {
    !NO_NETWORKS.iter().any(|start| name.starts_with(start))
}

fn describe(device: Device) -> Interface {
    Interface {
        refused: refused(&device.name),
        addresses: device.addresses.iter().map(|address| address.addr).collect(),
        up: device.flags.is_up(),
        running: device.flags.is_running(),
        loopback: device.flags.is_loopback(),
        description: device.desc,
        name: device.name,
    }
}

fn refused(name: &str) -> Option<String> {
    let opened = Capture::from_device(name).and_then(|inactive| inactive.promisc(false).snaplen(64).timeout(1).open());
    opened.err().map(|error| words(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever runs the tests, the list itself needs no permission, and a refusal has a reason.
    #[test]
    fn lists_without_permission() {
        for interface in list().unwrap() {
            assert!(!interface.name.is_empty());
            assert!(interface.refused.is_none_or(|reason| !reason.is_empty()));
        }
    }
}
