//! The program itself, as a process: a server that is signalled and killed, and commands with their exit codes.

#![expect(
    clippy::unwrap_used,
    reason = "a test's help: what is not as it should be ends the test"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::harness::{Client, eventually, read};

/// A place for servers and commands: a data directory, and a home for contexts.
pub(crate) struct Place {
    dir: TempDir,
}

/// A `keyward serve` of its own.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) side: SocketAddr,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    operator_file: PathBuf,
}

/// A command that goes on.
pub(crate) struct Running {
    child: Child,
    out: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn operator_file(&self) -> PathBuf {
        self.data().join("operator.token")
    }

    /// Starts a server, with flags of `serve` besides those that a test needs.
    pub(crate) async fn serve(&self, flags: &[&str]) -> Serving {
        self.serve_under(&[], flags).await
    }

    /// The same, under a command that ends in running what follows it.
    pub(crate) async fn serve_under(&self, wrapper: &[&str], flags: &[&str]) -> Serving {
        let data = format!("--data-dir={}", self.data().display());
        let needed = [
            "serve",
            &data,
            "--listen=127.0.0.1:0",
            "--side-listen=127.0.0.1:0",
        ];
        let mut words = [wrapper, &[env!("CARGO_BIN_EXE_keyward")], &needed, flags].concat();
        if flags.iter().any(|flag| flag.starts_with("--listen=")) {
            words.retain(|word| *word != "--listen=127.0.0.1:0");
        }
        let mut command = self.command(words[0]);
        command.args(&words[1..]).stdout(Stdio::null());
        // As a variable, so that a flag may say otherwise.
        command.env("KEYWARD_DRAIN_WAIT", "0s");
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let reader = follow(child.stderr.take().unwrap(), Arc::clone(&log));
        let addresses = eventually("the server to listen", async || {
            let log = log.lock().unwrap().clone();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended with {status}: {log}");
            }
            addresses(&log)
        });
        let (address, side) = addresses.await;
        Serving {
            address,
            side,
            log,
            reader: Some(reader),
            operator_file: self.operator_file(),
            child,
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, "", &[])
    }

    /// Runs a command with a standard input and an environment.
    pub(crate) fn run_with(&self, words: &[&str], input: &str, env: &[(&str, &str)]) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_keyward"));
        command.args(words).envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may be gone by now.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts a command that goes on until it is interrupted.
    pub(crate) fn start(&self, words: &[&str]) -> Running {
        let mut command = self.command(env!("CARGO_BIN_EXE_keyward"));
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let out = Arc::new(Mutex::new(String::new()));
        let reader = follow(child.stdout.take().unwrap(), Arc::clone(&out));
        Running {
            child,
            out,
            reader: Some(reader),
        }
    }

    /// A command that sees nothing of the environment that the tests run in.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Serving {
    pub(crate) fn operator(&self) -> Client {
        Client::new(self.address, Some(&read(&self.operator_file)))
    }

    /// Everything logged up to now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn terminate(&self) {
        signal("TERM", &self.child);
    }

    /// Ends it as a power failure of the process would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }

    /// Waits for its end: how it ended, and all that it logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = eventually("the server's end", async || self.child.try_wait().unwrap()).await;
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }

    /// Ends it as an operator would, and wants exit code 0.
    pub(crate) async fn stop(self) -> String {
        self.terminate();
        let (status, log) = self.ended().await;
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }
}

impl Running {
    /// Everything printed up to now.
    pub(crate) fn out(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Ends it as Ctrl-C would.
    pub(crate) fn interrupt(self) -> Said {
        signal("INT", &self.child);
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Said {
        let code = self.child.wait().unwrap().code().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let mut err = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut stderr, &mut err).unwrap();
        Said {
            code,
            out: self.out(),
            err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already ended, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Said {
    /// What it printed, of a command that must have succeeded.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// What it printed as JSON, of a command that must have succeeded.
    pub(crate) fn json(self) -> serde_json::Value {
        let out = self.good();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().to_string();
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -\"$1\" \"$0\"", &pid, name]);
    assert!(kill.status().unwrap().success());
}

fn follow(stderr: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines() {
            let mut log = log.lock().unwrap();
            log.push_str(&line.unwrap());
            log.push('\n');
        }
    })
}

/// The addresses in the line that says `listening`, in either format.
fn addresses(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let after = |key: &str| {
        let rest = &line[line.find(key)? + key.len()..];
        let rest = rest.trim_start_matches(['"', ':', '=']);
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        rest[..end.unwrap_or(rest.len())].parse().ok()
    };
    Some((after("address")?, after("side")?))
}
