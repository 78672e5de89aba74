//! MCP inside TLS whose secrets are known: whole, in pieces, with records lost at every place, padded, under updated keys.

use std::sync::Arc;

use shadowtap::engine::settings::Settings;
use shadowtap::model::chunk::{Chunk, Data};
use shadowtap::model::message::Body;
use shadowtap::model::net::{Direction, Transport};
use shadowtap::model::stamp::Stamp;
use shadowtap::stream::Stream;
use shadowtap::stream::layer::{Output, Step};
use shadowtap::stream::secrets::{Keys, Secrets};

use crate::http::{json, post};
use crate::splits::{Piece, Turn};
use crate::talk::Random;
use crate::tls_peer::{APPLICATION_DATA, handshake, keylog};

use Direction::{ToClient, ToServer};

const ROUNDS: usize = 6;

/// A handshake and so many transactions; each answer is cut into records of at most 600 bytes.
fn conversation(padding: usize, updates: bool) -> Vec<Turn> {
    let ([hello, answer, end], [mut client, mut server]) = handshake();
    let mut turns = vec![(ToServer, hello), (ToClient, answer), (ToServer, end)];
    for round in 1..=ROUNDS {
        let request = post(
            "/mcp",
            "",
            &format!(r#"{{"jsonrpc":"2.0","id":{round},"method":"tools/list"}}"#),
        );
        let text = "sunny ".repeat(300);
        let reply = json(
            "200 OK",
            "",
            &format!(r#"{{"jsonrpc":"2.0","id":{round},"result":{{"text":"{text}"}}}}"#),
        );
        turns.push((ToServer, client.record(APPLICATION_DATA, request.as_bytes(), padding)));
        for part in reply.as_bytes().chunks(600) {
            turns.push((ToClient, server.record(APPLICATION_DATA, part, padding)));
        }
        if updates {
            turns.extend([(ToServer, client.update()), (ToClient, server.update())]);
        }
    }
    turns
        .into_iter()
        .map(|(dir, bytes)| (dir, Piece::Bytes(bytes)))
        .collect()
}

/// Bodies that were read whole, in order.
fn told(turns: &[Turn]) -> (Vec<String>, Step) {
    let secrets = Arc::new(Secrets::new(10, false));
    secrets.read(keylog().as_bytes());
    let settings = Settings::default();
    let mut env = settings.env;
    env.keys = Some(Keys::new(&secrets, &settings.tls, 1));
    let mut stream = Stream::outer(Transport::Tcp, true, [40_000, 443]);
    let (mut told, mut step) = (Vec::new(), Step::Continue);
    for (dir, piece) in turns {
        let data = match piece {
            Piece::Bytes(bytes) if bytes.is_empty() => continue,
            Piece::Bytes(bytes) => Data::Bytes(bytes),
            Piece::Gap(bytes) => Data::Gap(*bytes),
            Piece::End => Data::End,
        };
        let chunk = Chunk {
            at: Stamp::default(),
            dir: *dir,
            lane: 0,
            data,
        };
        step = stream.push(chunk, &env, &mut |output| {
            if let Output::Message(message) = output
                && let Body::Whole(body) = message.body
            {
                told.push(String::from_utf8_lossy(body).into_owned());
            }
        });
        if step != Step::Continue {
            break;
        }
    }
    (told, step)
}

#[test]
fn padding_and_updated_keys_change_nothing() {
    let (plain, step) = told(&conversation(0, false));
    assert_eq!((plain.len(), step), (2 * ROUNDS, Step::Continue));
    for (padding, updates) in [(1, false), (333, false), (0, true), (17, true)] {
        assert_eq!(told(&conversation(padding, updates)).0, plain, "{padding}, {updates}");
    }
}

#[test]
fn pieces_tell_what_the_whole_tells() {
    let turns = conversation(9, true);
    let whole = told(&turns);
    for seed in 1..60 {
        let mut random = Random(seed);
        let mut pieces = Vec::new();
        for (dir, piece) in &turns {
            let Piece::Bytes(mut rest) = piece.clone() else {
                continue;
            };
            while !rest.is_empty() {
                let after = rest.split_off((1 + random.below(400)).min(rest.len()));
                pieces.push((*dir, Piece::Bytes(std::mem::replace(&mut rest, after))));
            }
        }
        assert_eq!(told(&pieces), whole, "seed {seed}");
    }
}

/// Whatever is lost of the first rounds, the conversation is found again.
#[test]
fn a_loss_costs_what_was_lost() {
    let turns = conversation(0, false);
    let whole = told(&turns).0;
    // Each direction as one string of bytes, in pieces as TCP would carry them.
    for lost in [1, 5, 300, 622, 1_460, 3_000] {
        for (turn, (dir, piece)) in turns.iter().enumerate().take(turns.len() - 10) {
            let Piece::Bytes(bytes) = piece else { continue };
            // The hellos name the keys.
            let from = if turn == 0 || turn == 1 { bytes.len() } else { 0 };
            for at in (from..bytes.len()).step_by(97) {
                let mut missing = lost;
                let mut damaged = turns[..turn].to_vec();
                damaged.push((*dir, Piece::Bytes(bytes[..at].to_vec())));
                damaged.push((*dir, Piece::Gap(lost as u64)));
                for (number, (other, piece)) in turns.iter().enumerate().skip(turn) {
                    let Piece::Bytes(bytes) = piece else { continue };
                    let start = if number == turn { at } else { 0 };
                    let gone = if other == dir {
                        missing.min(bytes.len() - start)
                    } else {
                        0
                    };
                    missing -= gone;
                    damaged.push((*other, Piece::Bytes(bytes[start + gone..].to_vec())));
                }
                if missing > 0 {
                    continue;
                }
                let (heard, step) = told(&damaged);
                let place = format!(
                    "{lost} bytes from turn {turn}, byte {at}: {step:?}, {} messages",
                    heard.len()
                );
                // A loss of a whole answer may take the next one with it: HTTP/1 forgets what was pending.
                assert!(lost > 1_460 || heard.last() == whole.last(), "{place}");
                assert!(heard.len() + 6 >= whole.len(), "{place}");
            }
        }
    }
}
