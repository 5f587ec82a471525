//! PostgreSQL as it comes, with a table like ours: a cluster of its own on the same disk, driven by pgbench over its socket.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::cpu;
use crate::create::{Outcome, WRITERS};

/// A token's columns, and the index that lists an account's tokens.
const TABLE: &str = "
    CREATE TABLE token (
        id text PRIMARY KEY, account_id text NOT NULL, name text NOT NULL, description text NOT NULL,
        principal_id text, read_only bool NOT NULL, grants text[] NOT NULL, networks text[] NOT NULL,
        inactive bool NOT NULL, deactivations bigint NOT NULL, expire_time timestamptz,
        create_time timestamptz NOT NULL, created_by text NOT NULL, update_time timestamptz NOT NULL,
        secret_version int NOT NULL, secret_digest bytea NOT NULL, secret_hint text NOT NULL,
        generation bigint NOT NULL
    );
    CREATE INDEX token_of_account ON token (account_id, id);";

/// One insert; ids are as random and as long as ours.
const INSERT: &str = r"\set a random(100000000000, 999999999999)
\set b random(1000000000, 9999999999)
INSERT INTO token VALUES (:a::text || :b::text, 'bench', 'credential 12345678', '', NULL, false, '{tables/*.read}',
    '{10.0.0.0/8}', false, 0, NULL, now(), '0123456789ABCDEFGHIJKL', now(), 1,
    '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f', 'a1b2', 1);
";

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running cluster; stopped when dropped.
pub(crate) struct Postgres {
    home: tempfile::TempDir,
    server: Child,
    user: Option<u32>,
}

impl Postgres {
    /// A new cluster with the table, or why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).map_err(|e| e.to_string())?;
        let user = user_for(home.path())?;
        let data = home.path().join("data");
        let made = tool("initdb", user)?
            .args(["--auth=trust", "--username=bench", "--pgdata"])
            .arg(&data)
            .output();
        succeeded("initdb", made)?;
        let server = tool("postgres", user)?
            .args(["-c", "listen_addresses="])
            .arg("-k")
            .arg(home.path())
            .arg("-D")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let postgres = Self { home, server, user };
        postgres.prepare()?;
        Ok(postgres)
    }

    fn prepare(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let said = self
                .client("psql")?
                .args(["-c", TABLE, "postgres"])
                .output();
            match succeeded("psql", said) {
                Ok(_) => break,
                Err(why) if begun.elapsed() > PATIENCE => return Err(why),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        let script = std::fs::File::create(self.script())
            .and_then(|mut file| file.write_all(INSERT.as_bytes()));
        script.map_err(|error| error.to_string())
    }

    pub(crate) fn round(&self, round: Duration) -> Outcome {
        let used = self.cpu();
        let bench = self.client("pgbench").expect("it was there");
        let said = self.run(bench, round);
        // Backends count as their parent's once they have ended.
        std::thread::sleep(Duration::from_millis(200));
        let field = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|rest| rest.split_whitespace().next());
            number.and_then(|text| text.parse::<f64>().ok())
        };
        let made = field("number of transactions actually processed: ");
        let rate = field("tps = ");
        let (made, rate) = made.zip(rate).unwrap_or_else(|| panic!("pgbench: {said}"));
        Outcome {
            made: made as u64,
            wall: Duration::from_secs_f64(made / rate),
            cpu: self.cpu() - used,
            p99: None,
            committer: None,
        }
    }

    fn run(&self, mut bench: Command, round: Duration) -> String {
        let said = bench
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .arg(format!("--client={WRITERS}"))
            .arg(format!("--time={}", round.as_secs().max(1)))
            .arg(format!("--file={}", self.script().display()))
            .arg("postgres")
            .output();
        succeeded("pgbench", said).expect("PostgreSQL takes tokens")
    }

    fn client(&self, name: &str) -> Result<Command, String> {
        let mut command = tool(name, self.user)?;
        command
            .arg("-h")
            .arg(self.home.path())
            .args(["-U", "bench"]);
        Ok(command)
    }

    fn script(&self) -> PathBuf {
        self.home.path().join("insert.sql")
    }

    /// Of the server, its helpers and the backends that have ended.
    fn cpu(&self) -> Duration {
        let own = cpu::of_reaped(self.server.id());
        let helpers = cpu::children(self.server.id());
        own + helpers.into_iter().map(cpu::of).sum::<Duration>()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT: a fast shutdown, so that no process of it is left.
        let _ = Command::new("kill")
            .args(["-INT", &self.server.id().to_string()])
            .status();
        let _ = self.server.wait();
    }
}

/// PostgreSQL does not run as root: somebody else, who then owns its directory.
fn user_for(home: &Path) -> Result<Option<u32>, String> {
    let metadata = std::fs::metadata(home).map_err(|error| error.to_string())?;
    if metadata.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let id = |name: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split(':').nth(1)?.parse().ok())
    };
    let user = id("postgres:").or_else(|| id("nobody:"));
    let user = user.ok_or("it does not run as root, and nobody else is here")?;
    chown(home, Some(user), None).map_err(|error| error.to_string())?;
    Ok(Some(user))
}

/// One of PostgreSQL's programs: on the PATH, or where Debian has them.
fn tool(name: &str, user: Option<u32>) -> Result<Command, String> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&on_path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    places.extend(versions.flatten().map(|version| version.path().join("bin")));
    let program = places
        .iter()
        .map(|place| place.join(name))
        .find(|path| path.is_file());
    let mut command = Command::new(program.ok_or_else(|| format!("{name} is not here"))?);
    if let Some(user) = user {
        command.uid(user);
    }
    Ok(command)
}

fn succeeded(name: &str, output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{name}: {}", text(&output.stderr))),
    }
}
