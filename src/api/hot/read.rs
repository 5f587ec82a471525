//! Requests out of their bytes, borrowed from them: what prost would decode, without its copies.

use super::wire::{Malformed, Reader, Value};
use crate::api::convert::validation::Asked;
use crate::domain::presented::Presented;

/// A `ValidateCredentialsRequest`.
pub(super) fn asked(mut fields: Reader<'_>) -> Result<Asked<'_>, Malformed> {
    let mut asked = Asked::default();
    while let Some((number, value)) = fields.field()? {
        take(&mut asked, &fields, number, value)?;
    }
    Ok(asked)
}

/// A `StreamValidateCredentialsRequest`: its correlation id and its request, an empty one where there is none.
pub(super) fn question(message: &[u8]) -> Result<(u64, Asked<'_>), Malformed> {
    let mut fields = Reader::new(message);
    let (mut correlation_id, mut asked) = (0, Asked::default());
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => correlation_id = value.number()?,
            // A message that comes in parts is merged.
            2 => {
                let mut within = fields.within(value)?;
                while let Some((number, value)) = within.field()? {
                    take(&mut asked, &within, number, value)?;
                }
            }
            _ => {}
        }
    }
    Ok((correlation_id, asked))
}

/// A `BatchValidateCredentialsRequest`: its requests, of which `most` are kept, and how many there are. All are read: one that is
/// no message spoils the whole.
pub(super) fn batch(message: &[u8], most: usize) -> Result<(Vec<Asked<'_>>, usize), Malformed> {
    let mut fields = Reader::new(message);
    let (mut requests, mut count) = (Vec::new(), 0);
    while let Some((number, value)) = fields.field()? {
        if number == 1 {
            let asked = asked(fields.within(value)?)?;
            if count < most {
                requests.push(asked);
            }
            count += 1;
        }
    }
    Ok((requests, count))
}

/// Takes in one field: the last of several counts, and messages are merged.
fn take<'a>(
    asked: &mut Asked<'a>,
    fields: &Reader<'a>,
    number: u32,
    value: Value<'a>,
) -> Result<(), Malformed> {
    match number {
        1 => asked.presented = Some(Presented::Header(value.text()?)),
        2 => asked.presented = Some(Presented::Text(value.text()?)),
        3 => {
            let before = match asked.presented {
                Some(Presented::IdAndText { id, text }) => (id, text),
                _ => ("", ""),
            };
            let (id, text) = pair(fields.within(value)?, before)?;
            asked.presented = Some(Presented::IdAndText { id, text });
        }
        4 => asked.account_key = value.text()?,
        5 => {
            let before = asked.required.unwrap_or_default();
            asked.required = Some(pair(fields.within(value)?, before)?);
        }
        6 => asked.client_address = value.text()?,
        7 => asked.consumer = value.text()?,
        // As protobuf has it: of a larger number its lower half.
        8 => asked.cost = value.number()? as u32,
        9 => asked.dry_run = value.number()? != 0,
        10 => asked.min_revision = value.number()?,
        11 => asked.account_id = value.text()?,
        12 => asked.with_grants = value.number()? != 0,
        _ => {}
    }
    Ok(())
}

/// A message of two texts, merged with what it was before.
fn pair<'a>(
    mut fields: Reader<'a>,
    before: (&'a str, &'a str),
) -> Result<(&'a str, &'a str), Malformed> {
    let mut pair = before;
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => pair.0 = value.text()?,
            2 => pair.1 = value.text()?,
            _ => {}
        }
    }
    Ok(pair)
}
