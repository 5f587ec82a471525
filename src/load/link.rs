//! One HTTP/2 connection: what is to be sent, what has come, and what the protocol itself wants answered.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::frames::{self, Frame};
use super::hpack::{Decoder, Head};

/// A server says its settings within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for what is read at a time.
const BUFFER: usize = 1 << 16;

/// A connection that a server has answered on.
pub(super) struct Link {
    pub(super) socket: TcpStream,
    /// Goes out with the next flush.
    pub(super) out: Vec<u8>,
    /// Bytes of questions that the connection may still carry.
    pub(super) window: i64,
    /// Those that a stream may carry when it is opened.
    pub(super) first_window: i64,
    /// Streams that may be open at once.
    pub(super) max_streams: usize,
    buffer: Vec<u8>,
    read: usize,
    heads: Decoder,
    /// Bytes received since the server was told so.
    received: u32,
}

/// What a server said.
#[derive(Debug)]
pub(super) enum Event<'l> {
    Data {
        stream: u32,
        bytes: &'l [u8],
        ends: bool,
    },
    Head {
        stream: u32,
        head: Head,
        ends: bool,
    },
    /// The stream is no more, with HTTP/2's code.
    Reset {
        stream: u32,
        code: u32,
    },
    /// The stream may carry so many bytes more.
    Window {
        by: u32,
    },
    /// Nothing new is taken on this connection.
    Goaway,
}

impl Link {
    /// Connects, and waits for the server's settings.
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, Self::greet(address)).await;
        opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn greet(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut link = Self {
            socket,
            out: Vec::with_capacity(BUFFER),
            window: frames::FIRST_WINDOW,
            first_window: frames::FIRST_WINDOW,
            max_streams: usize::MAX,
            buffer: Vec::with_capacity(BUFFER),
            read: 0,
            heads: Decoder::default(),
            received: 0,
        };
        frames::preface(&mut link.out);
        link.flush().await?;
        loop {
            link.read().await?;
            while let Some(frame) = link.frame() {
                let settings = frame.kind == frames::SETTINGS && !frame.is_ack();
                link.serve(frame);
                if settings {
                    return Ok(link);
                }
            }
        }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.socket.write_all(&self.out).await?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits until something has come.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        self.make_room();
        match self.socket.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Takes what has come; whether anything has.
    pub(super) fn try_read(&mut self) -> io::Result<bool> {
        self.make_room();
        match self.socket.try_read_buf(&mut self.buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next that matters of what has come. What the protocol wants answered is answered with the next flush.
    pub(super) fn next(&mut self) -> io::Result<Option<Event<'_>>> {
        let frame = loop {
            let Some(frame) = self.frame() else {
                return Ok(None);
            };
            if !self.serve(frame) {
                break frame;
            }
        };
        let (stream, ends) = (frame.stream, frame.ends_stream());
        let payload = &self.buffer[frame.from..frame.to];
        Ok(Some(match frame.kind {
            frames::DATA => Event::Data {
                stream,
                bytes: payload,
                ends,
            },
            frames::HEADERS if frame.ends_headers() => Event::Head {
                stream,
                head: self.heads.read(payload).ok_or_else(broken)?,
                ends,
            },
            frames::RESET => Event::Reset {
                stream,
                code: frames::word(payload),
            },
            frames::WINDOW_UPDATE => Event::Window {
                by: frames::word(payload),
            },
            frames::GOAWAY => Event::Goaway,
            // A header block in parts: no answer needs one.
            _ => return Err(broken()),
        }))
    }

    /// Takes the next whole frame; its places are those of the buffer.
    fn frame(&mut self) -> Option<Frame> {
        let mut frame = Frame::first(&self.buffer[self.read..])?;
        frame.from += self.read;
        frame.to += self.read;
        self.read += frame.end;
        Some(frame)
    }

    /// Does what a frame wants of the connection; whether that is all.
    fn serve(&mut self, frame: Frame) -> bool {
        let payload = &self.buffer[frame.from..frame.to];
        match frame.kind {
            frames::DATA => {
                self.received += payload.len() as u32;
                if self.received > frames::WINDOW / 2 {
                    frames::window_update(&mut self.out, 0, self.received);
                    self.received = 0;
                }
                false
            }
            frames::WINDOW_UPDATE if frame.stream == 0 => {
                self.window += i64::from(frames::word(payload));
                true
            }
            frames::PING if !frame.is_ack() => {
                frames::pong(&mut self.out, payload);
                true
            }
            frames::SETTINGS if !frame.is_ack() => {
                for setting in payload.chunks_exact(6) {
                    let value = frames::word(&setting[2..]);
                    match u16::from_be_bytes([setting[0], setting[1]]) {
                        frames::INITIAL_WINDOW => self.first_window = i64::from(value),
                        frames::MAX_STREAMS => self.max_streams = value as usize,
                        _ => {}
                    }
                }
                frames::settings_ack(&mut self.out);
                true
            }
            frames::HEADERS | frames::RESET | frames::WINDOW_UPDATE | frames::GOAWAY => false,
            frames::CONTINUATION => false,
            _ => true,
        }
    }

    fn make_room(&mut self) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.reserve(BUFFER / 2);
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came is no answer")
}
