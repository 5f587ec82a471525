//! Calls with a request id: the first answer is kept, sealed, in the commit of the change, and given again to a retry with the
//! same payload for ten minutes.

use super::Error;
use crate::domain::id::{AccountId, TokenId};
use crate::domain::limits;
use crate::domain::secret::SecretText;
use crate::keyring::{Key, Keyring};
use crate::random::Random;
use crate::store::record::{Pointer, Record, Replay};
use crate::store::{View, key};

/// A request that is to be done once.
#[derive(Clone, Debug)]
pub struct Once {
    pub operator: TokenId,
    pub method: &'static str,
    pub request_id: String,
    /// The whole request as it was sent.
    pub payload: Vec<u8>,
}

/// An answer that was given before.
#[derive(Debug)]
pub(super) struct Answered<R> {
    pub(super) record: R,
    pub(super) secret: Option<SecretText>,
}

impl Once {
    /// The answer kept for this request. Another payload under the same request id is refused.
    pub(super) fn answered<R: Record>(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        account: &AccountId,
    ) -> Result<Option<Answered<R>>, Error> {
        for key in keyring.keys() {
            let request = self.hash(key, account.as_str());
            let Some(kept) = view.get::<Replay>(&key::replay(&request))? else {
                continue;
            };
            if view.now() >= kept.create_time.after(limits::REPLAY_KEPT) {
                continue;
            }
            if kept.payload_hash != key.request_hash(&[&self.payload]) {
                return Err(Error::RequestIdReused);
            }
            return self.open(keyring, &request, &kept).map(Some);
        }
        Ok(None)
    }

    /// Was this request answered for a token that is gone since, and whose account nobody knows any more?
    pub(super) fn answered_for(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        token: &str,
    ) -> Result<bool, Error> {
        for key in keyring.keys() {
            let kept = view.get::<Replay>(&key::replay(&self.hash(key, token)))?;
            let in_time = |kept: &Replay| view.now() < kept.create_time.after(limits::REPLAY_KEPT);
            if kept.as_ref().is_some_and(in_time) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Keeps that this token was answered for, without the answer: see [`Once::answered_for`].
    pub(super) fn keep_token(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        token: &str,
    ) -> Result<(), Error> {
        let key = keyring.current();
        let replay = Replay {
            create_time: view.now(),
            payload_hash: key.request_hash(&[&self.payload]),
            subject: Vec::new(),
            sealed_secret: Vec::new(),
            key: key.id(),
        };
        put(view, &self.hash(key, token), &replay)
    }

    /// Keeps the answer, in the commit of the change.
    pub(super) fn keep(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        random: &dyn Random,
        account: &AccountId,
        record: &impl Record,
        secret: Option<&SecretText>,
    ) -> Result<(), Error> {
        let key = keyring.current();
        let request = self.hash(key, account.as_str());
        let seal = |secret: &SecretText| key.seal(&request, secret.reveal().as_bytes(), random);
        let replay = Replay {
            create_time: view.now(),
            payload_hash: key.request_hash(&[&self.payload]),
            subject: record.encode(),
            sealed_secret: secret.map(seal).unwrap_or_default(),
            key: key.id(),
        };
        put(view, &request, &replay)
    }

    /// The account is part of the name; or the token, whose id is no account's.
    fn hash(&self, key: &Key, account: &str) -> [u8; 32] {
        let parts = [
            self.operator.as_str(),
            self.method,
            account,
            &self.request_id,
        ];
        key.request_hash(&parts.map(str::as_bytes))
    }

    fn open<R: Record>(
        &self,
        keyring: &Keyring,
        request: &[u8; 32],
        kept: &Replay,
    ) -> Result<Answered<R>, Error> {
        let corrupt = |wrong: &str| crate::store::seal::Corrupt::new(&key::replay(request), wrong);
        let record = R::decode(&kept.subject).map_err(|wrong| corrupt(&wrong))?;
        let secret = if kept.sealed_secret.is_empty() {
            None
        } else {
            let key = keyring
                .key(kept.key)
                .ok_or_else(|| corrupt("its key is gone"))?;
            let plain = key
                .unseal(request, &kept.sealed_secret)
                .ok_or_else(|| corrupt("its seal is broken"))?;
            let text = std::str::from_utf8(&plain).map_err(|_| corrupt("it holds no text"))?;
            Some(SecretText::new(text))
        };
        Ok(Answered { record, secret })
    }
}

fn put(view: &mut View<'_>, request: &[u8; 32], replay: &Replay) -> Result<(), Error> {
    let end = replay.create_time.after(limits::REPLAY_KEPT);
    view.put(key::replay(request), replay)?;
    view.put(key::replay_end(end, request), &Pointer(String::new()))?;
    Ok(())
}
