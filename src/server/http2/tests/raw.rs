//! A peer that says what it likes: frames as bytes, without a client's good manners.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW: u8 = 8;

pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// The code that a reset or a GOAWAY gives.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The preface, and settings of `(id, value)`.
pub(super) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings.iter();
    let payload: Vec<u8> = pairs
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    let settings = frame(SETTINGS, 0, 0, &payload);
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..]].concat()
}

/// A call to `path`, with one header besides where that is given.
pub(super) fn call(stream: u32, flags: u8, path: &str, more: Option<(&str, &str)>) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    // POST, http, and the path and the authority by their names' places in HPACK's table.
    let mut block = vec![0x83, 0x86, 0x04];
    block.extend(text(path));
    block.push(0x01);
    block.extend(text("keyward"));
    if let Some((name, value)) = more {
        block.push(0x00);
        block.extend([text(name), text(value)].concat());
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RESET, 0, stream, &8_u32.to_be_bytes())
}

pub(super) async fn say(peer: &mut DuplexStream, frames: &[Vec<u8>]) {
    peer.write_all(&frames.concat()).await.unwrap();
}

/// The next frame; none when the connection is over.
pub(super) async fn hear(peer: &mut DuplexStream) -> Option<Frame> {
    let mut head = [0; 9];
    peer.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    peer.read_exact(&mut payload).await.ok()?;
    Some(Frame {
        kind: head[3],
        stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
        payload,
    })
}

/// The next frame of a kind.
pub(super) async fn hear_of(peer: &mut DuplexStream, kind: u8) -> Option<Frame> {
    loop {
        let frame = hear(peer).await?;
        if frame.kind == kind {
            return Some(frame);
        }
    }
}
