//! A real syslog daemon: UDP, TCP in both framings, TLS with client certificates; and what a restart, a wrong certificate and a
//! receiver that does not read cost (nothing).

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use shadowtap::sink::SinkError;
use tempfile::TempDir;

use crate::http_sinks::{batch, sink};
use crate::tools::{Running, attempt, free_port, listens, program, run, wait};

/// A daemon, its ports, and where everything lies.
struct Daemon {
    folder: TempDir,
    udp: u16,
    tcp: u16,
    tls: u16,
    running: Option<Running>,
}

impl Daemon {
    fn start() -> Result<Self, String> {
        let folder = TempDir::new().unwrap();
        certificates(&folder)?;
        let mut daemon = Self {
            folder,
            udp: free_port(),
            tcp: free_port(),
            tls: free_port(),
            running: None,
        };
        daemon.again()?;
        Ok(daemon)
    }

    /// Starts it, once more on the same ports.
    fn again(&mut self) -> Result<(), String> {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let (udp, tcp, tls) = (self.udp, self.tcp, self.tls);
        let configuration = format!(
            r#"global(workDirectory="{0}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{cert}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
module(load="imptcp")
template(name="line" type="list" option.jsonf="on") {{
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="sd" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
  property(outname="input" name="inputname" format="jsonf")
}}
ruleset(name="all") {{ action(type="omfile" file="{out}" template="line") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="all")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="all")
"#,
            self.folder.path().display(),
            ca = at("ca.pem"),
            cert = at("server.pem"),
            key = at("server.key"),
            out = at("out.ndjson"),
        );
        std::fs::write(at("rsyslog.conf"), configuration).unwrap();
        let mut command = Command::new(program("rsyslogd")?);
        command.args(["-n", "-iNONE", "-f", &at("rsyslog.conf")]);
        self.running = Some(Running::start(&command, &self.folder.path().join("log"))?);
        listens(self.tcp);
        listens(self.tls);
        Ok(())
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("out.ndjson")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// Waits for so many lines.
    fn awaits(&self, count: usize) -> Vec<Value> {
        wait("the daemon's file", || self.lines().len() >= count);
        self.lines()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A sink over TLS that shows this certificate, if any.
    fn over_tls(&self, ca: &str, identity: Option<&str>) -> Box<dyn shadowtap::sink::remote::Deliver> {
        let mut text = format!(
            "type = 'syslog'\naddress = 'localhost:{}'\nprotocol = 'tls'\nca = '{}'\ntimeout_ms = 2000\n",
            self.tls,
            self.path(ca).display()
        );
        if let Some(name) = identity {
            let [certificate, key] = ["pem", "key"].map(|end| self.path(&format!("{name}.{end}")));
            text += &format!("certificate = '{}'\nkey = '{}'\n", certificate.display(), key.display());
        }
        sink(&text)
    }
}

/// A CA with a server and a client, and another CA with a client of its own.
fn certificates(folder: &TempDir) -> Result<(), String> {
    let openssl = program("openssl")?;
    let at = |name: &str| folder.path().join(name);
    let call = |arguments: &[&str]| run(Command::new(&openssl).current_dir(folder.path()).args(arguments));
    std::fs::write(at("server.ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
    std::fs::write(at("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    for ca in ["ca", "other-ca"] {
        let (subject, key_file, out) = (format!("/CN={ca}"), format!("{ca}.key"), format!("{ca}.pem"));
        let tail = [
            "-x509", "-days", "2", "-subj", &subject, "-keyout", &key_file, "-out", &out,
        ];
        call(&[&["req"][..], &key, &tail].concat());
    }
    for (name, ca, extensions) in [
        ("server", "ca", "server.ext"),
        ("client", "ca", "client.ext"),
        ("stranger", "other-ca", "client.ext"),
    ] {
        let names = ["key", "csr", "pem"].map(|end| format!("{name}.{end}"));
        let subject = format!("/CN={name}");
        call(
            &[
                &["req"][..],
                &key,
                &["-subj", &subject, "-keyout", &names[0], "-out", &names[1]],
            ]
            .concat(),
        );
        let (ca_file, ca_key) = (format!("{ca}.pem"), format!("{ca}.key"));
        let signed = [
            "-CA",
            &ca_file,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            extensions,
        ];
        call(&[&["x509", "-req", "-in", &names[1], "-out", &names[2]][..], &signed].concat());
    }
    Ok(())
}

/// The samples as syslog messages.
fn messages() -> Vec<&'static str> {
    include_str!("../samples/events.syslog").lines().collect()
}

/// Every message arrives over every carrier, in its order, and reads as it was written.
#[test]
fn a_daemon_reads_what_is_sent() {
    attempt(|| {
        let daemon = Daemon::start()?;
        let sent = messages();
        let mut count = 0;
        for text in [
            format!(
                "type = 'syslog'\naddress = '127.0.0.1:{}'\nprotocol = 'udp'",
                daemon.udp
            ),
            format!("type = 'syslog'\naddress = '127.0.0.1:{}'", daemon.tcp),
            format!(
                "type = 'syslog'\naddress = '127.0.0.1:{}'\nframing = 'newline'",
                daemon.tcp
            ),
            format!("type = 'syslog'\naddress = '127.0.0.1:{}'\nconfirm = false", daemon.tcp),
        ] {
            sink(&text)
                .deliver(&batch("t", &sent))
                .map_err(|error| error.to_string())?;
            count += sent.len();
            daemon.awaits(count);
        }
        let mut tls = daemon.over_tls("ca.pem", Some("client"));
        tls.deliver(&batch("t", &sent)).map_err(|error| error.to_string())?;
        let lines = daemon.awaits(count + sent.len());
        for lines in lines.chunks(sent.len()) {
            for (line, message) in lines.iter().zip(&sent) {
                let head: Vec<&str> = message.splitn(7, ' ').collect();
                assert_eq!(line["pri"], head[0].trim_start_matches('<').split('>').next().unwrap());
                assert_eq!(
                    line["time"]
                        .as_str()
                        .unwrap()
                        .trim_end_matches("+00:00")
                        .trim_end_matches('Z'),
                    head[1].trim_end_matches('Z')
                );
                assert_eq!(
                    [&line["host"], &line["app"], &line["msgid"]],
                    [head[2], head[3], head[5]]
                );
                let data = line["sd"].as_str().unwrap();
                assert!(
                    message.contains(data) && data.starts_with("[shadowtap@32473 "),
                    "{data}"
                );
                let text = message.rsplit_once('\u{feff}').unwrap().1;
                assert!(line["msg"].as_str().unwrap().ends_with(text), "{line}");
            }
        }
        Ok(())
    });
}

/// Who is not known is told so, and nothing counts as delivered.
#[test]
fn wrong_certificates_are_told() {
    attempt(|| {
        let daemon = Daemon::start()?;
        let refused = |sink: &mut dyn shadowtap::sink::remote::Deliver| match sink.deliver(&batch("t", &messages())) {
            Err(SinkError::Retry(why)) => why,
            other => panic!("{other:?}"),
        };
        let why = refused(&mut *daemon.over_tls("other-ca.pem", Some("client")));
        assert!(why.contains("certificate"), "{why}");
        // The daemon refuses these after the handshake of TLS 1.3, when the first bytes are already on their way.
        refused(&mut *daemon.over_tls("ca.pem", Some("stranger")));
        refused(&mut *daemon.over_tls("ca.pem", None));
        assert_eq!(daemon.lines().len(), 0);
        daemon
            .over_tls("ca.pem", Some("client"))
            .deliver(&batch("t", &["<14>1 - h a - - - x"]))
            .unwrap();
        daemon.awaits(1);
        Ok(())
    });
}

#[test]
fn a_daemon_that_was_away_gets_everything_in_order() {
    attempt(|| {
        let mut daemon = Daemon::start()?;
        let sent = messages();
        for text in [
            format!(
                "type = 'syslog'\naddress = '127.0.0.1:{}'\ntimeout_ms = 2000",
                daemon.tcp
            ),
            format!(
                "type = 'syslog'\naddress = '127.0.0.1:{}'\nconfirm = false\ntimeout_ms = 2000",
                daemon.tcp
            ),
        ] {
            let before = daemon.lines().len();
            let mut sink = sink(&text);
            sink.deliver(&batch("t1", &sent[..4])).unwrap();
            daemon.awaits(before + 4);
            drop(daemon.running.take());
            wait("the daemon's end", || {
                TcpStream::connect(("127.0.0.1", daemon.tcp)).is_err()
            });
            let rest = batch("t2", &sent[4..]);
            assert!(matches!(sink.deliver(&rest), Err(SinkError::Retry(_))));
            daemon.again()?;
            sink.deliver(&rest).map_err(|error| error.to_string())?;
            let lines = daemon.awaits(before + sent.len());
            let told: Vec<&str> = lines[before..]
                .iter()
                .map(|line| line["sd"].as_str().unwrap())
                .collect();
            assert!(told.iter().zip(&sent).all(|(data, message)| message.contains(data)));
            assert_eq!(told.len(), sent.len());
        }
        Ok(())
    });
}

/// A receiver that takes a connection and does not read is not taken for one that has read.
#[test]
fn a_half_open_connection_counts_for_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut sink = sink(&format!(
        "type = 'syslog'\naddress = '127.0.0.1:{port}'\ntimeout_ms = 200"
    ));
    match sink.deliver(&batch("t", &["x"])) {
        Err(SinkError::Retry(why)) => assert!(why.contains("has not read everything in time"), "{why}"),
        other => panic!("{other:?}"),
    }
}
