//! Redis: GET by the credential's text, pipelined; values of an answer's size.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use prost::Message as _;

use super::{Anchor, free_address, serving};
use crate::{cpu, machine, noop};

/// Keys that are set at once.
const AT_ONCE: usize = 1_000;

pub(crate) fn start(keys: &[(String, String)]) -> Result<Anchor, String> {
    let version =
        machine::says(Command::new("redis-server").arg("--version")).ok_or("not installed")?;
    let address = free_address();
    let port = address.port().to_string();
    let words = [
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        &port,
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    let mut command = cpu::on_the_first_core(&words.map(OsStr::new));
    let child = command
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let child = serving(child, address, Duration::from_secs(20))?;
    let mut socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
    for some in keys.chunks(AT_ONCE) {
        let mut out = Vec::new();
        some.iter().for_each(|(key, id)| set(&mut out, key, id));
        let mut answers = vec![0; some.len() * b"+OK\r\n".len()];
        socket.write_all(&out).map_err(|error| error.to_string())?;
        socket
            .read_exact(&mut answers)
            .map_err(|error| error.to_string())?;
    }
    Ok(Anchor {
        child,
        address,
        keys: keys.len(),
        version: version
            .split_whitespace()
            .take(3)
            .collect::<Vec<_>>()
            .join(" "),
    })
}

pub(crate) fn get(out: &mut Vec<u8>, key: &str) {
    command(out, &[b"GET", key.as_bytes()]);
}

/// What a GET is answered: the id, filled up to the size of an answer.
pub(crate) fn value(out: &mut Vec<u8>, id: &str) {
    let size = noop::answer().encoded_len();
    out.extend(format!("${size}\r\n{id:.<size$}\r\n").as_bytes());
}

fn set(out: &mut Vec<u8>, key: &str, id: &str) {
    let size = noop::answer().encoded_len();
    command(
        out,
        &[b"SET", key.as_bytes(), format!("{id:.<size$}").as_bytes()],
    );
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend(format!("${}\r\n", word.len()).as_bytes());
        out.extend(*word);
        out.extend(b"\r\n");
    }
}
