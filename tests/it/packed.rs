//! Compressed bodies through the whole program: what they say counts as if they were plain, and what they would grow to
//! is bounded.

use std::io::Write as _;

use crate::conversations::{
    CALL, FOUND, INITIALIZE, INITIALIZED, LIST, PROGRESS, SESSION, TOOLS, VERSION, WELCOME, here, streamable,
};
use crate::http::{FORMS, Form, brotli, empty, formed, gzip, zstd};
use crate::run;
use crate::scenarios::essence;
use crate::talk::{self, Act, PLAIN, Script, Wire};

fn request(form: Form, fields: &str, body: &str) -> Vec<u8> {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 10.9.0.5:8000\r\nUser-Agent: test/1\r\n\
         Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n{fields}"
    );
    [head.as_bytes(), &formed(form, body.as_bytes())].concat()
}

fn answer(form: Form, fields: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}");
    [head.as_bytes(), &formed(form, body.as_bytes())].concat()
}

/// The usual session, both directions in that form.
fn session(form: Form) -> Script {
    let later = format!("{SESSION}{VERSION}");
    Script::default()
        .then(here(), Act::Open)
        .up(here(), request(form, "", INITIALIZE))
        .down(here(), answer(form, SESSION, WELCOME))
        .up(here(), request(form, &later, INITIALIZED))
        .down(here(), empty("202 Accepted", ""))
        .up(here(), request(form, &later, LIST))
        .down(here(), answer(form, "", TOOLS))
        .up(here(), request(form, &later, CALL))
        .down(here(), answer(form, "", FOUND))
        .then(here(), Act::Close)
}

#[test]
fn packed_says_what_plain_says() {
    let plain = essence(&run::frames(&talk::packets(&streamable(here()), &PLAIN)));
    for form in FORMS.into_iter().filter(|form| *form != Form::UntilClose) {
        for mss in [1460, 11] {
            let wire = Wire { mss, ..PLAIN };
            let report = run::frames(&talk::packets(&session(form), &wire));
            assert_eq!(report["capture"]["lost"]["shed_events"], 0, "{form:?}");
            assert_eq!(plain, essence(&report), "{form:?}");
        }
    }
}

/// A stream that is flushed behind each event gives it at once: nothing here ever ends.
#[test]
fn events_count_as_they_come() {
    type Flush = Box<dyn FnMut(&str) -> Vec<u8>>;
    let level = flate2::Compression::default();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    let mut zstd = zstd::Encoder::new(Vec::new(), 3).unwrap();
    macro_rules! flush {
        ($encoder:ident) => {
            Box::new(move |text: &str| {
                $encoder.write_all(text.as_bytes()).unwrap();
                $encoder.flush().unwrap();
                std::mem::take($encoder.get_mut())
            })
        };
    }
    let codings: [(&str, Flush); 4] = [
        ("gzip", flush!(gzip)),
        ("deflate", flush!(zlib)),
        ("br", flush!(brotli)),
        ("zstd", flush!(zstd)),
    ];
    for (coding, mut flush) in codings {
        let ask = |body: &str| request(Form::Plain, &format!("{SESSION}{VERSION}"), body);
        let mut script = Script::default().then(here(), Act::Open).up(here(), ask(CALL)).down(
            here(),
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n\
                     Transfer-Encoding: chunked\r\n\r\n"
            ),
        );
        for message in [PROGRESS, PROGRESS, FOUND] {
            let packed = flush(&format!("event: message\r\ndata: {message}\r\n\r\n"));
            let chunk = [format!("{:x}\r\n", packed.len()).as_bytes(), &packed, b"\r\n"].concat();
            script = script.down(here(), chunk);
        }
        let report = run::frames(&talk::packets(&script, &PLAIN));
        let messages = &report["servers"][0]["messages"];
        assert_eq!(messages["notifications"], 2, "{coding}");
        assert_eq!(messages["responses"], 1, "{coding}");
    }
}

/// What grows without end is given up at the bound and counted; the rest of the connection is read.
#[test]
fn a_bomb_takes_only_itself_away() {
    let bomb = [FOUND.as_bytes(), &vec![b' '; 40 << 20]].concat();
    for (coding, body) in [("gzip", gzip(&bomb)), ("br", brotli(&bomb)), ("zstd", zstd(&bomb))] {
        let later = format!("{SESSION}{VERSION}");
        let script = Script::default()
            .then(here(), Act::Open)
            .up(here(), request(Form::Plain, &later, CALL))
            .down(
                here(),
                [
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\n\
                         Content-Length: {}\r\n\r\n",
                        body.len()
                    )
                    .as_bytes(),
                    &body,
                ]
                .concat(),
            )
            .up(here(), request(Form::Plain, &later, LIST))
            .down(here(), answer(Form::Plain, "", TOOLS))
            .then(here(), Act::Close);
        let report = run::frames(&talk::packets(&script, &PLAIN));
        assert_eq!(report["capture"]["lost"]["shed_events"], 1, "{coding}");
        assert_eq!(report["servers"][0]["tools"][0]["name"], "find_book", "{coding}");
        assert_eq!(report["servers"][0]["messages"]["responses"], 2, "{coding}");
    }
}
