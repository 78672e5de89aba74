//! Networks as operators write them: CIDR (RFC 4632), or one address.

use std::net::IpAddr;

use ipnet::IpNet;

/// RFC 1918, RFC 4193, link-local IPv6 and loopback: the home networks of an organisation that names none.
pub(super) fn private() -> Vec<IpNet> {
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
        "fe80::/10",
        "127.0.0.0/8",
        "::1/128",
    ]
    .into_iter()
    .filter_map(|text| text.parse().ok())
    .collect()
}

/// Reads a network, or one address as a network of its own. The error says what is wrong and how to mend it.
pub(super) fn parse(text: &str) -> Result<IpNet, (String, String)> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(addr.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| {
        (
            format!("`{text}` is no network"),
            "write an address, or a network such as 10.0.0.0/8".to_owned(),
        )
    })?;
    if network.addr() == network.network() {
        return Ok(network);
    }
    // 10.0.0.5/8 may mean the one host or all sixteen million; an approval must not be guessed.
    Err((
        format!("`{text}` is an address within a network"),
        format!(
            "write {} for the network, or {} for the one address",
            network.trunc(),
            network.addr()
        ),
    ))
}

/// Whether one of the networks holds the address; an IPv4-mapped address counts as what it maps.
pub(super) fn contains(networks: &[IpNet], addr: IpAddr) -> bool {
    let addr = addr.to_canonical();
    networks.iter().any(|network| network.contains(&addr))
}
