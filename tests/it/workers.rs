//! The same input gives the same bytes: for any number of workers, from run to run, and with bounds that are reached.

use std::net::{IpAddr, Ipv4Addr};

use shadowtap::engine::settings::Settings;
use shadowtap::inventory::admission::SLICES;
use shadowtap::policy::Policy;

use crate::conversations;
use crate::run;
use crate::talk::{self, Ends, PLAIN, Script, Unkind, Wire};

const WORKERS: [usize; 4] = [1, 2, 3, 7];

/// Bounds so low that nearly every one is reached.
fn tight() -> Settings {
    let mut settings = run::settings();
    settings.flow.max_flows = SLICES;
    settings.reassembly.max_bytes = SLICES;
    settings.reassembly.flow_max_bytes = 600;
    settings.inventory = run::tight_inventory();
    settings
}

#[test]
fn captures_give_the_same_bytes_for_any_number_of_workers() {
    let captures = run::captures();
    for settings in [run::settings(), tight()] {
        for capture in &captures {
            let report = |workers| {
                let files = std::slice::from_ref(capture);
                run::files(files, settings.clone(), Policy::default(), workers)
            };
            let one = report(1);
            for workers in WORKERS {
                assert!(
                    one == report(workers),
                    "{}: {workers} workers give another report",
                    capture.display()
                );
            }
        }
    }
}

#[test]
fn many_files_give_the_same_bytes_for_any_number_of_workers() {
    let captures = run::captures();
    let report = |workers| run::files(&captures, run::settings(), Policy::default(), workers);
    let one = report(1);
    for workers in WORKERS {
        assert!(one == report(workers), "{workers} workers give another report");
    }
}

/// Every scenario between many pairs of hosts, packets interleaved.
pub(crate) fn crowd(pairs: u16) -> Vec<(i64, Vec<u8>)> {
    let scripts: Vec<Script> = conversations::all()
        .into_iter()
        .map(|scenario| scenario.script)
        .filter(|script| script.acts[0].0.server.0.is_ipv4())
        .collect();
    let mut frames = Vec::new();
    for pair in 0..pairs {
        let script = &scripts[usize::from(pair) % scripts.len()];
        let place = |ends: Ends| {
            let [high, low] = (pair % 40).to_be_bytes();
            Ends {
                client: (
                    IpAddr::V4(Ipv4Addr::new(10, 8, high, low)),
                    ends.client.1 % 1000 + 2000 + pair,
                ),
                server: (IpAddr::V4(Ipv4Addr::new(10, 7, 0, low % 11)), 8000 + pair % 3),
            }
        };
        let wire = Wire {
            mss: 700,
            unkind: if pair % 2 == 0 { Unkind::Not } else { Unkind::Reordered },
            seed: u64::from(pair) + 1,
            ..PLAIN
        };
        frames.extend(talk::packets(&script.moved(place), &wire));
    }
    // All scripts start at the same time: this interleaves them.
    frames.sort_by_key(|(nanos, _)| *nanos);
    frames
}

#[test]
fn a_crowd_gives_the_same_bytes_for_any_number_of_workers() {
    let frames = crowd(600);
    for (settings, reached) in [(run::settings(), false), (tight(), true)] {
        let (one, report) = run::frames_with(&frames, settings.clone(), 1);
        let lost = &report["capture"]["lost"];
        let counted = ["evicted_flows", "shed_events"].map(|place| lost[place].as_u64() > Some(0));
        assert_eq!(counted, [reached; 2], "{lost}");
        assert!(
            report["servers"].as_array().unwrap().len() > 20,
            "{}",
            report["servers"]
        );
        for workers in WORKERS {
            let (other, _) = run::frames_with(&frames, settings.clone(), workers);
            assert!(one == other, "{workers} workers give another report");
        }
    }
}
