//! Calls with a request id: the first answer is kept, sealed, in the commit of the change, and given again to a retry with the
//! same payload for ten minutes.

use super::{Error, Registry};
use crate::domain::id::{AccountId, TokenId};
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
        let kept = self.kept(view, keyring, account.as_str())?;
        kept.map(|(request, kept)| self.open(keyring, &request, &kept))
            .transpose()
    }

    /// Was it answered with a new secret of this token? Asked where the token is gone, and with it the account that the answer
    /// is kept under.
    pub(super) fn was_answered_for(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        token: TokenId,
    ) -> Result<bool, Error> {
        let trace = self.kept(view, keyring, &trace_of(token))?;
        Ok(trace.is_some())
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

    /// Keeps that it was answered for a token, and nothing of the answer.
    pub(super) fn keep_trace(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        token: TokenId,
    ) -> Result<(), Error> {
        let key = keyring.current();
        let trace = Replay {
            create_time: view.now(),
            payload_hash: key.request_hash(&[&self.payload]),
            subject: Vec::new(),
            sealed_secret: Vec::new(),
            key: key.id(),
        };
        put(view, &self.hash(key, &trace_of(token)), &trace)
    }

    /// The row kept for this request in an account (or for a token), and the hash that it is kept under.
    fn kept(
        &self,
        view: &mut View<'_>,
        keyring: &Keyring,
        place: &str,
    ) -> Result<Option<([u8; 32], Replay)>, Error> {
        for key in keyring.keys() {
            let request = self.hash(key, place);
            let Some(kept) = view.get::<Replay>(&key::replay(&request))? else {
                continue;
            };
            if view.now() >= kept.end() {
                continue;
            }
            if kept.payload_hash != key.request_hash(&[&self.payload]) {
                return Err(Error::RequestIdReused);
            }
            return Ok(Some((request, kept)));
        }
        Ok(None)
    }

    fn hash(&self, key: &Key, place: &str) -> [u8; 32] {
        let parts = [self.operator.as_str(), self.method, place, &self.request_id];
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

impl Registry {
    /// Commits a change that makes a record, or gives the record that the same request made before. `account` is the one
    /// that the answer is kept under.
    pub(super) async fn commit_once<R, F>(
        &self,
        account: AccountId,
        once: Option<Once>,
        mut change: F,
    ) -> Result<R, Error>
    where
        R: Record + Send + 'static,
        F: FnMut(&mut View<'_>) -> Result<R, Error> + Send + 'static,
    {
        let (keyring, random) = (self.keyring.clone(), self.random.clone());
        self.commit(move |view| {
            let Some(once) = &once else {
                return change(view);
            };
            if let Some(answered) = once.answered::<R>(view, &keyring, &account)? {
                return Ok(answered.record);
            }
            let made = change(view)?;
            once.keep(view, &keyring, &*random, &account, &made, None)?;
            Ok(made)
        })
        .await
    }
}

fn put(view: &mut View<'_>, request: &[u8; 32], replay: &Replay) -> Result<(), Error> {
    view.put(key::replay(request), replay)?;
    let end = key::replay_end(replay.end(), request);
    view.put(end, &Pointer(String::new()))?;
    Ok(())
}

/// In place of an account's id; none looks like it.
fn trace_of(token: TokenId) -> String {
    format!("token {token}")
}
