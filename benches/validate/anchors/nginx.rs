//! nginx: a `map` over a header with as many keys, over HTTP/2 in plaintext. (Its map compares without case.)

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Anchor, free_address, serving};
use crate::{cpu, machine};

/// The header that carries the key.
pub(crate) const HEADER: &str = "x-api-key";

pub(crate) fn start(keys: &[(String, String)], dir: &Path) -> Result<Anchor, String> {
    let said = machine::says(Command::new("nginx").arg("-v")).ok_or("not installed")?;
    let version = said.rsplit('/').next().unwrap_or_default().to_owned();
    let address = free_address();
    let dir = dir.join("nginx");
    let file = dir.join("nginx.conf");
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    fs::write(&file, configuration(keys, &address.to_string(), &version))
        .map_err(|error| error.to_string())?;
    let words = [
        OsStr::new("nginx"),
        OsStr::new("-p"),
        dir.as_os_str(),
        OsStr::new("-c"),
        file.as_os_str(),
    ];
    let mut command = cpu::on_the_first_core(&words);
    let child = command
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    Ok(Anchor {
        child: serving(child, address, Duration::from_secs(180))?,
        address,
        keys: keys.len(),
        version: format!("nginx {version}"),
    })
}

/// One process, which answers with the number of the key.
fn configuration(keys: &[(String, String)], address: &str, version: &str) -> String {
    let mut numbers = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    let listen = match version >= [1, 25, 1] {
        true => format!("listen {address}; http2 on;"),
        false => format!("listen {address} http2;"),
    };
    let mut map = String::new();
    for (number, (key, _)) in keys.iter().enumerate() {
        let _ = writeln!(map, "\"{key}\" {number};");
    }
    let hash = keys.len().next_power_of_two() * 4;
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
access_log off; keepalive_requests 1000000000; http2_max_concurrent_streams 512;
map_hash_max_size {hash}; map_hash_bucket_size 256;
map $http_x_api_key $number {{ default ''; {map} }}
server {{ {listen} location / {{ if ($number = '') {{ return 403; }} return 200 $number; }} }}
}}"
    )
}
