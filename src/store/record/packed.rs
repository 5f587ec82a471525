//! How usage is packed: entries of a name and a value, one after the other, since there are millions.
//!
//! * An entry: the name's length (one byte), the name, the value's length, the value.
//! * A number: little-endian groups of seven bits, the eighth set where more follow; a signed one is folded first (0, -1, 1, -2, ...).
//! * A token's use: flags; the day, signed; what the flags name, in their order; the days before, like a history. Times are
//!   milliseconds since their day began, signed.
//! * A history: for each day its distance from the one before (the first from the epoch's), signed, and its two counts.
//! * A consumer: first seen, last seen after that, its day, all three signed; calls, secret, and when an older secret was used after
//!   first seen, signed, if it was.

use crate::domain::time::{Day, Timestamp};
use crate::domain::usage::{Consumer, Counts, Days, GrantMark, SecretUse, TokenUsage};

const ALLOWED: u64 = 1;
const DENIED: u64 = 1 << 1;
const LAST_USED: u64 = 1 << 2;
/// One secret, used as often as the token on its newest day, and last when it was.
const ONE_SECRET: u64 = 1 << 3;
const SECRETS: u64 = 1 << 4;
/// Marks of exercised grants, of eight bytes each.
const EXERCISED: u64 = 1 << 5;
const CONSUMERS: u64 = 1 << 6;
const FLAGS: u64 = (CONSUMERS << 1) - 1;

/// What a packed entry can hold.
pub trait Packed: Sized + Default {
    /// Adds the value's bytes.
    fn pack(&self, bytes: &mut Vec<u8>);

    /// Takes a value's bytes in place of what is here.
    fn unpack(&mut self, bytes: &[u8]) -> Result<(), String>;

    /// The value of these bytes.
    fn unpacked(bytes: &[u8]) -> Result<Self, String> {
        let mut value = Self::default();
        value.unpack(bytes)?;
        Ok(value)
    }
}

/// What an entry has besides its name and its value, in bytes at the most.
pub const MORE: usize = 11;

/// Adds an entry.
pub fn push(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(name.len() <= usize::from(u8::MAX), "names are short");
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(name);
    number(bytes, value.len() as u64);
    bytes.extend_from_slice(value);
}

/// An entry: its name and its value.
pub type Entry<'a> = (&'a [u8], &'a [u8]);

/// Entries, as far as they can be read: see `check`.
#[derive(Clone, Debug)]
pub struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn entry(&mut self) -> Result<Entry<'a>, String> {
        let length = self.0.split_off_first().copied().unwrap_or(0);
        let name = take(&mut self.0, length.into())?;
        let length = read(&mut self.0)?;
        let value = take(&mut self.0, usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok((name, value))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let entry = self.entry().ok();
        if entry.is_none() {
            self.0 = &[];
        }
        entry
    }
}

/// Whether these are entries to the last byte.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut entries = Entries(bytes);
    while !entries.0.is_empty() {
        entries.entry()?;
    }
    Ok(())
}

impl Packed for TokenUsage {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let (day, counts) = (self.today.day, self.today.counts);
        let one = match (&self.secrets[..], self.last_used) {
            ([one], Some(last)) => {
                (one.day, one.calls, one.last_used) == (day, counts.allowed, last)
            }
            _ => false,
        };
        let flag = |flag: u64, there: bool| if there { flag } else { 0 };
        let flags = flag(ALLOWED, counts.allowed > 0)
            | flag(DENIED, counts.denied > 0)
            | flag(LAST_USED, self.last_used.is_some())
            | flag(ONE_SECRET, one)
            | flag(SECRETS, !one && !self.secrets.is_empty())
            | flag(EXERCISED, !self.exercised.is_empty())
            | flag(CONSUMERS, self.consumers > 0);
        number(bytes, flags);
        signed(bytes, day.number().into());
        for count in [counts.allowed, counts.denied] {
            if count > 0 {
                number(bytes, count);
            }
        }
        if let Some(last) = self.last_used {
            signed(bytes, since(last, day));
        }
        if one {
            number(bytes, self.secrets[0].version.into());
        } else if !self.secrets.is_empty() {
            number(bytes, self.secrets.len() as u64);
            for secret in &self.secrets {
                number(bytes, secret.version.into());
                signed(bytes, secret.day.number().into());
                number(bytes, secret.calls);
                signed(bytes, since(secret.last_used, secret.day));
            }
        }
        if !self.exercised.is_empty() {
            number(bytes, self.exercised.len() as u64);
            for mark in &self.exercised {
                bytes.extend_from_slice(&mark.0.to_le_bytes());
            }
        }
        if self.consumers > 0 {
            number(bytes, self.consumers);
        }
        self.before.pack(bytes);
    }

    fn unpack(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let bytes = &mut bytes;
        let flags = read(bytes)?;
        if flags > FLAGS {
            return Err("a use has flags of a newer version".into());
        }
        let has = |flag: u64| flags & flag != 0;
        let day = read_day(bytes)?;
        let mut count = |flag| if has(flag) { read(bytes) } else { Ok(0) };
        let counts = Counts {
            allowed: count(ALLOWED)?,
            denied: count(DENIED)?,
        };
        self.today.day = day;
        self.today.counts = counts;
        self.last_used = match has(LAST_USED) {
            true => Some(read_time(bytes, day)?),
            false => None,
        };
        self.secrets.clear();
        if has(ONE_SECRET) {
            self.secrets.push(SecretUse {
                version: read_version(bytes)?,
                day,
                calls: counts.allowed,
                last_used: self
                    .last_used
                    .ok_or("a secret was used, and its token not")?,
            });
        } else if has(SECRETS) {
            for _ in 0..read(bytes)? {
                let (version, day, calls) = (read_version(bytes)?, read_day(bytes)?, read(bytes)?);
                self.secrets.push(SecretUse {
                    version,
                    day,
                    calls,
                    last_used: read_time(bytes, day)?,
                });
            }
        }
        self.exercised.clear();
        if has(EXERCISED) {
            for _ in 0..read(bytes)? {
                let mark = bytes.split_off(..8).and_then(|mark| mark.try_into().ok());
                let mark = mark.map(u64::from_le_bytes).ok_or("a mark is cut off")?;
                self.exercised.push(GrantMark(mark));
            }
        }
        self.consumers = if has(CONSUMERS) { read(bytes)? } else { 0 };
        self.before = Days::unpacked(bytes)?;
        Ok(())
    }
}

impl Packed for Days {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let mut before = 0;
        for (day, counts) in self.iter() {
            signed(bytes, i64::from(day.number()) - before);
            before = day.number().into();
            number(bytes, counts.allowed);
            number(bytes, counts.denied);
        }
    }

    fn unpack(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        *self = Self::default();
        let mut day = 0_i64;
        while !bytes.is_empty() {
            day = day.wrapping_add(read_signed(&mut bytes)?);
            let counts = Counts {
                allowed: read(&mut bytes)?,
                denied: read(&mut bytes)?,
            };
            self.add(day_numbered(day)?, counts);
        }
        Ok(())
    }
}

impl Packed for Consumer {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let first = self.first_seen.as_millis();
        signed(bytes, first);
        signed(bytes, self.last_seen.as_millis().wrapping_sub(first));
        signed(bytes, self.day.number().into());
        number(bytes, self.calls);
        number(bytes, self.version.into());
        if let Some(old) = self.old_used {
            signed(bytes, old.as_millis().wrapping_sub(first));
        }
    }

    fn unpack(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let bytes = &mut bytes;
        let first = read_signed(bytes)?;
        let after = |millis: i64| Timestamp::from_millis(first.wrapping_add(millis));
        *self = Self {
            first_seen: after(0),
            last_seen: after(read_signed(bytes)?),
            day: read_day(bytes)?,
            calls: read(bytes)?,
            version: read_version(bytes)?,
            old_used: match bytes.is_empty() {
                true => None,
                false => Some(after(read_signed(bytes)?)),
            },
        };
        Ok(())
    }
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn signed(bytes: &mut Vec<u8>, value: i64) {
    number(bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn read(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for group in 0..10 {
        let byte = *bytes.split_off_first().ok_or("a number is cut off")?;
        number |= u64::from(byte & 0x7f) << (7 * group);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err("a number is too long".into())
}

fn read_signed(bytes: &mut &[u8]) -> Result<i64, String> {
    let folded = read(bytes)?;
    Ok((folded >> 1).cast_signed() ^ -((folded & 1).cast_signed()))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    Ok(bytes.split_off(..length).ok_or("an entry is cut off")?)
}

fn read_version(bytes: &mut &[u8]) -> Result<u32, String> {
    u32::try_from(read(bytes)?).map_err(|_| "there is no such version of a secret".into())
}

fn read_day(bytes: &mut &[u8]) -> Result<Day, String> {
    day_numbered(read_signed(bytes)?)
}

fn day_numbered(number: i64) -> Result<Day, String> {
    let number = i32::try_from(number).map_err(|_| "there is no such day")?;
    Ok(Day::numbered(number))
}

fn since(time: Timestamp, day: Day) -> i64 {
    time.as_millis().wrapping_sub(day.start().as_millis())
}

fn read_time(bytes: &mut &[u8], day: Day) -> Result<Timestamp, String> {
    let millis = read_signed(bytes)?.wrapping_add(day.start().as_millis());
    Ok(Timestamp::from_millis(millis))
}
