//! HTTP/2 as bytes: requests that are encoded once and replayed, answers that are taken apart no further than is needed.

/// What a client says first: the preface, settings, and a window that never closes.
pub(crate) fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[]);
    bytes.extend(window_update(WINDOW));
    bytes
}

/// What is given back to the connection's window at a time.
pub(crate) const WINDOW: u32 = 1 << 30;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The headers of a gRPC call: the first request of a connection puts them into HPACK's table, the others name their places,
/// as real clients do.
pub(crate) struct Headers {
    first: Vec<u8>,
    next: Vec<u8>,
}

impl Headers {
    pub(crate) fn new(path: &str, authorization: &str) -> Self {
        let fields = [
            (":path", path),
            (":authority", "127.0.0.1"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "keyward-bench"),
            ("authorization", authorization),
        ];
        // :method POST and :scheme http stand in the static table.
        let (mut first, mut next) = (vec![0x83, 0x86], vec![0x83, 0x86]);
        for (place, (name, value)) in fields.iter().enumerate() {
            first.push(0x40);
            string(&mut first, name);
            string(&mut first, value);
            let newest = fields.len() - 1;
            next.push(0x80 | u8::try_from(62 + newest - place).expect("the table is short"));
        }
        Self { first, next }
    }

    /// One call: its headers and its message, ready to be sent.
    pub(crate) fn call(&self, into: &mut Vec<u8>, stream: u32, message: &[u8]) {
        let block = if stream == 1 { &self.first } else { &self.next };
        frame(into, HEADERS, END_HEADERS, stream, block);
        let mut body = Vec::with_capacity(message.len() + 5);
        body.push(0);
        body.extend(
            u32::try_from(message.len())
                .expect("messages are short")
                .to_be_bytes(),
        );
        body.extend(message);
        frame(into, DATA, END_STREAM, stream, &body);
    }
}

/// What a server says, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// Bytes of an answer.
    Data(u32, &'a [u8]),
    /// The answer is complete.
    End(u32),
    /// To be sent back.
    Ping([u8; 8]),
    Settings,
    Nothing,
    Reset(u32),
    Goaway,
}

/// The first frame of what was received, and its length; `None` where it is not complete.
pub(crate) fn next(bytes: &[u8]) -> Option<(Said<'_>, usize)> {
    let header: &[u8; 9] = bytes.first_chunk()?;
    let [a, b, c, kind, flags, s0, s1, s2, s3] = *header;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let payload = bytes.get(9..9 + length)?;
    let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
    let ends = flags & END_STREAM != 0;
    let said = match kind {
        DATA => Said::Data(stream, payload),
        HEADERS if ends => Said::End(stream),
        SETTINGS if flags & ACK == 0 => Said::Settings,
        PING if flags & ACK == 0 => Said::Ping(payload.try_into().unwrap_or_default()),
        3 => Said::Reset(stream),
        GOAWAY => Said::Goaway,
        _ => Said::Nothing,
    };
    Some((said, 9 + length))
}

pub(crate) fn settings_ack() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, SETTINGS, ACK, 0, &[]);
    bytes
}

pub(crate) fn pong(payload: [u8; 8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, PING, ACK, 0, &payload);
    bytes
}

pub(crate) fn window_update(by: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &by.to_be_bytes());
    bytes
}

fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames are short");
    into.extend(&length.to_be_bytes()[1..]);
    into.extend([kind, flags]);
    into.extend(stream.to_be_bytes());
    into.extend(payload);
}

/// HPACK's string, not Huffman coded.
fn string(into: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(short) if short < 127 => into.push(short),
        Ok(_) | Err(_) => {
            into.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                into.push(0x80 | (rest % 128) as u8);
                rest /= 128;
            }
            into.push(rest as u8);
        }
    }
    into.extend(text.as_bytes());
}
