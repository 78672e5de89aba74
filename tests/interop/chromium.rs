//! Chromium, driven over its own pipe (`--remote-debugging-pipe`: JSON, each message ended by a NUL), so that nothing else is
//! needed; and what must hold of every page.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::tools::program;

/// How long the browser may take for one thing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Text whose colour differs too little from what is behind it (WCAG 2.2, 1.4.3: 4.5 to 1, large text 3 to 1).
pub(crate) const CONTRAST: &str = include_str!("contrast.js");

/// What a screen reader and a keyboard would miss.
pub(crate) const ACCESS: &str = include_str!("access.js");

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    pipe: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    next: u64,
    origin: String,
    /// What the browser complained of, and what was asked for elsewhere.
    pub(crate) complaints: BTreeSet<String>,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub(crate) fn start(origin: &str) -> Result<Self, String> {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$@" 3<&0 4>&1 >/dev/null 2>&1"#, "sh"])
            .arg(program("chromium")?);
        // Its own sandbox needs rights that a container does not give, and the page is ours.
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
        ]);
        command.args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ]);
        command.args(["--disable-dev-shm-usage", "--hide-scrollbars"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("chromium: {error}"))?;
        let pipe = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let sent = serde_json::from_slice(&message).map(|value| send.send(value));
                message.clear();
                if !matches!(sent, Ok(Ok(()))) {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            pipe,
            messages,
            session: String::new(),
            next: 0,
            origin: origin.to_owned(),
            complaints: BTreeSet::new(),
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Ok(browser)
    }

    /// Calls a method of the DevTools protocol and gives its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut text = serde_json::to_vec(&message).unwrap();
        text.push(0);
        self.pipe.write_all(&text).unwrap();
        let wanted = self.next;
        let mut answer = self.until(|message| message["id"] == wanted);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Waits for a message; hears the others.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
            self.hear(&message);
            if wanted(&message) {
                return message;
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.insert(parameters["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") => {
                self.complaints.insert(parameters["args"].to_string());
            }
            // Advice about forms is `verbose`.
            Some("Log.entryAdded") if parameters["entry"]["level"] != "verbose" => {
                self.complaints.insert(parameters["entry"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                if !url.starts_with(&self.origin) {
                    self.complaints.insert(format!("asked for {url}"));
                }
            }
            _ => {}
        }
    }

    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let call = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", call);
        assert!(result.get("exceptionDetails").is_none(), "{script}: {result}");
        result["result"]["value"].take()
    }

    /// Does something that loads a page, and waits for it.
    pub(crate) fn load(&mut self, script: &str) {
        self.evaluate(script);
        self.until(|message| message["method"] == "Page.loadEventFired");
    }

    pub(crate) fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.origin);
        self.call("Page.navigate", json!({ "url": url }));
        self.until(|message| message["method"] == "Page.loadEventFired");
    }

    pub(crate) fn click(&mut self, selector: &str) {
        let selector = json!(selector);
        self.load(&format!("document.querySelector({selector}).click()"));
    }

    pub(crate) fn size(&mut self, width: u32, height: u32, phone: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    pub(crate) fn scheme(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    pub(crate) fn shoot(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(shots().join(format!("{name}.png")), bytes).unwrap();
    }

    /// Everything that holds of every page.
    pub(crate) fn look(&mut self, name: &str) {
        self.shoot(name);
        for (what, script) in [("access", ACCESS), ("contrast", CONTRAST)] {
            let wrong = self.evaluate(script);
            assert_eq!(wrong, json!([]), "{name}: {what}");
        }
        let complaints = std::mem::take(&mut self.complaints);
        assert!(complaints.is_empty(), "{name}: {complaints:?}");
    }
}

/// Where screenshots lie.
pub(crate) fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../web-shots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
