//! Blocks of tokens: first what they share, each combination once; then each token, packed, with the number of its combination and
//! its name; last the few that are not packed, whole.

use std::collections::HashMap;
use std::sync::Arc;

use super::{BLOCK, TOKENS, part, put_part};
use crate::directory::Directory;
use crate::directory::entry::{Entry, PACKED};
use crate::directory::profile::Profile;
use crate::directory::tenant::{Seat, Tenant};
use crate::domain::token::Token;
use crate::store::record::Record as _;

/// The tokens of a shard, in blocks.
pub(super) fn blocks<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Vec<u8>> {
    let mut blocks = Vec::new();
    let mut block = Block::default();
    for entry in entries {
        block.put(entry);
        if block.is_full() {
            blocks.push(std::mem::take(&mut block).bytes());
        }
    }
    if !block.is_empty() {
        blocks.push(block.bytes());
    }
    blocks
}

/// What tokens share, by where it is in memory.
type Places = (*const Tenant, Option<*const Seat>, *const Profile);

#[derive(Default)]
struct Block {
    known: HashMap<Places, u32>,
    shared: Vec<u8>,
    packed: Vec<u8>,
    whole: Vec<u8>,
}

impl Block {
    fn put(&mut self, entry: &Entry) {
        let Some(packed) = entry.packed() else {
            return put_part(&mut self.whole, &entry.token().encode());
        };
        let places = (
            Arc::as_ptr(entry.tenant()),
            entry.seat().map(Arc::as_ptr),
            Arc::as_ptr(entry.profile()),
        );
        let next = self.known.len() as u32;
        let number = *self.known.entry(places).or_insert_with(|| {
            // Any token that has it says what it is.
            put_part(&mut self.shared, &entry.token().encode());
            next
        });
        self.packed.extend(packed);
        self.packed.extend(number.to_be_bytes());
        put_part(&mut self.packed, entry.name().as_bytes());
    }

    fn is_full(&self) -> bool {
        self.shared.len() + self.packed.len() + self.whole.len() >= BLOCK
    }

    fn is_empty(&self) -> bool {
        self.packed.is_empty() && self.whole.is_empty()
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![TOKENS];
        for section in [self.shared, self.packed, self.whole] {
            put_part(&mut bytes, &section);
        }
        bytes
    }
}

/// What tokens share, in its places.
struct Shared {
    tenant: Arc<Tenant>,
    seat: Option<Arc<Seat>>,
    profile: Arc<Profile>,
}

impl Directory {
    pub(super) fn take_tokens(&self, mut rest: &[u8]) -> Result<(), String> {
        let (mut shared, mut packed, mut whole) =
            (part(&mut rest)?, part(&mut rest)?, part(&mut rest)?);
        let mut known = Vec::new();
        while !shared.is_empty() {
            known.push(self.shared(&Token::decode(part(&mut shared)?)?));
        }
        while !packed.is_empty() {
            let entry = unpacked(&known, &mut packed)?;
            self.put(entry);
        }
        while !whole.is_empty() {
            self.put_token(Token::decode(part(&mut whole)?)?);
        }
        Ok(())
    }

    fn shared(&self, token: &Token) -> Shared {
        let tenant = self.tenant(&token.account);
        let principal = token.principal.as_ref();
        Shared {
            seat: principal.map(|id| self.seat(tenant.id(), id)),
            profile: self.profiles.one(Profile::of(token)),
            tenant,
        }
    }
}

fn unpacked(known: &[Shared], rest: &mut &[u8]) -> Result<Entry, String> {
    let split = rest.split_first_chunk::<PACKED>();
    let (packed, after) = split.ok_or("a token of it is cut off")?;
    let split = after.split_first_chunk::<4>();
    let (number, after) = split.ok_or("a token of it is cut off")?;
    *rest = after;
    let name = std::str::from_utf8(part(rest)?).map_err(|error| error.to_string())?;
    let shared = known.get(u32::from_be_bytes(*number) as usize);
    let entry = shared.and_then(|shared| {
        let (tenant, profile) = (Arc::clone(&shared.tenant), Arc::clone(&shared.profile));
        Entry::unpacked(packed, name, tenant, shared.seat.clone(), profile)
    });
    entry.ok_or_else(|| "a token of it is none".into())
}
