//! Every protocol of `PROTOCOLS`: a gap at each position and a start at each position. Nothing panics, and the protocol
//! is found again, or the flow is bypassed.

use shadowtap::model::net::Transport;
use shadowtap::proto::PROTOCOLS;
use shadowtap::stream::layer::{Protocol, Step};

use crate::splits::{Piece, Sample, Turn, listen, samples};
use crate::talk::Random;

/// Conversations behind the damage, in which the protocol is to be found again.
const AGAIN: usize = 3;

/// What is told, without the numbers of transactions: behind a gap they are counted as seen.
fn told(row: &'static Protocol, sample: &Sample, turns: &[Turn]) -> (Vec<String>, Step) {
    let (told, step) = listen(row, sample, turns);
    let plain = |line: String| line.replace(|c: char| c.is_ascii_digit(), "");
    (told.into_iter().map(plain).collect(), step)
}

fn check(row: &'static Protocol, sample: &Sample, damaged: Vec<Turn>, what: &str) {
    let rounds = |count: usize| -> Vec<Turn> { (0..count).flat_map(|_| sample.turns.clone()).collect() };
    let (damaged, step) = told(row, sample, &[damaged, rounds(AGAIN)].concat());
    let (whole, twice) = (told(row, sample, &rounds(1)).0, told(row, sample, &rounds(2)).0);
    // A layer may tell the same name once only.
    let repeats = twice.len() == 2 * whole.len();
    let found = whole
        .iter()
        .filter(|line| *line != "swap")
        .all(|line| damaged.contains(line))
        && (!repeats || damaged.last() == whole.last());
    assert!(
        matches!(step, Step::Bypass(_)) || found,
        "{}, {}, {what}: neither found again nor bypassed; told {damaged:#?}, not {whole:#?}",
        row.name,
        sample.name
    );
}

/// A sample that ends its own connection cannot go on behind the damage.
fn goes_on(sample: &Sample) -> bool {
    !sample.turns.iter().any(|(_, piece)| matches!(piece, Piece::End))
}

#[test]
fn a_gap_at_each_position() {
    for row in PROTOCOLS.iter().filter(|row| row.transport == Transport::Tcp) {
        for sample in samples(row).into_iter().filter(goes_on) {
            for (turn, (dir, piece)) in sample.turns.iter().enumerate() {
                let Piece::Bytes(bytes) = piece else { continue };
                for at in 0..bytes.len() {
                    for size in [1, 40, usize::MAX] {
                        let end = at.saturating_add(size).min(bytes.len());
                        let mut turns = sample.turns.clone();
                        turns.splice(
                            turn..=turn,
                            [
                                (*dir, Piece::Bytes(bytes[..at].to_vec())),
                                (*dir, Piece::Gap((end - at) as u64)),
                                (*dir, Piece::Bytes(bytes[end..].to_vec())),
                            ],
                        );
                        check(row, &sample, turns, &format!("turn {turn}: {at}..{end} lost"));
                    }
                }
            }
        }
    }
}

#[test]
fn a_start_at_each_position() {
    for row in PROTOCOLS.iter().filter(|row| row.transport == Transport::Tcp) {
        for mut sample in samples(row).into_iter().filter(goes_on) {
            sample.from_start = false;
            for (turn, (dir, piece)) in sample.turns.iter().enumerate() {
                let Piece::Bytes(bytes) = piece else { continue };
                for at in 0..bytes.len() {
                    let mut turns = vec![(*dir, Piece::Bytes(bytes[at..].to_vec()))];
                    turns.extend_from_slice(&sample.turns[turn + 1..]);
                    check(row, &sample, turns, &format!("from turn {turn}, byte {at}"));
                }
            }
        }
    }
}

/// Bytes changed, gaps, ends and turns anywhere: nothing panics, and no message is longer than what was sent.
#[test]
fn nonsense_never_panics() {
    for row in PROTOCOLS {
        for sample in samples(row) {
            for seed in 1..400 {
                let mut random = Random(seed);
                let mut turns = Vec::new();
                for (dir, piece) in (0..3).flat_map(|_| &sample.turns) {
                    let mut piece = piece.clone();
                    if let Piece::Bytes(bytes) = &mut piece {
                        for _ in 0..random.below(4) {
                            let at = random.below(bytes.len());
                            bytes[at] = random.next() as u8;
                        }
                        bytes.truncate(bytes.len() - random.below(2) * random.below(bytes.len()));
                    }
                    match random.below(12) {
                        0 => turns.push((*dir, Piece::Gap(random.next() >> random.below(64)))),
                        1 => turns.push((dir.flip(), Piece::Bytes(vec![b'\n'; 1 + random.below(9)]))),
                        2 => turns.push((*dir, Piece::End)),
                        _ => {}
                    }
                    turns.push((*dir, piece));
                }
                let turns: Vec<Turn> = turns
                    .into_iter()
                    .filter(|(_, piece)| !matches!(piece, Piece::Gap(0)))
                    .collect();
                listen(row, &sample, &turns);
            }
        }
    }
}
