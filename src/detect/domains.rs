//! Whose a host is: registrable domains by the public suffix list, private zones, addresses.

use std::net::IpAddr;

use crate::model::net::Scope;

/// Longest host name that is looked at, in bytes (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 255;

/// Zones that nobody registers names in: special use (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`), and what
/// private networks are customarily called.
const PRIVATE_ZONES: [&str; 14] = [
    "arpa",
    "corp",
    "docker",
    "home",
    "internal",
    "intranet",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "svc",
    "workgroup",
];

/// Public names that lead to the asker's own machine or to the address in them, for developers.
const LOOPBACK_NAMES: [&str; 7] = [
    "localho.st",
    "localtest.me",
    "lvh.me",
    "nip.io",
    "sslip.io",
    "traefik.me",
    "vcap.me",
];

/// Whose a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever registered this domain.
    Domain(String),
    /// The machine or the network at hand: loopback and private addresses, names of private zones.
    Own,
    /// A public address without a name.
    Public(IpAddr),
}

impl Owner {
    /// Of a host as it stands in `Host`, `Origin` or a URL: with or without a port, in any letter case. `None` for what
    /// is no host.
    pub(super) fn of(host: &str) -> Option<Self> {
        let host = without_port(host.trim()).trim_end_matches('.');
        if host.is_empty() || host.len() > NAME_MAX_BYTES {
            return None;
        }
        if let Ok(addr) = host.parse::<IpAddr>() {
            let own = Scope::of(addr) != Scope::Public || addr.is_unspecified();
            return Some(if own { Self::Own } else { Self::Public(addr) });
        }
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.' || b >= 0x80;
        if !host.bytes().all(word) {
            return None;
        }
        let name = host.to_ascii_lowercase();
        let zone = name.rsplit('.').next().unwrap_or_default();
        if PRIVATE_ZONES.contains(&zone) {
            return Some(Self::Own);
        }
        let Some(domain) = psl::domain_str(&name) else {
            // A single label, or a public suffix itself.
            return Some(Self::Own);
        };
        if LOOPBACK_NAMES.contains(&domain) || LOOPBACK_NAMES.iter().any(|known| name.ends_with(&format!(".{known}"))) {
            return Some(Self::Own);
        }
        Some(Self::Domain(domain.to_owned()))
    }
}

/// Host of an absolute `http` or `https` URL or origin, with its port; `None` for any other scheme and for `null`.
pub(super) fn host_of_url(url: &str) -> Option<&str> {
    let (scheme, rest) = url.trim().split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

/// A host without its port; an IPv6 address without its brackets.
pub(super) fn without_port(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or_default();
    }
    match host.rsplit_once(':') {
        // More than one colon: an address without brackets.
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners() {
        let domain = |name: &str| Some(Owner::Domain(name.to_owned()));
        for (host, owner) in [
            ("a.b.example.co.uk:443", domain("example.co.uk")),
            ("Evil.Example", domain("evil.example")),
            ("one.github.io", domain("one.github.io")),
            ("localhost:3000", Some(Owner::Own)),
            ("app.localhost", Some(Owner::Own)),
            ("shelf", Some(Owner::Own)),
            ("shelf.local.", Some(Owner::Own)),
            ("host.docker.internal:8000", Some(Owner::Own)),
            ("10.0.0.5:8000", Some(Owner::Own)),
            ("0.0.0.0:6277", Some(Owner::Own)),
            ("[::1]:80", Some(Owner::Own)),
            ("10.0.0.5.nip.io", Some(Owner::Own)),
            ("8.8.8.8", Some(Owner::Public("8.8.8.8".parse().unwrap()))),
            ("", None),
            ("a b", None),
        ] {
            assert_eq!(Owner::of(host), owner, "{host}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (url, host) in [
            ("https://a.example:8443/x?y", Some("a.example:8443")),
            ("HTTP://u:p@a.example", Some("a.example")),
            ("http://good.example@evil.example/", Some("evil.example")),
            ("http://[::1]:80/", Some("[::1]:80")),
            ("null", None),
            ("vscode-webview://abc", None),
            ("/mcp", None),
        ] {
            assert_eq!(host_of_url(url), host, "{url}");
        }
    }
}
