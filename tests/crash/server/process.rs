//! The real program as a process: started on free ports, ready once it says where it listens, ended in one way or another.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// In what time it must be ready, or gone when it was told to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const SIGTERM: &str = "-TERM";

pub(super) struct Process {
    child: Mortal,
    address: Receiver<SocketAddr>,
    log: JoinHandle<String>,
}

/// A child that does not outlive who holds it.
struct Mortal(Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}

impl Process {
    pub(super) fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keyward"))
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .args(["--environment", "dev", "--log-format", "json"])
            .args(["--listen", "127.0.0.1:0", "--side-listen", "127.0.0.1:0"])
            .args(["--drain-wait", "0s", "--cores", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let (found, address) = mpsc::channel();
        let log = thread::spawn(move || listen(stderr, &found));
        Self {
            child: Mortal(child),
            address,
            log,
        }
    }

    /// Waits until it serves. The error is its log.
    pub(super) fn ready(mut self) -> Result<(Self, SocketAddr), String> {
        match self.address.recv_timeout(PATIENCE) {
            Ok(address) => Ok((self, address)),
            Err(_) => {
                let _gone = self.child.0.kill();
                Err(format!("the server does not start: {}", self.end().1))
            }
        }
    }

    pub(super) fn kill(mut self) -> String {
        self.child.0.kill().expect("the server is ours");
        self.end().1
    }

    /// Asks it to drain.
    pub(super) fn terminate(&self) {
        let id = self.child.0.id().to_string();
        let sent = Command::new("kill").args([SIGTERM, &id]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server is ours"
        );
    }

    /// Drains it to the end. What it logged.
    pub(super) fn stop(mut self) -> Result<String, String> {
        self.terminate();
        let began = Instant::now();
        while self.child.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if began.elapsed() > PATIENCE {
                return Err(format!("the server does not end: {}", self.kill()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        match self.end() {
            (status, log) if status.success() => Ok(log),
            (status, log) => Err(format!("the server ended with {status}: {log}")),
        }
    }

    fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.0.wait().expect("the server ends");
        (status, self.log.join().expect("its log is text"))
    }
}

fn listen(stderr: ChildStderr, found: &mpsc::Sender<SocketAddr>) -> String {
    let mut log = String::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(address) = address(&line) {
            let _nobody_waits = found.send(address);
        }
        log.push_str(&line);
        log.push('\n');
    }
    log
}

fn address(line: &str) -> Option<SocketAddr> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let listening = line["message"] == "listening";
    listening.then(|| line["address"].as_str()?.parse().ok())?
}
