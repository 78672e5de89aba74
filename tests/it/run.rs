//! The only calls into the engine: packets or files in, report out. Without the panic fence, so that a bug is seen.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use shadowtap::detect::panel::Ruleset;
use shadowtap::detect::signature::Signatures;
use shadowtap::engine::replay::{Input, replay};
use shadowtap::engine::review::review;
use shadowtap::engine::settings::Settings;
use shadowtap::engine::{Shard, Shared, keylog};
use shadowtap::inventory::admission::{InventoryConfig, SLICES};
use shadowtap::model::counters::Counters;
use shadowtap::model::packet::{LinkType, RawPacket};
use shadowtap::model::server::{Capture, View};
use shadowtap::model::stamp::{Stamp, Timestamp};
use shadowtap::policy::Policy;
use shadowtap::report::object;
use shadowtap::stream::secrets::Secrets;

/// Packets of a capture in memory: time in nanoseconds, and bytes of an Ethernet frame.
pub(crate) type Frames = [(i64, Vec<u8>)];

/// Settings in which nothing hides a panic.
pub(crate) fn settings() -> Settings {
    Settings {
        fence: false,
        ..Settings::default()
    }
}

/// What a run needs before it starts; signatures are compiled once.
pub(crate) fn shared(settings: Settings, policy: Policy) -> Arc<Shared> {
    static SIGNATURES: OnceLock<Arc<Signatures>> = OnceLock::new();
    let signatures = SIGNATURES.get_or_init(|| Arc::new(Signatures::builtin()));
    Arc::new(Shared::new(
        settings,
        Ruleset {
            signatures: Arc::clone(signatures),
            policy: Arc::new(policy),
            fingerprints: shadowtap::detect::fingerprint::Fingerprints::random(),
        },
    ))
}

/// A policy out of its text.
pub(crate) fn policy(text: &str) -> Policy {
    Policy::parse(Path::new("policy.toml"), text).unwrap_or_else(|defects| panic!("{defects:?}"))
}

/// What files show; sources are bare file names.
pub(crate) fn view(files: &[PathBuf], settings: Settings, policy: Policy, workers: usize) -> View {
    let logs: Vec<PathBuf> = files.iter().map(|file| file.with_extension("keylog")).collect();
    let settings = knowing(settings, &logs);
    let input = Input {
        files: files.iter().map(|file| file.display().to_string()).collect(),
        ..Input::default()
    };
    let replayed = replay(&shared(settings, policy), &input, workers, &mut |_, _| {}).unwrap();
    let mut view = replayed.view;
    for name in &mut view.capture.sources {
        *name = Path::new(name).file_name().unwrap().to_string_lossy().into_owned();
    }
    view
}

/// The report of files, as the command prints it; sources are bare file names.
pub(crate) fn files(files: &[PathBuf], settings: Settings, policy: Policy, workers: usize) -> String {
    text(&view(files, settings, policy, workers))
}

/// Settings with what is in those key logs that are there.
pub(crate) fn knowing(mut settings: Settings, logs: &[PathBuf]) -> Settings {
    let secrets = Secrets::new(settings.tls.max_connections, false);
    let found = logs.iter().filter(|log| log.exists());
    let known = found.map(|log| keylog::load(log, &secrets).unwrap()).sum::<u64>();
    settings.secrets = (known > 0).then(|| Arc::new(secrets));
    settings
}

/// The report of packets in memory.
pub(crate) fn frames(frames: &Frames) -> Value {
    frames_with(frames, settings(), 1).1
}

/// The report of packets in memory, as bytes and as a tree.
pub(crate) fn frames_with(frames: &Frames, settings: Settings, workers: usize) -> (String, Value) {
    let shared = shared(settings, Policy::default());
    let mut shards: Vec<Shard> = (0..workers).map(|index| Shard::new(&shared, index, workers)).collect();
    for shard in &mut shards {
        for number in 0..frames.len() {
            shard.packet(&raw(frames, number));
        }
        shard.drain();
    }
    let text = text(&close(&shared, &mut shards));
    let tree = serde_json::from_str(&text).unwrap();
    (text, tree)
}

/// The view of shards that were fed and drained.
pub(crate) fn close(shared: &Shared, shards: &mut [Shard]) -> View {
    let mut capture = Capture::default();
    let mut counters = Counters::default();
    let mut messages = Vec::new();
    for shard in shards {
        counters.add(&shard.counters());
        messages.append(&mut shard.take_messages());
        capture.seen = capture.seen.or_else(|| shard.seen());
    }
    capture.counters = counters;
    review(shared, capture, &mut messages)
}

/// One packet in memory.
pub(crate) fn raw(frames: &Frames, number: usize) -> RawPacket<'_> {
    let (nanos, data) = &frames[number];
    RawPacket {
        at: Stamp {
            time: Timestamp::from_nanos(*nanos),
            source: 0,
            packet: number as u64 + 1,
        },
        link: LinkType::Ethernet,
        data,
        wire_len: u32::try_from(data.len()).unwrap(),
    }
}

/// The report of a view.
pub(crate) fn text(view: &View) -> String {
    let mut out = Vec::new();
    object::write(&mut out, view).unwrap();
    String::from_utf8(out).unwrap()
}

/// A folder of the project.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Every capture of `pcaps/`, in the order of names.
pub(crate) fn captures() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder("pcaps"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "pcap" || end == "pcapng"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "pcaps/ is empty");
    found
}

/// A capture's name without its ending.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Bounds of the inventory so low that nearly every one is reached: one key of each class for each slice.
pub(crate) fn tight_inventory() -> InventoryConfig {
    InventoryConfig {
        max_servers: SLICES,
        max_suspects: SLICES,
        max_details: SLICES,
        max_tools: SLICES,
        tool_text_max_bytes: SLICES * 100,
        max_findings: SLICES,
        max_names: SLICES,
        ..InventoryConfig::default()
    }
}
