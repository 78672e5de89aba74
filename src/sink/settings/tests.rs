//! Every mistake has its line and cure; what is right is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

#[derive(serde::Deserialize)]
struct Written {
    sinks: Vec<Spanned<Config>>,
}

fn resolved(folder: &tempfile::TempDir, text: &str) -> Result<Vec<Setting>, Vec<String>> {
    let written: Written = toml::from_str(text).unwrap();
    let beside = |path: &Path| folder.path().join(path);
    let sensor = Sensor {
        name: "edge".into(),
        version: "1".into(),
    };
    let context = Context {
        file: Path::new("c.toml"),
        text,
        beside: &beside,
        sensor: &sensor,
    };
    resolve(&written.sinks, &context).map_err(|defects| {
        let shown = |defect: &Defect| defect.to_string().replace(&format!("{}/", folder.path().display()), "");
        defects.iter().map(shown).collect()
    })
}

fn told(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("open", 0o644), ("token", 0o600)] {
        fs::write(folder.path().join(name), "t0ken\n").unwrap();
        fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    resolved(&folder, text).err().unwrap_or_default()
}

#[test]
fn every_mistake_has_line_and_cure() {
    for (text, message) in [
        (
            "[[sinks]]\ntype = 'syslog'\n\naddress = 'siem.example.com'",
            "c.toml:4: events would go to siem.example.com in clear; \
             set protocol = \"tls\", or set allow_plaintext = true if that is meant",
        ),
        (
            "[[sinks]]\ntype = 'syslog'",
            "c.toml:1: `address` is missing; name the receiver, such as siem.example.com:6514",
        ),
        (
            "[[sinks]]\ntype = 'syslog'\naddress = 'a:b:c'",
            "c.toml:3: `a:b:c` is no host and port; write it as host:6514 or [::1]:6514",
        ),
        (
            "[[sinks]]\ntype = 'stdout'\nurl = 'x'",
            "c.toml:3: `url` means nothing to a sink of type stdout; remove it",
        ),
        (
            "[[sinks]]\ntype = 'splunk'\nurl = 'http://splunk.example.com:8088'\ntoken_file = 'token'",
            "c.toml:3: events would go to splunk.example.com in clear; \
             use https://, or set allow_plaintext = true if that is meant",
        ),
        (
            "[[sinks]]\ntype = 'splunk'\nurl = 'http://127.0.0.1:8088'\ntoken_file = 'open'",
            "c.toml:4: open: a secret that others may read (mode 0644); run `chmod 600 open`",
        ),
        (
            "[[sinks]]\ntype = 'splunk'\nurl = 'http://127.0.0.1:8088'",
            "c.toml:1: `token_file` is missing; name a file of mode 0600 with the collector's token",
        ),
        (
            "[[sinks]]\ntype = 'webhook'\nurl = 'https://user:pw@h/x'",
            "c.toml:3: the address holds a user or password; remove it, and name a file with the password or token",
        ),
        (
            "[[sinks]]\ntype = 'elasticsearch'\nurl = 'http://[::1]:9200'\nformat = 'cef'",
            "c.toml:4: Elasticsearch takes JSON alone; write ecs, ocsf or json",
        ),
        (
            "[[sinks]]\ntype = 'stdout'\nkinds = ['tool-drft']",
            "c.toml:3: `tool-drft` is no kind of finding; `shadowtap schema --events` lists them",
        ),
        (
            "[[sinks]]\ntype = 'stdout'\n[[sinks]]\ntype = 'stdout'",
            "c.toml:3: two sinks are named `stdout`; give each a `name` of its own",
        ),
        (
            "[[sinks]]\ntype = 'syslog'\naddress = 'h'\nprotocol = 'tls'\nca = 'open'",
            "c.toml:5: open: holds no certificate; name a PEM file with a block `BEGIN CERTIFICATE`",
        ),
        (
            "[[sinks]]\ntype = 'webhook'\nurl = 'http://localhost/'\ntemplate = 'pager'",
            "c.toml:4: pager: cannot be read: No such file or directory (os error 2); \
             name slack, mattermost, teams or discord, or a JSON file with places such as {title}",
        ),
    ] {
        assert_eq!(told(text), [message]);
    }
}

#[test]
fn what_is_right_is_built_and_says_where_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[sinks]]\ntype = 'syslog'\nname = 'soc'\naddress = '[::1]:5514'\nprotocol = 'udp'\n\
                [[sinks]]\ntype = 'file'\npath = 'log/e.ndjson'\nsensors = ['edge']\nreplay = true\n\
                [[sinks]]\ntype = 'opensearch'\nurl = 'http://127.0.0.1:9200/'\n\
                [[sinks]]\ntype = 'stdout'\nsensors = ['core']\n";
    let settings = resolved(&folder, text).unwrap_or_else(|told| panic!("{told:?}"));
    let ends: Vec<Option<End>> = settings.iter().map(|setting| setting.end.clone()).collect();
    let end = |host: &str, port, datagrams| {
        Some(End {
            host: host.to_owned(),
            port,
            datagrams,
        })
    };
    assert_eq!(
        ends,
        [end("::1", 5_514, true), None, end("127.0.0.1", 9_200, false), None]
    );
    assert_eq!(settings[1].folder, Some(folder.path().join("log")));
    let ours: Vec<bool> = settings.iter().map(Setting::is_ours).collect();
    assert_eq!(ours, [true, true, true, false]);
    assert_eq!([settings[0].replay, settings[1].replay], [false, true]);
}

/// What is printed of a configuration holds no secret.
#[test]
fn addresses_of_webhooks_are_not_printed_whole() {
    let text = "type = 'webhook'\nurl = 'https://user:pw@hooks.example.com/services/T000/aVeryLongSecretToken?x=1'";
    let config: Config = toml::from_str(text).unwrap();
    let printed = toml::to_string(&config).unwrap();
    assert_eq!(
        printed,
        "type = \"webhook\"\nurl = \"https://hooks.example.com/services/T000/…\"\n"
    );
}
