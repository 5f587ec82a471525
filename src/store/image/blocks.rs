//! The file of an image: blocks, each protected by itself, and a footer that counts them.
//!
//! | part        | bytes                                                          |
//! |-------------|----------------------------------------------------------------|
//! | beginning   | eight letters, the id of the key that all MACs are made under, a number drawn for this file |
//! | each block  | its length, its MAC, itself                                    |
//! | footer      | itself, its MAC, its length                                    |

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use subtle::ConstantTimeEq as _;

use super::Rank;
use crate::domain::secret::KeyId;
use crate::keyring::{Key, Keyring};
use crate::random::Random;
use crate::store::record::{ImageFooter, Record as _};

const LETTERS: &[u8; 8] = b"kw-image";
const NUMBER: usize = 16;
const MAC: usize = 32;
/// The largest block, in bytes; a read model gives smaller ones.
pub(super) const MOST: usize = 4 << 20;
/// A footer is much smaller than this.
const MOST_FOOTER: usize = 4 << 10;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writer<'a, W> {
    file: W,
    key: &'a Key,
    number: [u8; NUMBER],
    blocks: u64,
    leading: u64,
    bytes: u64,
}

impl<'a, W: Write> Writer<'a, W> {
    pub(super) fn begin(mut file: W, key: &'a Key, random: &dyn Random) -> io::Result<Self> {
        let mut number = [0; NUMBER];
        random.fill(&mut number);
        file.write_all(LETTERS)?;
        file.write_all(&key.id().0.to_be_bytes())?;
        file.write_all(&number)?;
        Ok(Self {
            file,
            key,
            number,
            blocks: 0,
            leading: 0,
            bytes: 0,
        })
    }

    pub(super) fn block(&mut self, rank: Rank, block: &[u8]) -> io::Result<()> {
        if block.len() > MOST || (rank == Rank::Leading && self.leading < self.blocks) {
            return Err(io::Error::other("a block is too large, or comes too late"));
        }
        self.file.write_all(&length(block).to_be_bytes())?;
        let mac = self.key.image_mac(&block_parts(
            &self.number,
            &self.blocks.to_be_bytes(),
            block,
        ));
        self.file.write_all(&mac)?;
        self.file.write_all(block)?;
        self.blocks += 1;
        self.leading += u64::from(rank == Rank::Leading);
        self.bytes += block.len() as u64;
        Ok(())
    }

    /// The file, to be flushed, and how many bytes its blocks have.
    pub(super) fn end(mut self, footer: ImageFooter) -> io::Result<(W, u64)> {
        let footer = ImageFooter {
            blocks: self.blocks,
            leading: self.leading,
            ..footer
        };
        let footer = footer.encode();
        self.file.write_all(&footer)?;
        let mac = self.key.image_mac(&footer_parts(&self.number, &footer));
        self.file.write_all(&mac)?;
        self.file.write_all(&length(&footer).to_be_bytes())?;
        Ok((self.file, self.bytes))
    }
}

/// A file whose footer is what was written.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: File,
    key: &'a Key,
    number: [u8; NUMBER],
    footer: ImageFooter,
}

impl<'a> Reader<'a> {
    pub(super) fn open(mut file: File, keyring: &'a Keyring) -> Result<Self, String> {
        let torn = |_: io::Error| "it is torn".to_owned();
        let mut beginning = [0; LETTERS.len() + 4 + NUMBER];
        file.read_exact(&mut beginning).map_err(torn)?;
        let (letters, rest) = beginning.split_at(LETTERS.len());
        let (id, number) = rest.split_at(4);
        if letters != LETTERS {
            return Err("it is none, or of another version".into());
        }
        let id = KeyId(u32::from_be_bytes(id.try_into().unwrap_or_default()));
        let key = keyring
            .key(id)
            .ok_or_else(|| format!("it needs key {}, which the keyring lacks", id.0))?;
        let number = number.try_into().unwrap_or_default();
        let footer = read_footer(&mut file).map_err(torn)?;
        let (footer, mac) = footer.split_last_chunk::<MAC>().ok_or("it is torn")?;
        if !bool::from(key.image_mac(&footer_parts(&number, footer)).ct_eq(mac)) {
            return Err("its end is not what was written".into());
        }
        let footer = ImageFooter::decode(footer)?;
        file.seek(SeekFrom::Start(beginning.len() as u64))
            .map_err(torn)?;
        Ok(Self {
            file,
            key,
            number,
            footer,
        })
    }

    pub(super) fn footer(&self) -> &ImageFooter {
        &self.footer
    }

    /// Gives every block to `take`: the leading ones in their order, then the others, from several threads.
    pub(super) fn read(
        self,
        take: &(dyn Fn(&[u8]) -> Result<(), String> + Sync),
    ) -> Result<ImageFooter, String> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let place = Mutex::new(Place {
            file: BufReader::with_capacity(1 << 20, &self.file),
            next: 0,
            failed: false,
        });
        let run = || {
            let mut block = Vec::new();
            while let Some((index, mac)) = self.next(&place, &mut block, take)? {
                let taken = self.check(index, &mac, &block).and_then(|()| take(&block));
                if taken.is_err() {
                    place.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
                }
                taken?;
            }
            Ok::<(), String>(())
        };
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
            let own = run();
            let panicked = |_| Err("reading it failed unexpectedly".to_owned());
            let joined = others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(panicked));
            [own].into_iter().chain(joined).collect::<Result<(), _>>()
        })?;
        Ok(self.footer)
    }

    /// Reads the next block for this thread; leading ones are taken in before anybody gets another.
    fn next(
        &self,
        place: &Mutex<Place<'_>>,
        block: &mut Vec<u8>,
        take: &(dyn Fn(&[u8]) -> Result<(), String> + Sync),
    ) -> Result<Option<(u64, [u8; MAC])>, String> {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if place.failed || place.next == self.footer.blocks {
                return Ok(None);
            }
            let index = place.next;
            let read = place.read(block);
            place.failed = true;
            let mac = read?;
            if index >= self.footer.leading {
                place.failed = false;
                return Ok(Some((index, mac)));
            }
            self.check(index, &mac, block)?;
            take(block)?;
            place.failed = false;
        }
    }

    fn check(&self, index: u64, mac: &[u8; MAC], block: &[u8]) -> Result<(), String> {
        let made = self
            .key
            .image_mac(&block_parts(&self.number, &index.to_be_bytes(), block));
        match bool::from(made.ct_eq(mac)) {
            true => Ok(()),
            false => Err(format!("block {index} of it is not what was written")),
        }
    }
}

/// How far a file has been read.
struct Place<'a> {
    file: BufReader<&'a File>,
    next: u64,
    failed: bool,
}

impl Place<'_> {
    fn read(&mut self, block: &mut Vec<u8>) -> Result<[u8; MAC], String> {
        let torn = |_: io::Error| "it is torn".to_owned();
        let mut bytes = [0; 4];
        self.file.read_exact(&mut bytes).map_err(torn)?;
        let bytes = u32::from_be_bytes(bytes) as usize;
        if bytes > MOST {
            return Err("a block of it is too large".into());
        }
        let mut mac = [0; MAC];
        self.file.read_exact(&mut mac).map_err(torn)?;
        block.resize(bytes, 0);
        self.file.read_exact(block).map_err(torn)?;
        self.next += 1;
        Ok(mac)
    }
}

/// The footer and its MAC.
fn read_footer(file: &mut File) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::End(-4))?;
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes)?;
    let bytes = (u32::from_be_bytes(bytes) as usize).min(MOST_FOOTER) + MAC;
    file.seek(SeekFrom::End(-4 - bytes as i64))?;
    let mut footer = vec![0; bytes];
    file.read_exact(&mut footer)?;
    Ok(footer)
}

/// Blocks and footers have different numbers of parts, so that neither passes for the other.
fn block_parts<'a>(number: &'a [u8; NUMBER], index: &'a [u8; 8], block: &'a [u8]) -> [&'a [u8]; 3] {
    [number, index, block]
}

fn footer_parts<'a>(number: &'a [u8; NUMBER], footer: &'a [u8]) -> [&'a [u8]; 2] {
    [number, footer]
}

/// Blocks are shorter than `MOST`.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
