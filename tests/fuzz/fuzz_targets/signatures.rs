//! An operator's own rule file, compiled on top of the built-in ones. Slow, because those are compiled with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::detect::signature::Signatures;

fuzz_target!(|data: &[u8]| {
    // What is no text is refused before anything is parsed.
    if std::str::from_utf8(data).is_err() {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder");
    std::fs::write(folder.path().join("fuzzed.toml"), data).expect("room for a temporary file");
    if let Err(defects) = Signatures::load(&[folder.path().to_owned()]) {
        assert!(!defects.is_empty(), "a refusal has a reason");
    }
});
