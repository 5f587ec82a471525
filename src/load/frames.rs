//! HTTP/2 as bytes: requests that are encoded once and replayed, and the frames of what is received.

/// Of an answer or a question, in one frame.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RESET: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// What a server may send before it hears that it was read: more than a run's answers between two looks.
pub(super) const WINDOW: u32 = 1 << 30;
/// The window that the protocol begins with.
pub(super) const FIRST_WINDOW: i64 = 65_535;
/// The longest payload that every server takes.
pub(super) const LONGEST: usize = 16_384;

const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW: u16 = 4;

/// What a client says first: the preface, settings, and a window that never closes.
pub(super) fn preface(into: &mut Vec<u8>) {
    into.extend(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut settings = Vec::new();
    for (name, value) in [(ENABLE_PUSH, 0), (INITIAL_WINDOW, WINDOW)] {
        settings.extend(name.to_be_bytes());
        settings.extend(u32::to_be_bytes(value));
    }
    frame(into, SETTINGS, 0, 0, &settings);
    window_update(into, 0, WINDOW);
}

/// The headers of a call: the first request of a connection puts them into HPACK's table, the others name their places, as
/// real clients do.
pub(super) struct Headers {
    first: Vec<u8>,
    next: Vec<u8>,
}

impl Headers {
    /// `fields` are those without a place in the static table; at most some thirty.
    pub(super) fn new<'f>(
        post: bool,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Self {
        // :method and :scheme http stand in the static table.
        let method = if post { 0x83 } else { 0x82 };
        let (mut first, mut next) = (vec![method, 0x86], vec![method, 0x86]);
        let fields: Vec<_> = fields.into_iter().collect();
        for (place, (name, value)) in fields.iter().enumerate() {
            first.push(0x40);
            string(&mut first, name);
            string(&mut first, value);
            let newest = fields.len() - 1;
            next.push(0x80 | u8::try_from(62 + newest - place).expect("the table is short"));
        }
        Self { first, next }
    }

    /// Opens a stream. What differs from call to call is said anew each time, and kept by nobody.
    pub(super) fn open(
        &self,
        into: &mut Vec<u8>,
        stream: u32,
        ends: bool,
        own: Option<(&str, &str)>,
    ) {
        let block = if stream == 1 { &self.first } else { &self.next };
        let flags = if ends {
            END_HEADERS | END_STREAM
        } else {
            END_HEADERS
        };
        let Some((name, value)) = own else {
            return frame(into, HEADERS, flags, stream, block);
        };
        let mut block = block.clone();
        block.push(0x10);
        string(&mut block, name);
        string(&mut block, value);
        frame(into, HEADERS, flags, stream, &block);
    }
}

/// Bytes of a question, in as many frames as they need.
pub(super) fn data(into: &mut Vec<u8>, stream: u32, ends: bool, bytes: &[u8]) {
    let mut parts = bytes.chunks(LONGEST).peekable();
    if parts.peek().is_none() && ends {
        frame(into, DATA, END_STREAM, stream, &[]);
    }
    while let Some(part) = parts.next() {
        let last = ends && parts.peek().is_none();
        frame(into, DATA, if last { END_STREAM } else { 0 }, stream, part);
    }
}

pub(super) fn settings_ack(into: &mut Vec<u8>) {
    frame(into, SETTINGS, ACK, 0, &[]);
}

pub(super) fn pong(into: &mut Vec<u8>, payload: &[u8]) {
    frame(into, PING, ACK, 0, payload);
}

pub(super) fn window_update(into: &mut Vec<u8>, stream: u32, by: u32) {
    frame(into, WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
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

/// A frame of what was received, and where its payload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    /// Within the bytes that were given; without padding and priority.
    pub(super) from: usize,
    pub(super) to: usize,
    /// Where the next frame begins.
    pub(super) end: usize,
}

impl Frame {
    /// The first frame of these bytes, once all of it is there.
    pub(super) fn first(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk()?;
        let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = bytes.get(9..end)?;
        let (mut from, mut to) = (9, end);
        if matches!(kind, DATA | HEADERS) {
            if flags & PADDED != 0 {
                from += 1;
                to -= payload.first().map_or(0, |pad| usize::from(*pad));
            }
            if kind == HEADERS && flags & PRIORITY != 0 {
                from += 5;
            }
        }
        Some(Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            from: from.min(end),
            to: to.max(from).min(end),
            end,
        })
    }

    pub(super) fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }

    pub(super) fn ends_headers(self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) fn is_ack(self) -> bool {
        self.flags & ACK != 0
    }
}

/// The four bytes that a payload begins with.
pub(super) fn word(payload: &[u8]) -> u32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_is_cut_into_frames_that_every_server_takes() {
        for (length, frames) in [(0, 1), (1, 1), (LONGEST, 1), (LONGEST + 1, 2)] {
            let mut bytes = Vec::new();
            data(&mut bytes, 5, true, &vec![7; length]);
            let mut rest = &bytes[..];
            let (mut count, mut total) = (0, 0);
            while let Some(frame) = Frame::first(rest) {
                count += 1;
                total += frame.to - frame.from;
                assert_eq!((frame.kind, frame.stream), (DATA, 5));
                assert_eq!(frame.ends_stream(), count == frames);
                rest = &rest[frame.end..];
            }
            assert_eq!((count, total, rest.len()), (frames, length, 0));
        }
    }

    #[test]
    fn padding_and_priority_are_no_payload() {
        let mut bytes = Vec::new();
        frame(
            &mut bytes,
            HEADERS,
            PADDED | PRIORITY,
            1,
            b"\x02pppppblock..",
        );
        let read = Frame::first(&bytes).unwrap();
        assert_eq!(&bytes[read.from..read.to], b"block");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(frame) = Frame::first(&bytes) {
                prop_assert!(frame.from <= frame.to && frame.to <= bytes.len());
            }
        }
    }
}
