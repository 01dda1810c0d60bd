//! Real browsers, driven over WebDriver: JSON over HTTP to a `chromedriver`, one connection for each command.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{Directory, PATIENCE};

/// A `chromedriver`. Killed when it is dropped, after its browsers.
pub struct Driver {
    child: Child,
    port: u16,
    chromium: PathBuf,
}

impl Driver {
    /// Starts one; nothing, with a word, where no browser is installed.
    ///
    /// With `PARLOR_DEMAND_PROGRAMS` in the environment a missing program is a failure.
    pub fn start() -> Option<Driver> {
        let chromium =
            ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| program(name));
        let (Some(chromium), Some(chromedriver)) = (chromium, program("chromedriver")) else {
            assert!(env::var_os("PARLOR_DEMAND_PROGRAMS").is_none(), "no chromium or no chromedriver");
            eprintln!("passed over: no chromium or no chromedriver is installed");
            return None;
        };
        let mut command = Command::new(chromedriver);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Driver { child, port: 0, chromium };
        // It ends in `ChromeDriver was started successfully on port 35607.`
        let mut line = String::new();
        while !line.contains("successfully on port") {
            line.clear();
            assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "chromedriver has ended");
        }
        let (_, port) = line.trim_end().rsplit_once(' ').unwrap();
        driver.port = port.trim_end_matches('.').parse().unwrap();
        // Where it writes to stays open.
        driver.child.stdout = Some(stdout.into_inner());
        Some(driver)
    }

    /// Opens a browser without a past.
    pub fn browser(&self) -> Browser<'_> {
        self.browser_that(false)
    }

    /// As above, and takes any certificate for a good one.
    #[cfg(feature = "tls")]
    pub fn trusting_browser(&self) -> Browser<'_> {
        self.browser_that(true)
    }

    fn browser_that(&self, trusts_anybody: bool) -> Browser<'_> {
        let profile = Directory::new();
        let mut arguments = vec![format!("--user-data-dir={}", profile.file("").display())];
        arguments.extend(
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--window-size=1000,700",
                "about:blank",
            ]
            .map(String::from),
        );
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": trusts_anybody,
            "goog:chromeOptions": {"binary": self.chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let session = self.command("POST", "/session", &capabilities);
        let path = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        Browser { driver: self, path, _profile: profile }
    }

    fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).map_err(|error| error.to_string())?;
        // It keeps the connection, so the length tells where the reply ends.
        let mut reply = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            reply.read_line(&mut line).map_err(|error| error.to_string())?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| line.clone())?;
            }
            if line.is_empty() {
                return Err("no reply".into());
            }
        }
        let mut json = vec![0; length];
        reply.read_exact(&mut json).map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        if value["value"]["error"].is_string() {
            Err(value["value"].to_string())
        } else {
            Ok(value["value"].clone())
        }
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_command(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It closes the browsers that are still open, as after a session that could not begin.
        let _ = self.try_command("GET", "/shutdown", &Value::Null);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The full path of a program, if there is one of that name.
fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// A browser with one page. Closed when it is dropped.
pub struct Browser<'a> {
    driver: &'a Driver,
    path: String,
    // Removed last, when the browser has gone.
    _profile: Directory,
}

impl Browser<'_> {
    fn command(&self, path: &str, body: Value) -> Value {
        self.driver.command("POST", &format!("{}{path}", self.path), &body)
    }

    /// Goes to an address.
    pub fn visit(&self, url: &str) {
        self.command("/url", json!({"url": url}));
    }

    /// What a script returns in the page. It gets the arguments as `arguments`.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        self.command("/execute/sync", json!({"script": script, "args": arguments}))
    }

    /// The value of an expression in the page.
    pub fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}"), json!([]))
    }

    /// Waits until an expression is true in the page.
    pub fn wait(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.value(&format!("Boolean({expression})")) != true {
            let text = self.value("document.body.innerText");
            assert!(Instant::now() < deadline, "in vain: {expression}; the page: {text}");
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.command("/element", json!({"using": "css selector", "value": selector}));
        let id = found.as_object().and_then(|object| object.values().next()).and_then(Value::as_str);
        format!("/element/{}", id.expect("an element"))
    }

    /// Clicks where the element is; something that lies over it makes this fail.
    pub fn click(&self, selector: &str) {
        self.command(&format!("{}/click", self.element(selector)), json!({}));
    }

    /// Types into a field, key by key.
    pub fn type_into(&self, selector: &str, text: &str) {
        self.command(&format!("{}/value", self.element(selector)), json!({"text": text}));
    }

    /// Empties a field and types into it.
    pub fn fill(&self, selector: &str, text: &str) {
        self.command(&format!("{}/clear", self.element(selector)), json!({}));
        self.type_into(selector, text);
    }

    /// Presses a key wherever the focus is.
    pub fn press(&self, key: &str) {
        let keys = [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        self.command("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]}));
    }

    /// The page gets this size, in the pixels of style sheets.
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", size);
    }

    /// What only Chromium's own protocol can do.
    pub fn cdp(&self, command: &str, parameters: Value) {
        self.command("/goog/cdp/execute", json!({"cmd": command, "params": parameters}));
    }

    /// What the console says since it was last asked.
    pub fn console(&self) -> Vec<String> {
        let text = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_string();
        self.log("browser").iter().map(text).collect()
    }

    /// The addresses that were asked for since this was last asked, of all that the browser itself does not have.
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance");
        let events = events.iter().map(|entry| entry["message"].as_str().unwrap_or_default());
        let events = events.map(|text| serde_json::from_str::<Value>(text).unwrap()["message"].clone());
        let urls = events.filter_map(|event| {
            let url = match event["method"].as_str()? {
                "Network.requestWillBeSent" => &event["params"]["request"]["url"],
                "Network.webSocketCreated" => &event["params"]["url"],
                _ => return None,
            };
            url.as_str().map(String::from)
        });
        urls.filter(|url| url.starts_with("http") || url.starts_with("ws")).collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.command("/se/log", json!({"type": kind})).as_array().expect("entries").clone()
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        let _ = self.driver.try_command("DELETE", &self.path, &Value::Null);
    }
}
