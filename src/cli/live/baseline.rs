//! Until when the first weeks last: a moment that a file beside the store keeps over restarts.

use std::fs;
use std::path::Path;

use crate::cli::setup::now;
use crate::model::stamp::Timestamp;

/// Name of the file with the first start, in nanoseconds since the epoch.
const FILE: &str = "baseline";

const DAY_NANOS: i64 = 86_400_000_000_000;

/// The end of so many days after the first start; `None` when that is over, or there are to be none. Without a folder every
/// start is the first.
pub(super) fn until(days: u32, folder: Option<&Path>) -> Option<Timestamp> {
    if days == 0 {
        return None;
    }
    let began = folder.map_or_else(now, first_start);
    let until = began.plus_nanos(i64::from(days).saturating_mul(DAY_NANOS));
    (now() < until).then_some(until)
}

fn first_start(folder: &Path) -> Timestamp {
    let file = folder.join(FILE);
    let kept = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    if let Some(nanos) = kept {
        return Timestamp::from_nanos(nanos);
    }
    let now = now();
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, format!("{}\n", now.nanos())));
    if let Err(error) = written {
        eprintln!(
            "shadowtap: {}: {error}; the first weeks begin anew with the next start",
            file.display()
        );
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(until(0, Some(folder.path())), None);
        let first = until(14, Some(folder.path())).unwrap();
        assert_eq!(until(14, Some(folder.path())), Some(first));
        fs::write(folder.path().join(FILE), "1000\n").unwrap();
        assert_eq!(until(14, Some(folder.path())), None);
        assert!(until(14, None).is_some());
    }
}
