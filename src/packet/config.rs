//! The section `[packet]` of the configuration: which UDP ports carry tunnels, and the bounds of fragments.

/// Ports are destinations; an empty list switches the tunnel off. What stands behind a port must look like the tunnel in
/// every field, or it is an ordinary datagram.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// VXLAN (RFC 7348), also with a group policy, and VXLAN-GPE; mirrored traffic of AWS and Azure comes so.
    pub vxlan_ports: Vec<u16>,
    /// GENEVE (RFC 8926); the gateway load balancer of AWS and the mirrors of Google Cloud.
    pub geneve_ports: Vec<u16>,
    /// GTP-U (3GPP TS 29.281).
    pub gtpu_ports: Vec<u16>,
    /// MPLS in UDP (RFC 7510).
    pub mpls_ports: Vec<u16>,
    /// GRE in UDP (RFC 8086).
    pub gre_ports: Vec<u16>,
    /// Teredo (RFC 4380); the port of either side.
    pub teredo_ports: Vec<u16>,
    /// Bytes of fragments that wait for the rest of their datagrams.
    pub fragments_max_bytes: usize,
    /// Datagrams that wait for fragments.
    pub fragments_max_datagrams: usize,
    /// Fragments of one datagram.
    pub fragments_max_pieces: usize,
    /// Packet time after which a datagram is given up, in milliseconds.
    pub fragments_timeout_ms: u64,
    /// Packet time for which a whole datagram is remembered, so that a mirrored copy of it is known, in milliseconds.
    pub fragments_repeat_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // 8472 is what Linux took before there was a standard, and what Kubernetes still takes; 4790 is GPE.
            vxlan_ports: vec![4789, 4790, 8472],
            geneve_ports: vec![6081],
            gtpu_ports: vec![2152],
            mpls_ports: vec![6635],
            gre_ports: vec![4754],
            teredo_ports: vec![3544],
            fragments_max_bytes: 16 << 20,
            fragments_max_datagrams: 4_096,
            // 64 KiB in the smallest pieces that any path of today makes.
            fragments_max_pieces: 1_024,
            fragments_timeout_ms: 30_000,
            fragments_repeat_ms: 1_000,
        }
    }
}
