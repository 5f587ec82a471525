//! An image: what the read model held, in a file beside the store, so that a start need not read all rows before it serves.
//!
//! It is a short cut and nothing else: one that is missing, torn, foreign, or of another past than the store's is passed over,
//! and everything is read from the store. What makes it safe to believe, against whoever can change files but has no keyring:
//!
//! * *Flipped, cut, or put together from others:* each block has a MAC over itself, its place, and a number drawn for this file;
//!   so has the footer, which counts the blocks.
//! * *Too old, of another store, or of a past that the store has left* (it was restored from a backup, and went on from there):
//!   the image names two links of the chain of changes (`changes`), the newest one that it has whole and the newest one
//!   of which it may have some, for the read model goes on changing while it is written. The chain that the store's head ends
//!   must lead back through both. A link's MAC stands for all changes before it, so an image that is on the chain
//!   is an image of this very past.
//! * *Changes since that were hidden, edited, or put back as they were:* each link names the one before by its MAC, and each
//!   row by the MAC that it was written with. Of a row that was changed since, only the version that the newest
//!   change names is taken in, read from the store and verified; one that was deleted must be gone.
//! * *An older head:* the head must be as new as the anchor, as ever. An image newer than the head is not on its chain.
//! * *Rows that were not changed since* are taken from the image, not from the store. What became of them in the store is found as
//!   ever, by the sum over all rows, while the node serves; until then nothing is written, and a store that fails is left as it was.
//!
//! Secrets are in it as they are in the store: as digests.

mod blocks;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use super::backend::{Backend, Key};
use super::changes::{self, Fate};
use super::reader::Reader;
use super::record::{Head, ImageFooter, Link};
use super::seal::{self, Corrupt};
use super::verify::Intake;
use crate::files;
use crate::keyring::Keyring;
use crate::random::Random;

/// What can be made into an image and back.
pub trait ReadModel: Intake {
    /// The version of its blocks' form.
    fn form(&self) -> u32;

    /// Gives itself away in blocks, those first that others rest on. It may be changed meanwhile: whatever is there from the
    /// beginning to the end must be in it.
    fn give(&self, block: &mut dyn FnMut(Rank, &[u8]) -> io::Result<()>) -> io::Result<()>;

    /// Takes in a block: those first that others rest on, in their order; the others from several threads.
    fn take_block(&self, block: &[u8]) -> Result<(), String>;

    /// A row that is not there any more.
    fn remove(&self, name: &[u8]) -> Result<(), Corrupt>;
}

/// Whether other blocks rest on a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    Leading,
    Other,
}

/// Writes an image. `begun` is a head that the model has reached; what the store's head is afterwards it may have reached.
pub(super) fn write(
    path: &Path,
    reader: &Reader,
    begun: &Head,
    model: &dyn ReadModel,
    random: &dyn Random,
) -> io::Result<u64> {
    let fresh = path.with_added_extension("new");
    let file = files::create_private(&fresh)?;
    let mut blocks = blocks::Writer::begin(
        BufWriter::with_capacity(1 << 20, file),
        reader.keyring.current(),
        random,
    )?;
    model.give(&mut |rank, block| blocks.block(rank, block))?;
    let ended = reader.head().map_err(io::Error::other)?;
    let footer = ImageFooter {
        form: model.form(),
        from: begun.change,
        to: ended.map_or(Link::default(), |head| head.change),
        revision: begun.revision,
        rows: begun.rows,
        sum: begun.sum,
        ..ImageFooter::default()
    };
    let (mut file, bytes) = blocks.end(footer)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    files::replace(&fresh, path)?;
    Ok(bytes)
}

/// A read model as an image has it. It is not up to date, nor is it known to be of this store.
#[derive(Debug)]
pub(super) struct Restored<M> {
    pub(super) model: M,
    pub(super) footer: ImageFooter,
}

/// Reads an image; the error says why there is none to be had.
pub(super) fn read<M: ReadModel + Default>(
    path: &Path,
    keyring: &Keyring,
) -> Result<Restored<M>, String> {
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("there is none".into()),
        file => file.map_err(|error| error.to_string())?,
    };
    let blocks = blocks::Reader::open(file, keyring)?;
    let model = M::default();
    if blocks.footer().form != model.form() {
        return Err("another version has made it".into());
    }
    let footer = blocks.read(&|block| model.take_block(block))?;
    Ok(Restored { model, footer })
}

impl<M: ReadModel> Restored<M> {
    /// Brings it up to the store's head; how many rows that took. The error says why it cannot be believed.
    pub(super) fn bring_up(
        &self,
        backend: &dyn Backend,
        keyring: &Keyring,
        head: &Head,
    ) -> Result<usize, String> {
        let ImageFooter { from, to, .. } = self.footer;
        if from == Link::default() {
            return Err("it was made before any change".into());
        }
        if head.revision < self.footer.revision {
            return Err("it is newer than the store".into());
        }
        let fates = changes::since(backend, keyring, head.change, to, from)?;
        let mut left = fates.len();
        for family in self.model.first() {
            left -= self.take_in(backend, keyring, &fates, |name| name.starts_with(family))?;
        }
        let led = |name: &[u8]| {
            !self
                .model
                .first()
                .iter()
                .any(|family| name.starts_with(family))
        };
        left -= self.take_in(backend, keyring, &fates, led)?;
        debug_assert_eq!(left, 0, "each row is taken in once");
        Ok(fates.len())
    }

    fn take_in(
        &self,
        backend: &dyn Backend,
        keyring: &Keyring,
        fates: &BTreeMap<Key, Fate>,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<usize, String> {
        let mut taken = 0;
        for (name, fate) in fates.iter().filter(|(name, _)| wanted(name)) {
            let row = backend.get(name).map_err(|fault| fault.to_string())?;
            let wrong = || {
                format!(
                    "row {} is not as it was last changed",
                    super::key::show(name)
                )
            };
            match (row, fate.mac) {
                (None, None) => self
                    .model
                    .remove(name)
                    .map_err(|corrupt| corrupt.to_string())?,
                (Some(row), Some(mac)) => {
                    let opened =
                        seal::open(keyring, name, &row).map_err(|wrong| wrong.to_string())?;
                    if row.revision != fate.revision || opened.mac != mac {
                        return Err(wrong());
                    }
                    let taken = self.model.take(name, opened.payload);
                    taken.map_err(|corrupt| corrupt.to_string())?;
                }
                _ => return Err(wrong()),
            }
            taken += 1;
        }
        Ok(taken)
    }
}
