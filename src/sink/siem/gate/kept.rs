//! What was told, kept over a restart: so that a sensor that starts anew does not alarm a SOC of everything once more.
//!
//! One file per sink, written when the sensor stops. After a crash it is that of the stop before, and what was told since is told
//! again; a file that cannot be read counts for nothing.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Gate, Shown, Told};
use crate::model::finding::Severity;
use crate::model::stamp::Timestamp;

/// First byte of the file; counts up with the layout.
const VERSION: u8 = 1;

/// Bytes of a file that are read: more than the bounds of a gate can fill.
const FILE_MAX_BYTES: u64 = 256 << 20;

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    findings: Vec<(String, u8, u64, i64, bool)>,
    servers: Vec<(String, Shown)>,
    lookups: Vec<String>,
}

impl Gate {
    /// Knows what was told before, as a file has it.
    pub(in crate::sink::siem) fn recall(&mut self, file: &Path) {
        let kept = read(file).unwrap_or_default();
        for (id, severity, count, at, quiet) in kept.findings {
            let told = Told {
                severity: Severity::ALL
                    .get(usize::from(severity))
                    .copied()
                    .unwrap_or(Severity::Info),
                count,
                at: Timestamp::from_nanos(at),
                quiet,
            };
            self.findings.insert(id, told);
        }
        for (id, shown) in kept.servers {
            self.servers.insert(id, shown);
        }
        for id in kept.lookups {
            self.lookups.insert(id, ());
        }
    }

    /// Writes what was told into a file, whole or not at all.
    ///
    /// # Errors
    /// Those of the disk.
    pub(in crate::sink::siem) fn keep(&self, file: &Path) -> io::Result<()> {
        let findings = self.findings.iter().map(|(id, told)| {
            let severity = Severity::ALL.iter().position(|severity| *severity == told.severity);
            let severity = severity.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
            (id.clone(), severity, told.count, told.at.nanos(), told.quiet)
        });
        let kept = Kept {
            findings: findings.collect(),
            servers: self
                .servers
                .iter()
                .map(|(id, shown)| (id.clone(), shown.clone()))
                .collect(),
            lookups: self.lookups.iter().map(|(id, ())| id.clone()).collect(),
        };
        let bytes = postcard::to_extend(&kept, vec![VERSION]).map_err(io::Error::other)?;
        let new = file.with_extension("told.new");
        let mut options = fs::OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        out.write_all(&bytes).and_then(|()| out.sync_data())?;
        fs::rename(new, file)
    }
}

fn read(file: &Path) -> Option<Kept> {
    if fs::metadata(file).ok()?.len() > FILE_MAX_BYTES {
        return None;
    }
    let bytes = fs::read(file).ok()?;
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).ok(),
        _ => None,
    }
}
