//! Where things lead: addresses of the web page, or nowhere in a report that stands alone.

/// Which addresses there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doors {
    /// None: the report in one file.
    Closed,
    /// Those of the web page.
    Pages,
}

impl Doors {
    /// A server by its id.
    pub fn server(self, id: Option<&str>) -> Option<String> {
        self.one("servers", id)
    }

    /// Servers by address and port: several may share them.
    pub fn endpoint(self, endpoint: Option<&str>) -> Option<String> {
        let endpoint = endpoint.filter(|_| self == Self::Pages)?;
        Some(format!("/servers?server={}", escape(endpoint)))
    }

    /// A client by its address.
    pub fn client(self, address: Option<&str>) -> Option<String> {
        self.one("clients", address)
    }

    /// A finding by its id.
    pub fn finding(self, id: Option<&str>) -> Option<String> {
        self.one("findings", id)
    }

    /// A session by its id.
    pub fn session(self, id: Option<&str>) -> Option<String> {
        self.one("sessions", id)
    }

    /// An address of our own.
    pub fn page(self, address: &str) -> Option<String> {
        (self == Self::Pages).then(|| address.to_owned())
    }

    fn one(self, word: &str, id: Option<&str>) -> Option<String> {
        let id = id.filter(|id| self == Self::Pages && !id.is_empty())?;
        Some(format!("/{word}/{}", escape(id)))
    }
}

/// A text as one segment of a path or one value of a query (RFC 3986, section 2.3): nothing in it has a meaning.
pub fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_left_to_mean_something() {
        assert_eq!(
            escape("a b/../?x=1&y#z\"'<é"),
            "a%20b%2F..%2F%3Fx%3D1%26y%23z%22%27%3C%C3%A9"
        );
        assert_eq!(
            Doors::Pages.client(Some("fd88::4")).as_deref(),
            Some("/clients/fd88%3A%3A4")
        );
        assert_eq!(Doors::Closed.client(Some("fd88::4")), None);
        assert_eq!(Doors::Pages.server(None), None);
    }
}
