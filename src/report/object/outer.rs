//! The VLAN and the tunnel around a server, in the report object.

use std::net::IpAddr;

use serde::Serialize;

use super::Text;
use crate::model::packet::Outer;

/// What was around the packets of a server.
#[derive(Debug, Serialize)]
pub(super) struct OuterObject {
    vlan: Option<u16>,
    tunnel: Option<&'static str>,
    id: Option<u32>,
    source: Option<Text<IpAddr>>,
    destination: Option<Text<IpAddr>>,
}

impl OuterObject {
    pub(super) fn of(outer: Outer) -> Self {
        Self {
            vlan: outer.vlan,
            tunnel: outer.tunnel,
            id: outer.id,
            source: outer.ends.map(|ends| Text(ends.0)),
            destination: outer.ends.map(|ends| Text(ends.1)),
        }
    }
}
