//! The comparison of a presented text with what is kept: the same work whatever is presented, whether or not there is such a token.

use subtle::ConstantTimeEq as _;

use super::identity::Matching;
use crate::directory::{Entry, SecretView, Sought};
use crate::domain::decision::{self, Question, Subject};
use crate::domain::limits;
use crate::domain::secret::{Digest, KeyId, Life, Place};
use crate::domain::time::Timestamp;
use crate::keyring::{KEYS, Key, Keyring};

/// Where the token would be that the text may belong to, and the text's digests.
pub(super) struct Candidate<'d> {
    pub(super) sought: Sought<'d>,
    /// It is there, and no other one was named.
    pub(super) fits: bool,
    pub(super) digests: Digests,
    /// An imported one.
    pub(super) foreign: bool,
}

impl Candidate<'_> {
    /// Which of the token's secrets the text is; the same comparisons are made where there is no token: with another's digests, in vain.
    pub(super) fn matching(&self, now: Timestamp) -> Option<Matching> {
        let slot = self.matching_slot();
        let entry = self.sought.to_read().filter(|_| self.fits)?;
        let secret = entry.secret(slot?)?;
        secret.life.state(now)?;
        Some(Matching {
            version: secret.version,
            key: secret.key,
            life: secret.life,
        })
    }

    /// Where nothing matches, the rules are applied all the same, to the entry that was read: a guess costs what a hit costs.
    pub(super) fn judge_in_vain(&self, question: &Question<'_>, now: Timestamp) {
        let Some(entry) = self.sought.to_read() else {
            return;
        };
        let Some(account) = entry.tenant().account() else {
            return;
        };
        let member = entry.seat().and_then(|seat| seat.member());
        let subject = Subject {
            credential: entry.credential(),
            secret: Life {
                place: Place::Current,
                create_time: now,
            },
            account: &account,
            standing: member.as_ref().map(|member| member.standing()),
        };
        std::hint::black_box(decision::keeps_rules(&subject, question, now));
    }

    fn matching_slot(&self) -> Option<usize> {
        const DUMMY: Digest = Digest::new([0; Digest::LENGTH]);
        let entry = self.sought.to_read();
        let mut matching = None;
        for slot in 0..limits::SECRETS_OF_TOKEN {
            let secret = entry.and_then(|entry: &Entry| entry.secret(slot));
            let kept = secret.map_or(&DUMMY, |secret| secret.digest);
            for (key, digest) in self.digests.iter() {
                #[cfg(test)]
                compared::count();
                let equal = bool::from(kept.ct_eq(digest));
                let is_it =
                    |secret: SecretView<'_>| secret.key == key && secret.foreign == self.foreign;
                if equal & secret.is_some_and(is_it) {
                    matching = Some(slot);
                }
            }
        }
        matching
    }
}

/// A text's digest under each loaded key, the current one first.
pub(super) struct Digests([Option<(KeyId, Digest)>; KEYS]);

impl Digests {
    pub(super) fn under_each(keyring: &Keyring, digest: impl Fn(&Key) -> Digest) -> Self {
        let mut keys = keyring.keys().iter();
        Self(std::array::from_fn(|_| {
            keys.next().map(|key| (key.id(), digest(key)))
        }))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyId, &Digest)> {
        self.0.iter().flatten().map(|(key, digest)| (*key, digest))
    }

    pub(super) fn current(&self) -> Digest {
        self.0[0].map_or(Digest::new([0; Digest::LENGTH]), |(_, digest)| digest)
    }
}

/// How many digests a test's thread has compared.
#[cfg(test)]
pub(super) mod compared {
    thread_local!(pub(in crate::validator) static COUNT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });

    pub(super) fn count() {
        COUNT.with(|count| count.set(count.get() + 1));
    }
}
