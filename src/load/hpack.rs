//! Reads the header blocks of answers (HPACK, RFC 7541) as far as a load must: the status, and gRPC's status with its details.

use std::collections::VecDeque;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use super::huffman;

/// The names of the static table, from its first place on.
const NAMES: &str = ":authority :method :method :path :path :scheme :scheme :status :status :status :status :status \
    :status :status accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow \
    authorization cache-control content-disposition content-encoding content-language content-length content-location \
    content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match if-range \
    if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh \
    retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate";
static FIXED: LazyLock<Vec<&str>> = LazyLock::new(|| NAMES.split(' ').collect());
/// How many they are.
const STATIC: usize = 61;
/// The statuses of the static table, from `:status`'s first place on.
const STATUSES: [&[u8]; 7] = [b"200", b"204", b"206", b"304", b"400", b"404", b"500"];
const FIRST_STATUS: usize = 8;
/// What the table holds at most: this client never asks for another size.
const TABLE_BYTES: usize = 4096;
/// What each entry costs beside its bytes.
const ENTRY_BYTES: usize = 32;

/// What a header block said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Head {
    /// HTTP's status.
    pub status: Option<u16>,
    /// gRPC's.
    pub code: Option<u16>,
    /// gRPC's status with its details, a `google.rpc.Status`.
    pub details: Vec<u8>,
}

impl Head {
    /// Adds what a later block said.
    pub(super) fn extend(&mut self, later: Self) {
        self.status = later.status.or(self.status);
        self.code = later.code.or(self.code);
        if !later.details.is_empty() {
            self.details = later.details;
        }
    }

    fn take(&mut self, name: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok()?.parse().ok();
        match name {
            b":status" => self.status = number(),
            b"grpc-status" => self.code = number(),
            b"grpc-status-details-bin" => {
                let unpadded = value.strip_suffix(b"==").or(value.strip_suffix(b"="));
                let engine = GeneralPurpose::new(&STANDARD, NO_PAD);
                self.details = engine.decode(unpadded.unwrap_or(value)).unwrap_or_default();
            }
            _ => {}
        }
    }
}

/// A name and its value.
type Field = (Box<[u8]>, Box<[u8]>);

/// One direction of a connection: what one block leaves in the table, the next ones name.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Name and value, the newest first.
    table: VecDeque<Field>,
    bytes: usize,
}

impl Decoder {
    /// Reads a whole block; `None` where it is none.
    pub(super) fn read(&mut self, block: &[u8]) -> Option<Head> {
        let mut head = Head::default();
        let mut rest = block;
        while let Some(&first) = rest.first() {
            if first & 0x80 != 0 {
                let place = number(&mut rest, 7)?;
                let (name, value) = self.entry(place)?;
                head.take(name, value);
            } else if first & 0x40 != 0 {
                let (name, value) = self.literal(&mut rest, 6)?;
                head.take(&name, &value);
                self.keep(name, value);
            } else if first & 0x20 != 0 {
                // Another size, which is at most ours: older entries go.
                let most = number(&mut rest, 5)?;
                self.shrink_to(most.min(TABLE_BYTES));
            } else {
                let (name, value) = self.literal(&mut rest, 4)?;
                head.take(&name, &value);
            }
        }
        Some(head)
    }

    fn literal(&self, rest: &mut &[u8], bits: u32) -> Option<Field> {
        let name = match number(rest, bits)? {
            0 => text(rest)?,
            place => self.entry(place)?.0.into(),
        };
        Some((name, text(rest)?))
    }

    fn entry(&self, place: usize) -> Option<(&[u8], &[u8])> {
        if place > STATIC {
            let (name, value) = self.table.get(place - STATIC - 1)?;
            return Some((name, value));
        }
        let name = FIXED.get(place.checked_sub(1)?)?;
        let status = place
            .checked_sub(FIRST_STATUS)
            .and_then(|at| STATUSES.get(at));
        Some((name.as_bytes(), status.copied().unwrap_or_default()))
    }

    fn keep(&mut self, name: Box<[u8]>, value: Box<[u8]>) {
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        self.shrink_to(TABLE_BYTES.saturating_sub(bytes));
        if bytes <= TABLE_BYTES {
            self.bytes += bytes;
            self.table.push_front((name, value));
        }
    }

    fn shrink_to(&mut self, most: usize) {
        while self.bytes > most
            && let Some((name, value)) = self.table.pop_back()
        {
            self.bytes -= name.len() + value.len() + ENTRY_BYTES;
        }
    }
}

/// HPACK's number: the low bits of the first byte, and more where they are all ones.
fn number(rest: &mut &[u8], bits: u32) -> Option<usize> {
    let most = (1_usize << bits) - 1;
    let low = usize::from(*rest.split_off_first()?) & most;
    if low < most {
        return Some(low);
    }
    let mut value = most;
    for shift in [0, 7, 14, 21] {
        let byte = *rest.split_off_first()?;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn text(rest: &mut &[u8]) -> Option<Box<[u8]>> {
    let coded = rest.first()? & 0x80 != 0;
    let length = number(rest, 7)?;
    let bytes = rest.split_off(..length)?;
    match coded {
        true => huffman::decode(bytes).map(Into::into),
        false => Some(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_static_table_is_whole() {
        assert_eq!(FIXED.len(), STATIC);
        let decoder = Decoder::default();
        assert_eq!(decoder.entry(8), Some((&b":status"[..], &b"200"[..])));
        assert_eq!(decoder.entry(14), Some((&b":status"[..], &b"500"[..])));
        assert_eq!(decoder.entry(15).unwrap().0, b"accept-charset");
        assert_eq!(decoder.entry(61).unwrap().0, b"www-authenticate");
        assert_eq!((decoder.entry(0), decoder.entry(62)), (None, None));
    }

    #[test]
    fn a_later_block_names_what_an_earlier_one_said() {
        let mut decoder = Decoder::default();
        let literal = [&[0x40, 11][..], b"grpc-status", &[2], b"14"].concat();
        let said = |code| Head {
            code: Some(code),
            ..Head::default()
        };
        assert_eq!(decoder.read(&literal), Some(said(14)));
        assert_eq!(decoder.read(&[0x80 | 62]), Some(said(14)));
        // The name alone is taken from the table; the value is new, and Huffman coded.
        assert_eq!(decoder.read(&[0x40 | 62, 0x81, 0x07]), Some(said(0)));
        assert_eq!(decoder.read(&[0x80 | 62, 0x80 | 63]), Some(said(14)));
        assert_eq!(decoder.read(&[0x20]), Some(Head::default()));
        assert_eq!(decoder.read(&[0x80 | 62]), None);
    }

    #[test]
    fn the_table_holds_4096_bytes() {
        let mut decoder = Decoder::default();
        let value = [b'v'; 100];
        let literal = [&[0x40, 1][..], b"n", &[100], &value].concat();
        for _ in 0..100 {
            decoder.read(&literal).unwrap();
        }
        assert_eq!(decoder.table.len(), TABLE_BYTES / (1 + 100 + ENTRY_BYTES));
    }

    proptest! {
        #[test]
        fn no_block_makes_it_panic_or_grow(block in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.read(&block);
            prop_assert!(decoder.bytes <= TABLE_BYTES);
        }
    }
}
