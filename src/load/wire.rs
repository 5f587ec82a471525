//! Protobuf and gRPC framing by hand, as far as a replay needs it: a question in a batch, a correlated one, and their answers.

/// The bytes before a gRPC message: not compressed, and its length.
pub(super) const PREFIX: usize = 5;
/// What a question has around it at most: its correlation id, and its length.
pub(super) const AROUND: usize = 20;

/// Where the contract has the question in StreamValidateCredentialsRequest, and each in BatchValidateCredentialsRequest.
const STREAM_REQUEST: u8 = 2 << 3 | BYTES;
const STREAM_ID: u8 = 1 << 3;
const BATCH_REQUEST: u8 = 1 << 3 | BYTES;
const BYTES: u8 = 2;

/// What one question came to, in an item of a batch or a message of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Decided(&'a [u8]),
    Undecided(&'a [u8]),
}

/// A message with its prefix.
pub(super) fn message(into: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = into.len();
    into.extend([0; PREFIX]);
    write(into);
    let length = u32::try_from(into.len() - at - PREFIX).expect("messages are short");
    into[at + 1..at + PREFIX].copy_from_slice(&length.to_be_bytes());
}

/// One question of a batch.
pub(super) fn batched(into: &mut Vec<u8>, question: &[u8]) {
    into.push(BATCH_REQUEST);
    varint(into, question.len() as u64);
    into.extend(question);
}

/// One question of a stream.
pub(super) fn correlated(into: &mut Vec<u8>, id: u64, question: &[u8]) {
    into.push(STREAM_ID);
    varint(into, id);
    into.push(STREAM_REQUEST);
    varint(into, question.len() as u64);
    into.extend(question);
}

/// The items of a batch's answer.
pub(super) fn items(answer: &[u8]) -> impl Iterator<Item = Option<Item<'_>>> {
    let mut rest = answer;
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| match field(&mut rest) {
            Some((1, Value::Bytes(bytes))) => item(bytes, 1),
            _ => {
                rest = &[];
                None
            }
        })
    })
}

/// The id and the item of a stream's answer. The id zero is not written.
pub(super) fn correlation(answer: &[u8]) -> Option<(u64, Item<'_>)> {
    let mut rest = answer;
    let mut id = 0;
    if answer.first() == Some(&STREAM_ID)
        && let Some((1, Value::Number(number))) = field(&mut rest)
    {
        id = number;
    }
    Some((id, item(rest, 2)?))
}

fn item(bytes: &[u8], decided: u64) -> Option<Item<'_>> {
    let mut rest = bytes;
    match field(&mut rest)? {
        (number, Value::Bytes(bytes)) if number == decided => Some(Item::Decided(bytes)),
        (number, Value::Bytes(bytes)) if number == decided + 1 => Some(Item::Undecided(bytes)),
        _ => None,
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The first field of a message, of the two kinds that these messages have.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let key = read_varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(read_varint(rest)?),
        2 => {
            let length = usize::try_from(read_varint(rest)?).ok()?;
            Value::Bytes(rest.split_off(..length)?)
        }
        _ => return None,
    };
    Some((key >> 3, value))
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_answer_is_decided_or_it_is_not() {
        let decided = [0x0a, 4, 0x0a, 2, 8, 1];
        let undecided = [0x0a, 3, 0x12, 1, b'x'];
        let both = [&decided[..], &undecided].concat();
        let read: Vec<_> = items(&both).collect();
        let expected = [Item::Decided(&[8, 1]), Item::Undecided(b"x")].map(Some);
        assert_eq!(read, expected);
        assert_eq!(items(&[0x0a, 9]).collect::<Vec<_>>(), [None]);

        let answer = [8, 0x80, 8, 0x12, 2, 8, 1];
        assert_eq!(correlation(&answer), Some((1_024, Item::Decided(&[8, 1]))));
        let answer = [0x1a, 1, b'x'];
        assert_eq!(correlation(&answer), Some((0, Item::Undecided(b"x"))));
        assert_eq!(correlation(&[8, 1]), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            correlation(&bytes);
            items(&bytes).count();
        }
    }
}
