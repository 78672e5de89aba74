//! HTTP/1.1 texts for scripts.

use std::io::Write as _;

use crate::talk::{Act, Ends, Script};

/// A POST of JSON.
pub(crate) fn post(target: &str, extra: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: 10.9.0.5:8000\r\nUser-Agent: test/1\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n{extra}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A GET that wants events.
pub(crate) fn get_events(target: &str, extra: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 10.9.0.5:8000\r\nAccept: text/event-stream\r\n{extra}\r\n")
}

/// A response of JSON.
pub(crate) fn json(status: &str, extra: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A response without a body.
pub(crate) fn empty(status: &str, extra: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{extra}Content-Length: 0\r\n\r\n")
}

/// The head of an event stream.
pub(crate) fn events_head(extra: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{extra}Transfer-Encoding: chunked\r\n\r\n")
}

/// One event, as one chunk.
pub(crate) fn event(name: &str, data: &str) -> String {
    chunk(&format!("event: {name}\r\ndata: {data}\r\n\r\n"))
}

pub(crate) fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The end of a chunked body.
pub(crate) const LAST_CHUNK: &str = "0\r\n\r\n";

/// A whole event stream with these messages.
pub(crate) fn events(extra: &str, messages: &[&str]) -> String {
    let events: String = messages.iter().map(|message| event("message", message)).collect();
    format!("{}{events}{LAST_CHUNK}", events_head(extra))
}

/// How a body can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    BrotliChunked,
    Chunked,
    Gzip,
    GzipChunked,
    Plain,
    /// Two codings, each in a field of its own, and a transfer coding on top.
    Stacked,
    /// Packed, and no field says so.
    Unlabelled,
    /// Ends with the connection.
    UntilClose,
    Zstd,
}

pub(crate) const FORMS: [Form; 9] = [
    Form::BrotliChunked,
    Form::Chunked,
    Form::Gzip,
    Form::GzipChunked,
    Form::Plain,
    Form::Stacked,
    Form::Unlabelled,
    Form::UntilClose,
    Form::Zstd,
];

pub(crate) fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn brotli(body: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(body).unwrap();
    encoder.into_inner()
}

pub(crate) fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 3).unwrap()
}

/// Fields and body of a message in one of the forms; the fields end with the empty line.
pub(crate) fn formed(form: Form, body: &[u8]) -> Vec<u8> {
    let (coding, body) = match form {
        Form::Gzip | Form::GzipChunked => ("Content-Encoding: gzip\r\n", gzip(body)),
        Form::BrotliChunked => ("Content-Encoding: br\r\n", brotli(body)),
        Form::Zstd => ("Content-Encoding: zstd\r\n", zstd(body)),
        Form::Stacked => (
            "Content-Encoding: gzip\r\nContent-Encoding: br\r\n",
            gzip(&brotli(&gzip(body))),
        ),
        Form::Unlabelled => ("", zstd(body)),
        Form::Chunked | Form::Plain | Form::UntilClose => ("", body.to_vec()),
    };
    let mut out = coding.as_bytes().to_vec();
    match form {
        Form::Gzip | Form::Plain | Form::Unlabelled | Form::Zstd => {
            out.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            out.extend(body);
        }
        Form::UntilClose => {
            out.extend(b"Connection: close\r\n\r\n");
            out.extend(body);
        }
        Form::BrotliChunked | Form::Chunked | Form::GzipChunked | Form::Stacked => {
            let packed = if form == Form::Stacked { "gzip, " } else { "" };
            out.extend(format!("Transfer-Encoding: {packed}chunked\r\n\r\n").bytes());
            for piece in body.chunks(37) {
                out.extend(format!("{:x}\r\n", piece.len()).bytes());
                out.extend(piece);
                out.extend(b"\r\n");
            }
            out.extend(LAST_CHUNK.bytes());
        }
    }
    out
}

/// A response in one of the forms.
pub(crate) fn answer(form: Form, status: &str, kind: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n");
    [head.as_bytes(), &formed(form, body.as_bytes())].concat()
}

/// One connection: opened, requests with their answers, closed.
pub(crate) fn connection(ends: Ends, exchanges: &[(&str, &str)]) -> Script {
    let mut script = Script::default().then(ends, Act::Open);
    for (request, answer) in exchanges {
        script = script.up(ends, request);
        if !answer.is_empty() {
            script = script.down(ends, answer);
        }
    }
    script.then(ends, Act::Close)
}
