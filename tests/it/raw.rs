//! Raw JSON-RPC on TCP for scripts, samples and scenarios: lines, and bodies behind heads.

use shadowtap::model::net::Direction::{self, ToClient, ToServer};

use crate::conversations::{CALL, Expect, FOUND, INITIALIZE, INITIALIZED, LIST, Scenario, TOOLS, USUAL, WELCOME, here};
use crate::splits::{Piece, Sample, Turn};
use crate::talk::{Act, Ends, Script};

pub(crate) fn framed(text: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{text}", text.len())
}

/// How raw JSON-RPC is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Lines,
    /// With carriage returns.
    LinesOfWindows,
    /// Over several lines.
    Pretty,
    Framed,
    /// One object behind the other.
    Bare,
}

pub(crate) const FORMS: [Form; 5] = [
    Form::Lines,
    Form::LinesOfWindows,
    Form::Pretty,
    Form::Framed,
    Form::Bare,
];

pub(crate) fn write(form: Form, text: &str) -> String {
    match form {
        Form::Lines => format!("{text}\n"),
        Form::LinesOfWindows => format!("{text}\r\n"),
        Form::Pretty => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(value) => serde_json::to_string_pretty(&value).unwrap() + "\n",
            Err(_) => format!("{text}\n"),
        },
        Form::Framed => framed(text),
        Form::Bare => text.to_owned(),
    }
}

/// A connection that carries these messages; the bool says whether the client sends it.
pub(crate) fn connection(ends: Ends, form: Form, messages: &[(bool, &str)]) -> Script {
    let mut script = Script::default().then(ends, Act::Open);
    for (client, text) in messages {
        let bytes = write(form, text);
        script = if *client {
            script.up(ends, bytes)
        } else {
            script.down(ends, bytes)
        };
    }
    script.then(ends, Act::Close)
}

pub(crate) fn scenarios() -> Vec<Scenario> {
    let usual = [
        (true, INITIALIZE),
        (false, WELCOME),
        (true, INITIALIZED),
        (true, LIST),
        (false, TOOLS),
        (true, CALL),
        (false, FOUND),
    ];
    let noisy = [
        &[(false, "Server 3.0 \u{1b}[32mready\u{1b}[0m")][..],
        &usual,
        &[(false, "[INFO] bye")],
    ]
    .concat();
    let scenario = |name, script| Scenario {
        name,
        script,
        expect: Expect {
            transport: "raw-tcp",
            ..USUAL
        },
    };
    vec![
        scenario("lines", connection(here(), Form::Lines, &usual)),
        scenario(
            "lines that end as on Windows",
            connection(here(), Form::LinesOfWindows, &usual),
        ),
        scenario("pretty-printed", connection(here(), Form::Pretty, &usual)),
        scenario("objects without line ends", connection(here(), Form::Bare, &usual)),
        scenario("behind heads", connection(here(), Form::Framed, &usual)),
        scenario("lines among logs", connection(here(), Form::Lines, &noisy)),
    ]
}

fn sample(name: &'static str, from_start: bool, turns: &[(Direction, String)]) -> Sample {
    let turn = |(dir, text): &(Direction, String)| -> Turn { (*dir, Piece::Bytes(text.clone().into_bytes())) };
    Sample {
        name,
        turns: turns.iter().map(turn).collect(),
        from_start,
        ports: [40_000, 8000],
    }
}

pub(crate) fn lines() -> Vec<Sample> {
    let line = |text: &str| write(Form::Lines, text);
    vec![
        sample(
            "a session",
            true,
            &[
                (ToServer, line(INITIALIZE)),
                (ToClient, line(WELCOME)),
                (ToServer, line(INITIALIZED) + &line(LIST)),
                (ToClient, line(TOOLS) + &line(FOUND)),
            ],
        ),
        sample(
            "untidy",
            true,
            &[
                (ToServer, "\u{feff}".to_owned() + &write(Form::LinesOfWindows, LIST)),
                (ToClient, write(Form::Pretty, TOOLS) + "[WARN] {\"x\": what\n"),
                (ToServer, format!("[{LIST},{INITIALIZED}]\r\n{CALL}{CALL}\n")),
                (
                    ToClient,
                    format!("{{\"jsonrpc\": \"2.0\", broken\n{FOUND}\n{{\"jsonrpc\":\"unfinished\n{FOUND}\n"),
                ),
            ],
        ),
        sample(
            "joined midway",
            false,
            &[
                (ToServer, line(LIST) + &line(CALL)),
                (ToClient, line(TOOLS) + &line(FOUND)),
            ],
        ),
        joined_late(&line(LIST), &line(TOOLS)),
    ]
}

/// Joined midway before the last message of each side.
fn joined_late(asked: &str, answered: &str) -> Sample {
    let turns = [(ToServer, asked.to_owned()), (ToClient, answered.to_owned())];
    let mut sample = sample("joined midway before the last ones", false, &turns);
    sample.turns.push((ToServer, Piece::End));
    sample
}

pub(crate) fn frames() -> Vec<Sample> {
    vec![
        sample(
            "a session",
            true,
            &[
                (ToServer, framed(INITIALIZE)),
                (ToClient, framed(WELCOME)),
                (ToServer, framed(INITIALIZED) + &framed(LIST)),
                (
                    ToClient,
                    format!(
                        "content-length:{}\nContent-Type: application/vscode-jsonrpc\n\n{TOOLS}",
                        TOOLS.len()
                    ) + &framed(FOUND),
                ),
            ],
        ),
        sample(
            "joined midway",
            false,
            &[
                (ToServer, framed(LIST) + &framed(CALL)),
                (ToClient, framed(TOOLS) + &framed(FOUND)),
            ],
        ),
        joined_late(&framed(LIST), &framed(TOOLS)),
    ]
}
