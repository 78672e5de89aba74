//! The web page over TLS, as curl sees it.

use std::process::{Command, Output};

use crate::tools::{Running, attempt, free_port, listens, program, run, sensor};

#[test]
fn the_page_speaks_tls_and_asks_for_a_token() {
    attempt(|| {
        let (openssl, curl) = (program("openssl")?, program("curl")?);
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut make = Command::new(openssl);
        make.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "1",
        ]);
        make.args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ]);
        run(make.args(["-keyout", &path("web.key"), "-out", &path("web.pem")]));
        run(Command::new("chmod").args(["600", &path("web.key")]));
        let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/pcaps/py_streamable_stateful.pcap");
        run(sensor().args(["replay", capture, "--store", &path("a.db")]));
        let token = |role: &str| {
            let made = sensor()
                .args([
                    "serve",
                    "token",
                    "--role",
                    role,
                    "--name",
                    role,
                    "--store",
                    &path("a.db"),
                ])
                .output();
            String::from_utf8(made.unwrap().stdout).unwrap().trim().to_owned()
        };
        let viewer = token("viewer");
        let port = free_port();
        let mut serve = sensor();
        serve.args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--store",
            &path("a.db"),
        ]);
        serve.args(["--certificate", &path("web.pem"), "--key", &path("web.key")]);
        let _running = Running::start(&serve, &folder.path().join("serve.log"))?;
        listens(port);
        let ask = |scheme: &str, headers: &[&str]| -> Output {
            let mut command = Command::new(&curl);
            command.args(["-sS", "-i", "--max-time", "20", "--cacert", &path("web.pem")]);
            for header in headers {
                command.args(["-H", header]);
            }
            command
                .arg(format!("{scheme}://localhost:{port}/api/servers"))
                .output()
                .unwrap()
        };
        let said = |output: &Output| String::from_utf8_lossy(&output.stdout).to_lowercase();
        let refused = ask("https", &[]);
        assert!(said(&refused).starts_with("http/1.1 401"), "{}", said(&refused));
        let bearer = format!("Authorization: Bearer {viewer}");
        let shown = ask("https", &[&bearer]);
        assert!(said(&shown).starts_with("http/1.1 200"), "{}", said(&shown));
        assert!(said(&shown).contains("\"word\":\"servers\""));
        let foreign = ask("https", &[&bearer, "Origin: http://localhost"]);
        assert!(said(&foreign).starts_with("http/1.1 403"), "{}", said(&foreign));
        assert!(!ask("http", &[&bearer]).status.success(), "it answers in clear");
        Ok(())
    });
}
