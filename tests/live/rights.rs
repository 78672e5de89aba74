//! What a running sensor has left of the rights that it was started with, as the kernel tells it.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Config, Net, Sensor};

/// Bit 13 of capabilities(7).
const NET_RAW: u64 = 1 << 13;

#[test]
fn a_sensor_has_given_up_what_it_does_not_need() {
    let Some(net) = Net::new() else { return };
    for (reopen, capabilities) in [(true, NET_RAW), (false, 0)] {
        let config = Config::new();
        let text = format!("[run]\nuser = 'nobody'\nreopen = {reopen}\n[store]\ninterval_ms = 200\n");
        std::fs::write(&config.path, text).unwrap();
        // The folder of the test is root's, and closed to everybody else.
        open(config.folder.path());
        let folder = config.folder.path().join("store");
        let store = folder.join("live.db").display().to_string();
        let line = [
            "-i",
            "v0",
            "--workers",
            "2",
            "--store",
            &store,
            "--config",
            &config.path,
        ];
        let mut sensor = net.sensor(&line);
        assert!(
            sensor.log.iter().any(|line| line.contains("confined: user nobody; ")),
            "{:?}",
            sensor.log
        );
        let threads = threads(&sensor);
        assert!(threads.len() > 2, "{threads:?}");
        for thread in threads {
            let word = |name: &str| -> String {
                let line = thread.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().trim().to_owned()
            };
            for set in ["CapInh:", "CapAmb:"] {
                assert_eq!(u64::from_str_radix(&word(set), 16), Ok(0), "{set}");
            }
            for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
                assert_eq!(u64::from_str_radix(&word(set), 16), Ok(capabilities), "{set}");
            }
            assert_eq!((&*word("NoNewPrivs:"), &*word("Seccomp:")), ("1", "2"), "{thread}");
            let ids: BTreeSet<String> = word("Uid:").split_whitespace().map(str::to_owned).collect();
            assert_eq!(ids.len(), 1, "{thread}");
            assert!(!ids.contains("0"), "{thread}");
        }
        net.talk();
        sensor.hears("MCP server seen");
        sensor.signal("TERM");
        let (code, _, log) = sensor.ends();
        assert_eq!(code, 0, "{log:?}");
        assert!(std::fs::metadata(&store).unwrap().len() > 0);
    }
}

fn open(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
}

/// The state of every thread of a sensor (proc(5)).
fn threads(sensor: &Sensor) -> Vec<String> {
    let id = sensor.child.as_ref().unwrap().id();
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap())
        .collect()
}
