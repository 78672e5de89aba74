//! What the handshake settled (RFC 6455, sections 1.9 and 9.1): compression (RFC 7692, section 7.1) and subprotocol.
//!
//! Window sizes are not needed: a decoder with the largest window reads what was packed with a smaller one.

use crate::model::message::{Field, Headers, Response, Transaction};
use crate::model::net::Direction;

/// What RSV1 means in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proto) enum Deflate {
    /// Something that is not read here.
    Foreign,
    /// The message is packed; `fresh` says that each begins with an empty window.
    Messages { fresh: bool },
    /// Nothing: nobody sets it.
    Never,
    /// The answer was not captured. RSV1 then means the one extension that is in use; that a window is kept is assumed,
    /// since messages that are packed without one are read all the same.
    Unknown,
}

/// What was settled for a direction.
pub(in crate::proto) fn settled(response: Option<&Response>, dir: Direction) -> Deflate {
    let Some(response) = response else {
        return Deflate::Unknown;
    };
    let fresh_word = match dir {
        Direction::ToClient => &b"server_no_context_takeover"[..],
        Direction::ToServer => b"client_no_context_takeover",
    };
    let mut deflate = Deflate::Never;
    for element in response.headers.members(Field::SecWebSocketExtensions) {
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"permessage-deflate") {
            let fresh = parts.any(|part| {
                let word = part.split(|byte| *byte == b'=').next().unwrap_or_default();
                word.trim_ascii().eq_ignore_ascii_case(fresh_word)
            });
            return Deflate::Messages { fresh };
        }
        if !name.is_empty() {
            deflate = Deflate::Foreign;
        }
    }
    deflate
}

/// Whether a head names a WebSocket as the protocol to change to.
pub(in crate::proto) fn is_upgrade(headers: &Headers) -> bool {
    names(headers, Field::Upgrade, b"websocket")
}

/// Whether MCP is the subprotocol that was chosen, or the only one that is known to have been offered.
pub(in crate::proto) fn is_mcp(transaction: &Transaction) -> bool {
    let response = transaction.response.as_ref().map(|response| &response.headers);
    let request = transaction.request.as_ref().map(|request| &request.headers);
    response
        .or(request)
        .is_some_and(|headers| names(headers, Field::SecWebSocketProtocol, b"mcp"))
}

/// Whether a list of tokens has that one.
fn names(headers: &Headers, field: Field, token: &[u8]) -> bool {
    headers
        .members(field)
        .any(|element| element.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stamp::Stamp;

    fn response(fields: &[(&str, &str)]) -> Response {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name.as_bytes(), value.as_bytes());
        }
        Response {
            at: Stamp::default(),
            status: 101,
            headers,
        }
    }

    #[test]
    fn per_direction() {
        const NAME: &str = "sec-websocket-EXTENSIONS";
        let kept = Deflate::Messages { fresh: false };
        let fresh = Deflate::Messages { fresh: true };
        for (fields, expect) in [
            (&[][..], [Deflate::Never; 2]),
            (&[(NAME, "permessage-deflate")], [kept, kept]),
            (
                &[(
                    NAME,
                    "permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
                )],
                [kept, fresh],
            ),
            (
                &[(
                    NAME,
                    "Permessage-Deflate ;Client_No_Context_Takeover;server_max_window_bits=\"10\"",
                )],
                [fresh, kept],
            ),
            (&[(NAME, "x-other, permessage-deflate")], [kept, kept]),
            (&[(NAME, "x-other"), (NAME, "permessage-deflate")], [kept, kept]),
            (&[(NAME, "x-webkit-deflate-frame")], [Deflate::Foreign; 2]),
        ] {
            let response = response(fields);
            let both = [Direction::ToServer, Direction::ToClient].map(|dir| settled(Some(&response), dir));
            assert_eq!(both, expect, "{fields:?}");
        }
        assert_eq!(settled(None, Direction::ToServer), Deflate::Unknown);
    }

    #[test]
    fn tokens() {
        assert!(is_upgrade(&response(&[("Upgrade", "h2c, WebSocket")]).headers));
        assert!(!is_upgrade(&response(&[("Upgrade", "h2c")]).headers));
        for (value, expect) in [("mcp", true), ("chat, MCP", true), ("mcp2", false)] {
            let transaction = Transaction {
                response: Some(response(&[("Sec-WebSocket-Protocol", value)])),
                ..Transaction::default()
            };
            assert_eq!(is_mcp(&transaction), expect, "{value}");
        }
    }
}
