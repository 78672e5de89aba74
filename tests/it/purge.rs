//! The life of what a store keeps, through the program: short ids, owners, the audit log, pseudonyms, erasing.

use std::process::{Command, Output};

use shadowtap::store::sqlite::Reader;

use crate::run;

struct Place(tempfile::TempDir);

impl Place {
    /// A store with what a capture shows.
    fn of(capture: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let file = run::folder(&format!("pcaps/{capture}.pcap"));
        let output = place.run(&["replay", file.to_str().unwrap(), "--store", "s.db"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        place
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_shadowtap"))
            .args(args)
            .current_dir(self.0.path())
            .env("HOME", self.0.path())
            .env("USER", "ada")
            .env_remove("SUDO_USER")
            .output()
            .unwrap()
    }

    fn says(&self, args: &[&str]) -> String {
        let output = self.run(&[args, &["--store", "s.db"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {text} {:?}", output.stderr);
        text
    }

    fn ids(&self, word: &str) -> Vec<String> {
        let rows = self.says(&["report", word, "--format", "ndjson"]);
        let id = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["id"].as_str().unwrap().to_owned()
        };
        rows.lines().map(id).collect()
    }
}

#[test]
fn the_first_digits_of_an_id_will_do() {
    let place = Place::of("rugpull_two_sessions");
    let session = &place.ids("sessions")[0];
    let whole = place.says(&["report", "session", session]);
    assert!(whole.contains("tools/call ledger_sum"), "{whole}");
    assert_eq!(place.says(&["report", "session", &session[..8]]), whole);
    let server = &place.ids("servers")[0];
    let whole = place.says(&["report", "impact", server]);
    for name in [&server[..6], "10.77.5.10:8973", "ledger-buddy"] {
        assert_eq!(place.says(&["report", "impact", name]), whole, "{name}");
    }
    for wrong in [
        &["report", "session", "zzzzzz"][..],
        &["report", "impact"],
        &["report", "diff", "7d"],
        &["report", "diff", "7d..14d", "1d"],
        &["report", "servers", "nonsense"],
    ] {
        let output = place.run(&[wrong, &["--store", "s.db"]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn what_people_do_is_audited() {
    let place = Place::of("rugpull_two_sessions");
    let finding = place.ids("findings")[0].clone();
    place.says(&["findings", "ack", &finding[..6], "--why", "asked the team"]);
    let server = "10.77.5.10:8973";
    let policy = ["--policy", "policy.toml"];
    std::fs::write(place.0.path().join("policy.toml"), "").unwrap();
    place.says(&[&["approve", server, "--owner", "team", "--reason", "sums"], &policy[..]].concat());
    place.says(&[&["pin"], &policy[..]].concat());
    place.says(&["purge", "--before", "now", "--why", "end of the project"]);
    let log = Reader::open(&place.0.path().join("s.db")).unwrap().audit().unwrap();
    let told: Vec<_> = log.iter().map(|deed| (deed.what.as_str(), deed.who.as_str())).collect();
    assert_eq!(
        told,
        [("ack", "ada"), ("approve", "ada"), ("pin", "ada"), ("purge", "ada")]
    );
    assert!(
        log[0].about.contains(&finding) && log[3].about.contains("end of the project"),
        "{log:?}"
    );
}

#[test]
fn an_erased_client_is_nowhere_in_the_store() {
    let place = Place::of("rugpull_two_sessions");
    let client = "10.77.5.20";
    let holds = || {
        let bytes = std::fs::read(place.0.path().join("s.db")).unwrap();
        bytes.windows(client.len()).any(|window| window == client.as_bytes())
    };
    assert!(holds(), "the capture has another client");
    let told = place.says(&["purge", "--before", "2026-01-01", "--client", client]);
    assert_eq!(told, "erased: nothing\n");
    let told = place.says(&["purge", "--before", "now", "--client", client]);
    assert!(told.contains(" messages") && told.contains(" sessions"), "{told}");
    assert!(!holds(), "a copy is left");
    assert_eq!(place.ids("servers").len(), 1);
    assert!(place.ids("sessions").is_empty());
}

#[test]
fn clients_leave_as_pseudonyms_where_that_is_wanted() {
    let place = Place(tempfile::tempdir().unwrap());
    let file = |name: &str, text: &str| std::fs::write(place.0.path().join(name), text).unwrap();
    file("privacy.key", &"k".repeat(32));
    let key = place.0.path().join("privacy.key");
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file("keyed.toml", "[privacy]\nclients = \"keyed\"\nkey = \"privacy.key\"\n");
    file("keyless.toml", "[privacy]\n\nclients = \"keyed\"\n");
    let capture = run::folder("pcaps/rugpull_two_sessions.pcap");
    let replay = |config: &str, store: &str| {
        let capture = capture.to_str().unwrap();
        place.run(&[
            "replay", capture, "--config", config, "--store", store, "--format", "json",
        ])
    };
    let (one, two) = (replay("keyed.toml", "s.db"), replay("keyed.toml", "t.db"));
    assert_eq!(one.status.code(), Some(0), "{one:?}");
    assert_eq!(one.stdout, two.stdout, "a pseudonym is stable");
    let report: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    let client = report["clients"][0]["address"].as_str().unwrap();
    assert!(client.starts_with("100::"), "{client}");
    assert_eq!(report["servers"][0]["clients"][0], client);
    for place_of in [&one.stdout, &std::fs::read(place.0.path().join("s.db")).unwrap()] {
        let real = b"10.77.5.20";
        assert!(
            !place_of.windows(real.len()).any(|window| window == real),
            "an address is left"
        );
    }
    let messages = place.says(&["report", "messages", "--client", client, "--format", "ndjson"]);
    assert!(messages.lines().count() > 10);
    let output = replay("keyless.toml", "u.db");
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("keyless.toml:3: ") && told.contains("openssl rand"),
        "{told}"
    );
}

#[test]
fn reports_say_whose_an_address_is() {
    let place = Place::of("rugpull_two_sessions");
    let file = |name: &str, text: &str| std::fs::write(place.0.path().join(name), text).unwrap();
    file("shadowtap.toml", "");
    file(
        "assets.csv",
        "address,owner,team\n10.77.0.0/16,Ada,research\n10.77.5.10,Grace,platform\n",
    );
    let rows = place.says(&["report", "findings", "--format", "ndjson", "--limit", "1"]);
    let row: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!(
        (&row["server_owner"], &row["server_team"]),
        (&"Grace".into(), &"platform".into())
    );
    assert!(place.says(&["report", "clients"]).contains("Ada"));
    let story = place.says(&["report", "session", &place.ids("sessions")[0]]);
    assert!(story.contains("Ada") && story.contains("Grace"), "{story}");
    file("assets.csv", "10.77.5.10,Grace\nnowhere,Ada\n");
    for command in [&["report", "clients", "--store", "s.db"][..], &["check"]] {
        let output = place.run(command);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("assets.csv:2: `nowhere` is no address"), "{told}");
    }
}
