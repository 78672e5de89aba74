//! What is answered: a page, JSON, a file, or a problem with its cure.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::report::display;
use crate::store::StoreError;

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// What the body is.
    pub kind: &'static str,
    /// Headers beside those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body.
    pub body: Vec<u8>,
}

/// HTML.
pub const HTML: &str = "text/html; charset=utf-8";
/// JSON.
pub const JSON: &str = "application/json";
/// One JSON object a line.
pub const NDJSON: &str = "application/x-ndjson";
/// RFC 4180.
pub const CSV: &str = "text/csv; charset=utf-8; header=present";

impl Reply {
    /// Of some kind.
    pub fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// A page.
    pub fn html(body: String) -> Self {
        Self::new(HTML, body)
    }

    /// JSON of a value.
    pub fn json(value: &impl serde::Serialize) -> Self {
        let mut body = Vec::new();
        // Memory takes everything, and our values always serialise.
        let _ = display::json_line(&mut body, value);
        Self::new(JSON, body)
    }

    /// To another address of ours, by GET.
    pub fn see(address: &str) -> Self {
        let mut reply = Self::new(HTML, "");
        reply.status = StatusCode::SEE_OTHER;
        reply.with(header::LOCATION, address)
    }

    /// With a header; one that is no header is left off.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers
            .extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// To be kept as a file.
    pub fn file(self, name: &str) -> Self {
        self.with(header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""))
    }

    /// As the server sends it.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.extend(self.headers);
        response
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Problem {
    /// The request is wrong, and how to mend it.
    Bad(String),
    /// Who asks may not.
    Forbidden(String),
    /// There is nothing there.
    NotFound(&'static str),
    /// The store says so.
    Store(StoreError),
    /// The audit log cannot be written, and what cannot be audited is not done.
    Unaudited(std::io::Error),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Problem {
    /// Status and message.
    pub fn told(&self) -> (StatusCode, String) {
        match self {
            Self::Bad(what) => (StatusCode::BAD_REQUEST, what.clone()),
            Self::Forbidden(what) => (StatusCode::FORBIDDEN, what.clone()),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, format!("There is no such {what} in the store.")),
            Self::Store(error @ StoreError::Filter { .. }) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            Self::Unaudited(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("The audit log cannot be written ({error}), and what cannot be audited is not done."),
            ),
        }
    }
}
