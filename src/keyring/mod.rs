//! The keyring: keys kept outside the store, without which what is in the store is of no use.
//!
//! One key is current, at most one is retired. Each has subkeys by purpose (HKDF), so that a value made for one purpose
//! never serves another. How the file is read and written is in `file`.

pub mod file;

use std::fmt;

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::domain::id::TokenId;
use crate::domain::secret::{Digest, KeyId};
use crate::random::Random;

type HmacSha256 = Hmac<Sha256>;

/// The length of a master key and of every subkey, in bytes.
pub const KEY_LENGTH: usize = 32;
/// Keys that a keyring holds at the most: the work of a validation grows with each.
pub const KEYS: usize = 2;

/// The keys of a deployment: the current one first.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<Key>,
}

impl Keyring {
    /// A new keyring with one key.
    pub fn generate(random: &dyn Random) -> Self {
        Self {
            keys: vec![Key::generate(KeyId(1), random)],
        }
    }

    /// The current key, and the retired one where there is one. `None` when there is none, too many, or an id twice.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Option<Self> {
        let distinct = keys
            .iter()
            .enumerate()
            .all(|(at, key)| keys[..at].iter().all(|other| other.id != key.id));
        ((1..=KEYS).contains(&keys.len()) && distinct).then_some(Self { keys })
    }

    /// The key that new values are made under.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.keys[0]
    }

    /// All keys, the current one first.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The keys themselves, the current one first.
    #[must_use]
    pub fn into_keys(self) -> Vec<Key> {
        self.keys
    }

    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

/// One key and what is derived from it.
pub struct Key {
    id: KeyId,
    master: Zeroizing<[u8; KEY_LENGTH]>,
    secret: HmacSha256,
    import: HmacSha256,
    record: HmacSha256,
    chain: HmacSha256,
    page: HmacSha256,
    seal: XChaCha20Poly1305,
    replay: HmacSha256,
    image: HmacSha256,
    check: HmacSha256,
}

impl Key {
    #[must_use]
    pub fn new(id: KeyId, master: Zeroizing<[u8; KEY_LENGTH]>) -> Self {
        let kdf = Hkdf::<Sha256>::new(None, &master[..]);
        let subkey = |label: &str| {
            let mut key = Zeroizing::new([0; KEY_LENGTH]);
            kdf.expand(format!("keyward.v1 {label}").as_bytes(), &mut key[..])
                .expect("one block is a valid length");
            key
        };
        let mac = |label: &str| {
            HmacSha256::new_from_slice(&subkey(label)[..]).expect("any length is a key")
        };
        Self {
            id,
            secret: mac("secret"),
            import: mac("import"),
            record: mac("record"),
            chain: mac("chain"),
            page: mac("page"),
            seal: XChaCha20Poly1305::new((&*subkey("seal")).into()),
            replay: mac("replay"),
            image: mac("image"),
            check: mac("check"),
            master,
        }
    }

    pub fn generate(id: KeyId, random: &dyn Random) -> Self {
        let mut master = Zeroizing::new([0; KEY_LENGTH]);
        random.fill(&mut master[..]);
        Self::new(id, master)
    }

    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What is kept of a secret: HMAC over the token's id and the whole text.
    #[must_use]
    pub fn secret_digest(&self, id: TokenId, text: &str) -> Digest {
        Digest::new(finish(
            &self.secret,
            &[id.as_bytes(), &[0], text.as_bytes()],
        ))
    }

    /// What is kept of an imported text, and finds it: HMAC over its account and the text's SHA-256.
    #[must_use]
    pub fn import_digest(&self, account: &str, sha256: &[u8; 32]) -> Digest {
        Digest::new(finish(&self.import, &[account.as_bytes(), &[0], sha256]))
    }

    /// Proves that a row of the store was written by Keyward, under this name and in this commit.
    #[must_use]
    pub fn record_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish(&self.record, parts)
    }

    /// The value of a line of the audit log, over the value of the line before it.
    #[must_use]
    pub fn chain(&self, previous: &[u8], line: &[u8]) -> [u8; 32] {
        finish(&self.chain, &[&length(previous), previous, line])
    }

    /// Proves that a page token was made here.
    #[must_use]
    pub fn page_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish_framed(&self.page, parts)
    }

    /// Names a request or its payload without telling it: payloads may hold what is weak when hashed plainly.
    #[must_use]
    pub fn request_hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish_framed(&self.replay, parts)
    }

    /// Proves that a block of an image of the directory was written here.
    #[must_use]
    pub fn image_mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        finish_framed(&self.image, parts)
    }

    /// Encrypts what must be shown once more; `context` must be the same when it is opened.
    pub fn seal(&self, context: &[u8], plain: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0; NONCE_LENGTH];
        random.fill(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: context,
        };
        let sealed = self
            .seal
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a short message can be sealed");
        [&nonce[..], &sealed].concat()
    }

    /// What was sealed, if it was sealed by this key and in this context.
    #[must_use]
    pub fn unseal(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LENGTH>()?;
        let payload = Payload {
            msg: sealed,
            aad: context,
        };
        self.seal
            .decrypt(&XNonce::from(*nonce), payload)
            .ok()
            .map(Zeroizing::new)
    }

    /// Tells this key from another of the same id, without telling the key.
    #[must_use]
    pub fn check(&self) -> [u8; 32] {
        finish(&self.check, &[&self.id.0.to_be_bytes()])
    }
}

const NONCE_LENGTH: usize = 24;

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, [redacted])", self.id.0)
    }
}

/// The SHA-256 of a presented text, by which imported texts are known.
#[must_use]
pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn finish(keyed: &HmacSha256, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed.clone();
    for part in parts {
        mac.update(part);
    }
    let mut output = mac.finalize().into_bytes();
    let value = output.into();
    output.zeroize();
    value
}

/// The same over parts of any length: each goes after its length, so that none can pass for two.
fn finish_framed(keyed: &HmacSha256, parts: &[&[u8]]) -> [u8; 32] {
    let lengths: Vec<_> = parts.iter().map(|part| length(part)).collect();
    let framed: Vec<&[u8]> = lengths
        .iter()
        .zip(parts)
        .flat_map(|(length, part)| [&length[..], part])
        .collect();
    finish(keyed, &framed)
}

fn length(part: &[u8]) -> [u8; 8] {
    (part.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::SeededRandom;

    fn key(id: u32, byte: u8) -> Key {
        Key::new(KeyId(id), Zeroizing::new([byte; KEY_LENGTH]))
    }

    #[test]
    fn a_keyring_has_one_or_two_keys_of_different_ids() {
        assert!(Keyring::new(vec![]).is_none());
        assert!(Keyring::new(vec![key(1, 1)]).is_some());
        assert!(Keyring::new(vec![key(2, 1), key(1, 2)]).is_some());
        assert!(Keyring::new(vec![key(1, 1), key(1, 2)]).is_none());
        assert!(Keyring::new(vec![key(1, 1), key(2, 2), key(3, 3)]).is_none());
    }

    #[test]
    fn one_key_s_values_mean_nothing_to_another() {
        let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        assert_ne!(
            key(1, 1).secret_digest(id, "text"),
            key(1, 2).secret_digest(id, "text")
        );
        assert_ne!(key(1, 1).check(), key(1, 2).check());
        assert_ne!(key(1, 1).check(), key(2, 1).check());
    }

    #[test]
    fn sealed_text_opens_only_under_its_key_and_in_its_context() {
        let random = SeededRandom::new(1);
        let sealed = key(1, 1).seal(b"here", b"hush", &random);
        assert_eq!(
            key(1, 1).unseal(b"here", &sealed).unwrap().as_slice(),
            b"hush"
        );
        assert!(key(1, 1).unseal(b"there", &sealed).is_none());
        assert!(key(1, 2).unseal(b"here", &sealed).is_none());
        assert!(key(1, 1).unseal(b"here", &sealed[..20]).is_none());
        let mut changed = sealed;
        changed[30] ^= 1;
        assert!(key(1, 1).unseal(b"here", &changed).is_none());
    }

    #[test]
    fn parts_cannot_be_moved_across_their_borders() {
        assert_ne!(
            key(1, 1).page_mac(&[b"ab", b"c"]),
            key(1, 1).page_mac(&[b"a", b"bc"])
        );
    }

    #[test]
    fn nothing_of_a_key_is_printed() {
        assert_eq!(format!("{:?}", key(1, 0xAB)), "Key(1, [redacted])");
    }
}
