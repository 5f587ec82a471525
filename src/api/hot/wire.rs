//! Reading and writing protobuf's wire format in place: what is read borrows from the bytes, and what is written goes straight to
//! where it is sent from. It refuses what prost refuses, and writes what prost writes.

use bytes::{BufMut as _, BytesMut};

/// Groups and messages that may lie within each other: prost's own bound.
const DEEPEST: u32 = 100;
/// The most bytes of a number.
const LONGEST_VARINT: usize = 10;

/// The bytes are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

/// The fields of one message, in the order in which they lie there.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    /// How much deeper it may go.
    depth: u32,
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a type that no field of ours has; skipped.
    Other,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self {
            rest: message,
            depth: DEEPEST,
        }
    }

    /// The next field, by its number; `None` at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let value = match wire_type {
            0 => Value::Number(self.varint()?),
            2 => Value::Bytes(self.bytes()?),
            wire_type => {
                self.skip(number, wire_type, self.depth)?;
                Value::Other
            }
        };
        Ok(Some((number, value)))
    }

    /// The fields of a message that is a field of this one.
    pub(super) fn within(&self, value: Value<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            rest: value.bytes()?,
            depth: self.depth.checked_sub(1).ok_or(Malformed)?,
        })
    }

    fn key(&mut self) -> Result<(u32, u32), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, key & 7)),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let (&first, rest) = self.rest.split_first().ok_or(Malformed)?;
        if first < 0x80 {
            self.rest = rest;
            return Ok(first.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, &byte) in self.rest.iter().take(LONGEST_VARINT).enumerate() {
            // Of the last byte, one bit is left to be set.
            if place + 1 == LONGEST_VARINT && byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Steps over a value, groups and all that is in them included.
    fn skip(&mut self, number: u32, wire_type: u32, depth: u32) -> Result<(), Malformed> {
        let deeper = depth.checked_sub(1).ok_or(Malformed)?;
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.bytes().map(drop),
            3 => loop {
                let (inner, wire_type) = self.key()?;
                if wire_type == 4 {
                    return if inner == number {
                        Ok(())
                    } else {
                        Err(Malformed)
                    };
                }
                self.skip(inner, wire_type, deeper)?;
            },
            5 => self.take(4).map(drop),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Other => Err(Malformed),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Other => Err(Malformed),
        }
    }
}

/// Writes a number, unless it is 0.
pub(super) fn put_number(out: &mut BytesMut, field: u32, number: u64) {
    if number != 0 {
        put_varint(out, key(field, 0));
        put_varint(out, number);
    }
}

/// Writes a text, unless it is empty.
pub(super) fn put_text(out: &mut BytesMut, field: u32, text: &str) {
    if !text.is_empty() {
        put_element(out, field, text);
    }
}

/// Writes one text of several.
pub(super) fn put_element(out: &mut BytesMut, field: u32, text: &str) {
    put_varint(out, key(field, 2));
    put_varint(out, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// Writes a message whose fields `write` adds. Its length comes before it and is known after it: what is longer than one byte can
/// tell is moved.
pub(super) fn put_message(out: &mut BytesMut, field: u32, write: impl FnOnce(&mut BytesMut)) {
    put_varint(out, key(field, 2));
    out.put_u8(0);
    let start = out.len();
    write(out);
    let (digits, count) = varint((out.len() - start) as u64);
    if count > 1 {
        let end = out.len();
        out.put_bytes(0, count - 1);
        out.copy_within(start..end, start - 1 + count);
    }
    out[start - 1..start - 1 + count].copy_from_slice(&digits[..count]);
}

fn key(field: u32, wire_type: u32) -> u64 {
    u64::from(field << 3 | wire_type)
}

fn put_varint(out: &mut BytesMut, value: u64) {
    match u8::try_from(value) {
        Ok(short @ 0..0x80) => out.put_u8(short),
        _ => {
            let (digits, count) = varint(value);
            out.put_slice(&digits[..count]);
        }
    }
}

/// A number's bytes, and how many they are.
fn varint(mut value: u64) -> ([u8; LONGEST_VARINT], usize) {
    let mut digits = [0; LONGEST_VARINT];
    let mut count = 0;
    while value >= 0x80 {
        digits[count] = value as u8 | 0x80;
        value >>= 7;
        count += 1;
    }
    digits[count] = value as u8;
    (digits, count + 1)
}
