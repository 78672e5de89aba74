//! An operator's policy, lock and configuration files.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use shadowtap::config::load::Loaded;
use shadowtap::policy::Policy;
use shadowtap::policy::pins::Pins;
use shadowtap_fuzz::file;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        match Policy::parse(Path::new("policy.toml"), text) {
            Ok(policy) => assert!(!policy.to_string().is_empty()),
            Err(defects) => assert!(!defects.is_empty(), "a refusal has a reason"),
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(pins) = Pins::parse(Path::new("shadowtap.lock"), text)
    {
        let again = Pins::parse(Path::new("shadowtap.lock"), &pins.render());
        assert_eq!(again.map(|again| again.count()), Ok(pins.count()), "what is written can be read");
    }
    if let Ok(loaded) = Loaded::load(Some(file(data).path())) {
        let shown = loaded.config.render();
        assert!(toml_like(&shown), "what is shown can be read: {shown}");
    }
});

fn toml_like(text: &str) -> bool {
    let file = file(text.as_bytes());
    Loaded::load(Some(file.path())).is_ok()
}
