//! The whole pipeline without its panic fence: a capture file into a shard, and the report out of it.
//!
//! Bundled captures are its first inputs.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use shadowtap::detect::panel::Ruleset;
use shadowtap::engine::Shared;
use shadowtap::engine::replay::{Input, replay};
use shadowtap::engine::settings::Settings;
use shadowtap::report::object;
use shadowtap_fuzz::{file, ruleset, settings};

static RULES: LazyLock<Ruleset> = LazyLock::new(ruleset);

fuzz_target!(|data: &[u8]| {
    // A packed file unpacks to far more than it is.
    if data.starts_with(&[0x1f, 0x8b]) || data.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return;
    }
    let file = file(data);
    let input = Input {
        files: vec![file.path().to_string_lossy().into_owned()],
        ..Input::default()
    };
    // Building the detectors takes far longer than the capture; they have a fuzzer of their own.
    let settings = Settings {
        inspect: data.len() % 16 == 0,
        ..settings()
    };
    let shared = Arc::new(Shared::new(settings, RULES.clone()));
    if let Ok(replayed) = replay(&shared, &input, 1, &mut |_, _| {}) {
        object::write(&mut Vec::new(), &replayed.view).expect("memory takes everything");
    }
});
