//! Who uses a token: listed, named before it is turned off, and asked before an old secret's grace is ended.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::pages;
use super::read::{Unfolded, Unsaved};
use crate::domain::id::TokenId;
use crate::domain::limits;
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::domain::usage::{Consumer, TokenUsage};
use crate::registry::page::{Page, Paged};
use crate::registry::{Call, Error, Registry};
use crate::store::backend::Key;
use crate::store::{Reader, StoreError, View, key};

/// Whoever used a token within this time breaks when it is turned off.
const RECENT: Duration = Duration::from_secs(86_400);

/// A consumer of a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedConsumer {
    pub name: String,
    pub consumer: Consumer,
    /// Its last use was with a secret older than the current one.
    pub uses_old_secret: bool,
}

/// An old secret was used too lately for its grace to be ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OldSecretInUse {
    pub token: TokenId,
    pub last_used: Timestamp,
    /// Who used one in that time, and when last; the newest first. Empty where nobody gave a name.
    pub consumers: Vec<(String, Timestamp)>,
}

/// What is known of a token's use beside the store, for a commit.
#[derive(Debug)]
pub(in crate::registry) struct UseInHand {
    /// Where the token's page is, or lies to the right of.
    page: Key,
    unfolded: Unfolded,
}

impl Registry {
    /// The consumers of a token, by name.
    pub async fn list_consumers(
        &self,
        call: &Call,
        token: &str,
        page: Page,
    ) -> Result<Paged<NamedConsumer>, Error> {
        let token = self.get_token(call, token).await?;
        let scope = &call.operator.scope;
        let after = page.after(&self.keyring, scope)?;
        let all = self.consumers_of(&token).await?;
        let rows = all
            .into_iter()
            .filter(|named| {
                after
                    .as_ref()
                    .is_none_or(|after| named.name.as_bytes() > &after[..])
            })
            .map(|named| (named.name.as_bytes().into(), named))
            .take(page.size + 1)
            .collect();
        Ok(self.filtered(&page, scope, rows, page.size + 1, |_| true))
    }

    /// Who used a token within the last day, the newest first: whoever breaks when it is turned off.
    pub async fn recent_consumers(
        &self,
        call: &Call,
        token: &str,
    ) -> Result<Vec<NamedConsumer>, Error> {
        let token = self.get_token(call, token).await?;
        let now = self.clock.settled();
        let mut recent = self.consumers_of(&token).await?;
        recent.retain(|named| now.since(named.consumer.last_seen) < RECENT);
        recent.sort_by_key(|named| Reverse(named.consumer.last_seen));
        recent.truncate(limits::CONSUMERS_TOLD);
        Ok(recent)
    }

    /// By name; no more than are kept.
    async fn consumers_of(&self, token: &Token) -> Result<Vec<NamedConsumer>, Error> {
        let (id, current) = (token.id, token.current_version());
        let all = self
            .read_usage(move |reader, unsaved, _| read(reader, unsaved, id))
            .await?;
        let named = all.into_iter().map(|(name, consumer)| NamedConsumer {
            name,
            uses_old_secret: consumer.version < current,
            consumer,
        });
        Ok(named.collect())
    }

    /// Adds to a refusal who it is that still uses an old secret.
    pub(in crate::registry) async fn name_users(
        &self,
        call: &Call,
        refused: OldSecretInUse,
        idle: Duration,
    ) -> Result<OldSecretInUse, Error> {
        let token = self.get_token(call, refused.token.as_str()).await?;
        let (current, now) = (token.current_version(), self.clock.settled());
        let all = self.consumers_of(&token).await?;
        let mut users: Vec<(String, Timestamp)> = all
            .into_iter()
            .filter_map(|named| Some((named.name, named.consumer.used_before(current)?)))
            .filter(|(_, used)| now.since(*used) < idle)
            .collect();
        users.sort_by_key(|(_, used)| Reverse(*used));
        users.truncate(limits::CONSUMERS_TOLD);
        Ok(OldSecretInUse {
            consumers: users,
            ..refused
        })
    }
}

impl Registry {
    /// What this node knows of a token's use besides the store. It stays so until it is dropped.
    pub(in crate::registry) async fn use_in_hand(&self, id: TokenId) -> Result<UseInHand, Error> {
        let unfolded = self.unfolded_usage().await?;
        let page = self.store.read(move |reader| {
            let (page, _) = pages::find(reader, key::USAGE_PAGES, &key::token_name(id))?;
            Ok(page)
        });
        let page = page.await?;
        Ok(UseInHand { page, unfolded })
    }
}

impl UseInHand {
    /// When an old secret of the token was last used, as the store has it and as this node counted it since.
    pub(in crate::registry) fn old_secret_used(
        &self,
        view: &mut View<'_>,
        token: &Token,
    ) -> Result<Option<Timestamp>, Error> {
        let name = key::token_name(token.id);
        let (_, page) = pages::walk(view, key::USAGE_PAGES, self.page.clone(), &name)?;
        let mut usage: TokenUsage = pages::value(&page, &name)?.unwrap_or_default();
        // What a fold has in hand may be in the page as well: the later of two times is right all the same.
        for counted in self.unfolded.of(token.id)? {
            usage.add_secrets(counted.secrets);
        }
        let old = token
            .retiring(view.now())
            .filter_map(|secret| usage.secret(secret.version));
        Ok(old.map(|used| used.last_used).max())
    }
}

impl fmt::Display for OldSecretInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "token {}: an old secret was last used at {}",
            self.token, self.last_used
        )?;
        match &self.consumers[..] {
            [] => f.write_str(", by nobody who gave a name"),
            [(name, _)] => write!(f, ", by {name}"),
            [(name, _), more @ ..] => write!(f, ", by {name} and {} more", more.len()),
        }
    }
}

/// The consumers of a token, by name: the most recent ones, where there are more than are kept.
fn read(
    reader: &Reader,
    unsaved: &Unsaved<'_>,
    id: TokenId,
) -> Result<BTreeMap<String, Consumer>, StoreError> {
    let mut all: BTreeMap<String, Consumer> = BTreeMap::new();
    reader.each::<Consumer>(&key::consumers(id), |name, consumer| {
        if let Some((_, name)) = key::consumer_parts(&name) {
            all.insert(name.to_owned(), consumer);
        }
        Ok(())
    })?;
    for (name, seen) in unsaved.consumers(id)? {
        add(&mut all, &name, &seen);
    }
    forget_oldest(&mut all);
    Ok(all)
}

/// Adds a use by a consumer.
pub(super) fn add(all: &mut BTreeMap<String, Consumer>, name: &str, seen: &Consumer) {
    match all.get_mut(name) {
        Some(consumer) => consumer.add(seen),
        None => {
            all.insert(name.to_owned(), *seen);
        }
    }
}

/// Drops the least recent consumers beyond those that are kept.
pub(super) fn forget_oldest(all: &mut BTreeMap<String, Consumer>) {
    let beyond = all.len().saturating_sub(limits::CONSUMERS_OF_TOKEN);
    if beyond == 0 {
        return;
    }
    let age = |(name, consumer): (&String, &Consumer)| (consumer.last_seen, name.clone());
    let mut ages: Vec<(Timestamp, String)> = all.iter().map(age).collect();
    ages.sort_unstable();
    for (_, name) in ages.into_iter().take(beyond) {
        all.remove(&name);
    }
}
