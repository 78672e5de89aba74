//! Whose page is asking: DNS rebinding, foreign origins, frames. And the headers that every answer carries.
//!
//! A page of an attacker can make a browser ask for anything here, but not lie about where it comes from. A rebound name
//! shows in `Host`, a foreign page in `Origin` and `Sec-Fetch-Site`. `Host` may be an address, since a name is what is
//! rebound; of names only `localhost` and those that the operator gave.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

/// Headers of every answer. Nothing is loaded from elsewhere, nothing is framed, nothing is kept by the browser.
pub const HEADERS: [(HeaderName, HeaderValue); 9] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
    (header::VARY, HeaderValue::from_static("cookie, authorization")),
];

/// Over TLS browsers come back over TLS alone.
pub const STRICT_TRANSPORT: (HeaderName, HeaderValue) = (
    header::STRICT_TRANSPORT_SECURITY,
    HeaderValue::from_static("max-age=31536000"),
);

/// Why a request is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// No `Host`, several, or none that may be.
    Host,
    /// It comes from a page of somebody else's.
    Origin,
}

/// Names and scheme under which the page is reached.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Vec<String>,
    scheme: &'static str,
}

impl Guard {
    /// Of a page over TLS, or in clear.
    pub fn new(hosts: &[String], tls: bool) -> Self {
        Self {
            hosts: hosts
                .iter()
                .map(|host| host.trim_end_matches('.').to_ascii_lowercase())
                .collect(),
            scheme: if tls { "https" } else { "http" },
        }
    }

    /// Whether a request may be heard.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Unheard> {
        let host = self.host(headers).ok_or(Unheard::Host)?;
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        let own = matches!(site, Some(b"same-origin" | b"none") | None);
        let reads = *method == Method::GET || *method == Method::HEAD;
        match headers.get(header::ORIGIN).map(HeaderValue::as_bytes) {
            // Under `no-referrer` browsers send `null` with the forms of our own pages, and say whose they are.
            Some(b"null") if site == Some(b"same-origin") => Ok(()),
            Some(origin) if origin.eq_ignore_ascii_case(format!("{}://{host}", self.scheme).as_bytes()) => Ok(()),
            Some(_) => Err(Unheard::Origin),
            None if reads => {
                // A link from elsewhere may lead here; nothing else of somebody else's page may.
                let link = headers.get("sec-fetch-mode").map(HeaderValue::as_bytes) == Some(b"navigate")
                    && headers.get("sec-fetch-dest").map(HeaderValue::as_bytes) == Some(b"document");
                if own || link { Ok(()) } else { Err(Unheard::Origin) }
            }
            // A browser says where a form comes from; a program without a browser shows a token instead.
            None if site == Some(b"same-origin") || headers.contains_key(header::AUTHORIZATION) => Ok(()),
            None => Err(Unheard::Origin),
        }
    }

    /// What `Host` says, if that is one of ours.
    fn host<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let mut all = headers.get_all(header::HOST).iter();
        let (host, None) = (all.next()?.to_str().ok()?, all.next()) else {
            return None;
        };
        let (name, port) = match host.strip_prefix('[') {
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                (
                    inside,
                    after
                        .strip_prefix(':')
                        .or(if after.is_empty() { Some("") } else { None }),
                )
            }
            None => match host.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (host, Some("")),
            },
        };
        let port = port?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let known = name == "localhost" || name.parse::<IpAddr>().is_ok() || self.hosts.contains(&name);
        known.then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn names_that_can_be_rebound_are_refused() {
        let guard = Guard::new(&["Monitor.example.".to_owned()], false);
        for (host, heard) in [
            ("localhost:8470", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8470", true),
            ("[::1]:9999", true),
            ("monitor.example", true),
            ("monitor.example.:80", true),
            ("evil.example:8470", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost:x", false),
            ("[::1]x", false),
            ("::1", false),
            ("", false),
        ] {
            let heard_so = guard.check(&Method::GET, &headers(&[("host", host)])).is_ok();
            assert_eq!(heard_so, heard, "{host:?}");
        }
        assert_eq!(guard.check(&Method::GET, &HeaderMap::new()), Err(Unheard::Host));
        let mut twice = headers(&[("host", "localhost")]);
        twice.append(header::HOST, HeaderValue::from_static("localhost"));
        assert_eq!(guard.check(&Method::GET, &twice), Err(Unheard::Host));
    }

    #[test]
    fn other_peoples_pages_are_refused() {
        let guard = Guard::new(&[], false);
        let host = ("host", "localhost:8470");
        let own = ("origin", "http://localhost:8470");
        let same = ("sec-fetch-site", "same-origin");
        let cross = ("sec-fetch-site", "cross-site");
        let navigate = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        let bearer = ("authorization", "Bearer x");
        for (method, given, heard) in [
            (Method::GET, vec![host], true),
            (Method::GET, vec![host, own], true),
            (Method::GET, vec![host, same], true),
            (Method::GET, vec![host, cross], false),
            (Method::GET, vec![host, cross, navigate[0], navigate[1]], true),
            (
                Method::GET,
                vec![host, cross, navigate[0], ("sec-fetch-dest", "iframe")],
                false,
            ),
            (Method::GET, vec![host, ("origin", "https://localhost:8470")], false),
            (Method::GET, vec![host, ("origin", "http://localhost:8471")], false),
            (Method::GET, vec![host, ("origin", "null")], false),
            (Method::POST, vec![host], false),
            (Method::POST, vec![host, own], true),
            (Method::POST, vec![host, same], true),
            (Method::POST, vec![host, ("origin", "null"), same], true),
            (Method::POST, vec![host, ("origin", "null"), cross], false),
            (Method::POST, vec![host, ("origin", "http://evil.example")], false),
            (Method::POST, vec![host, cross, navigate[0], navigate[1]], false),
            (Method::POST, vec![host, bearer], true),
            (
                Method::POST,
                vec![host, bearer, ("origin", "http://evil.example")],
                false,
            ),
        ] {
            assert_eq!(
                guard.check(&method, &headers(&given)).is_ok(),
                heard,
                "{method} {given:?}"
            );
        }
    }
}
