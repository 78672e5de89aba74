//! An operator's own rule file: compiled on top of the built-in ones, and every accepted rule's examples run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shadowtap::detect::signature::Signatures;

fuzz_target!(|data: &[u8]| {
    // The built-in rules are compiled with it each time; what is no text is refused before anything is parsed.
    if std::str::from_utf8(data).is_err() {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    std::fs::write(folder.path().join("fuzzed.toml"), data).expect("room for a temporary file");
    match Signatures::load(&[folder.path().to_owned()]) {
        Ok(signatures) => {
            let _ = signatures.check();
        }
        Err(defects) => assert!(!defects.is_empty(), "a refusal has a reason"),
    }
});
