//! The directory as the blocks of an image, and back.
//!
//! Tokens come a shard at a time, packed; what many of them share (account, principal, profile) is in their block once, so that a
//! block is read without any other. Everything else comes as rows.

mod tokens;

use std::io;

use super::Directory;
use super::imports::KEPT;
use crate::domain::id::TokenId;
use crate::store::image::{Rank, ReadModel};
use crate::store::key;
use crate::store::record::Record;
use crate::store::seal::Corrupt;

/// The form of the blocks.
const FORM: u32 = 1;
/// About as large a block becomes, in bytes.
const BLOCK: usize = 1 << 20;

/// The first letter of a block: what it has.
const ROWS: u8 = b'r';
const TOKENS: u8 = b't';
const IMPORTS: u8 = b'i';

impl ReadModel for Directory {
    fn form(&self) -> u32 {
        FORM
    }

    fn give(&self, block: &mut dyn FnMut(Rank, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut rows = Rows::to(block);
        for (id, tenant) in &self.tenants.pin() {
            if let Some(account) = tenant.account() {
                rows.put(&key::account(id.as_str()), &**account)?;
            }
        }
        for ((account, id), role) in &self.roles.pin() {
            rows.put(&key::role(account, id), &**role)?;
        }
        for ((account, id), seat) in &self.seats.pin() {
            if let Some(member) = seat.member() {
                rows.put(&key::principal(account, id), &member.principal)?;
            }
        }
        rows.end()?;
        for shard in &self.tokens {
            // Written out once the shard is let go.
            let blocks = tokens::blocks(shard.read().entries());
            blocks
                .iter()
                .try_for_each(|bytes| block(Rank::Other, bytes))?;
        }
        self.imports.each_shard(|imports| {
            let each = imports.chunks(BLOCK / (KEPT + TokenId::LENGTH));
            each.into_iter().try_for_each(|imports| {
                let mut bytes = vec![IMPORTS];
                for (digest, id) in imports {
                    bytes.extend(digest);
                    bytes.extend(id.as_bytes());
                }
                block(Rank::Other, &bytes)
            })
        })
    }

    fn take_block(&self, block: &[u8]) -> Result<(), String> {
        match block.split_first() {
            Some((&ROWS, rows)) => self.take_rows(rows),
            Some((&TOKENS, tokens)) => self.take_tokens(tokens),
            Some((&IMPORTS, imports)) => self.take_imports(imports),
            _ => Err("a block of it is of no known kind".into()),
        }
    }

    fn remove(&self, name: &[u8]) -> Result<(), Corrupt> {
        self.set(name, None)
    }
}

impl Directory {
    fn take_rows(&self, mut rest: &[u8]) -> Result<(), String> {
        while !rest.is_empty() {
            let (name, payload) = (part(&mut rest)?, part(&mut rest)?);
            self.set(name, Some(payload))
                .map_err(|corrupt| corrupt.to_string())?;
        }
        Ok(())
    }

    fn take_imports(&self, rest: &[u8]) -> Result<(), String> {
        for import in rest.chunks(KEPT + TokenId::LENGTH) {
            let taken = import.split_first_chunk::<KEPT>().and_then(|(digest, id)| {
                let id = TokenId::parse(std::str::from_utf8(id).ok()?)?;
                Some(self.imports.put_kept(*digest, id))
            });
            taken.ok_or("an import of it is none")?;
        }
        Ok(())
    }
}

/// Rows on their way into leading blocks.
struct Rows<'a> {
    bytes: Vec<u8>,
    block: &'a mut dyn FnMut(Rank, &[u8]) -> io::Result<()>,
}

impl<'a> Rows<'a> {
    fn to(block: &'a mut dyn FnMut(Rank, &[u8]) -> io::Result<()>) -> Self {
        let bytes = vec![ROWS];
        Self { bytes, block }
    }

    fn put(&mut self, name: &[u8], record: &impl Record) -> io::Result<()> {
        put_part(&mut self.bytes, name);
        put_part(&mut self.bytes, &record.encode());
        match self.bytes.len() < BLOCK {
            true => Ok(()),
            false => self.end(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        (self.block)(Rank::Leading, &self.bytes)?;
        self.bytes.truncate(1);
        Ok(())
    }
}

/// Puts bytes after their length; the longest that is put is a row.
fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u32).to_be_bytes());
    bytes.extend(part);
}

/// Takes bytes that come after their length.
fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let split = rest.split_first_chunk::<4>().and_then(|(length, after)| {
        let length = u32::from_be_bytes(*length) as usize;
        after.split_at_checked(length)
    });
    let (part, after) = split.ok_or("a block of it is cut off")?;
    *rest = after;
    Ok(part)
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
