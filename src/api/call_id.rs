//! The name of a call, the same in the caller's logs, in ours, in errors and in the audit log.

use std::fmt;

use http::{HeaderMap, HeaderName};

/// Where a caller names its call, and an answer repeats the name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) const LONGEST: usize = 64;
/// A made id: 64 random bits in hex. It tells calls apart in a log; it is no secret.
pub(crate) const MADE: usize = 16;

/// 1 to 64 of `[A-Za-z0-9._-]`. Held in place, so that it costs no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallId {
    text: [u8; LONGEST],
    length: u8,
}

impl CallId {
    /// As it is logged and sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("made of ASCII only")
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }

    pub(crate) fn parse(presented: &[u8]) -> Option<Self> {
        let fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
        ((1..=LONGEST).contains(&presented.len()) && presented.iter().all(fit))
            .then(|| Self::holding(presented))
    }

    /// The caller's own name for the call where it is fit to be logged, else one that is made.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let presented = headers.get(HEADER);
        presented
            .and_then(|presented| Self::parse(presented.as_bytes()))
            .unwrap_or_else(Self::made)
    }

    pub(crate) fn made() -> Self {
        let bits: u64 = rand::random();
        let mut text = [0; MADE];
        for (place, digit) in text.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(bits >> (4 * place)) as usize & 0xf];
        }
        Self::holding(&text)
    }

    fn holding(bytes: &[u8]) -> Self {
        let mut text = [0; LONGEST];
        text[..bytes.len()].copy_from_slice(bytes);
        Self {
            text,
            length: bytes.len() as u8,
        }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
