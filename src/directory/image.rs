//! The directory as blocks of rows, and back: what an image of it holds.

use std::io;

use super::Directory;
use crate::domain::id::AccountId;
use crate::domain::secret::Digest;
use crate::store::image::{Rank, ReadModel};
use crate::store::key;
use crate::store::record::{Pointer, Record};
use crate::store::seal::Corrupt;

/// The form of the blocks: each row is its name and its payload, both after their lengths.
const FORM: u32 = 1;
/// About as large a block becomes, in bytes.
const BLOCK: usize = 256 << 10;

impl ReadModel for Directory {
    fn form(&self) -> u32 {
        FORM
    }

    fn give(&self, block: &mut dyn FnMut(Rank, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut rows = Rows {
            rank: Rank::Leading,
            bytes: Vec::new(),
            block,
        };
        for (id, account) in &self.accounts.pin() {
            rows.put(&key::account(id.as_str()), &**account)?;
        }
        for ((account, id), role) in &self.roles.pin() {
            rows.put(&key::role(account, id), &**role)?;
        }
        for ((account, id), member) in &self.principals.pin() {
            rows.put(&key::principal(account, id), &member.principal)?;
        }
        rows.end()?;
        rows.rank = Rank::Other;
        for (id, token) in &self.tokens.pin() {
            rows.put(&key::token(*id), &**token)?;
        }
        for (digest, id) in &self.imports.pin() {
            // One whose token has just gone is going, too.
            if let Some(account) = self.token(*id).map(|token| token.account.clone()) {
                let name = import(&account, digest);
                rows.put(&name, &Pointer(id.to_string()))?;
            }
        }
        rows.end()
    }

    fn take_block(&self, block: &[u8]) -> Result<(), String> {
        let mut rest = block;
        while !rest.is_empty() {
            let (name, payload);
            (name, rest) = split(rest).ok_or("a block is cut off")?;
            (payload, rest) = split(rest).ok_or("a block is cut off")?;
            self.set(name, Some(payload))
                .map_err(|corrupt| corrupt.to_string())?;
        }
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> Result<(), Corrupt> {
        self.set(name, None)
    }
}

fn import(account: &AccountId, digest: &[u8; 32]) -> crate::store::backend::Key {
    key::import(account, &Digest::new(*digest))
}

/// Rows on their way into blocks.
struct Rows<'a> {
    rank: Rank,
    bytes: Vec<u8>,
    block: &'a mut dyn FnMut(Rank, &[u8]) -> io::Result<()>,
}

impl Rows<'_> {
    fn put(&mut self, name: &[u8], record: &impl Record) -> io::Result<()> {
        for part in [name, &record.encode()] {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            self.bytes.extend(length.to_be_bytes());
            self.bytes.extend(part);
        }
        match self.bytes.len() < BLOCK {
            true => Ok(()),
            false => self.end(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if !self.bytes.is_empty() {
            (self.block)(self.rank, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// What comes after its length, and the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}
