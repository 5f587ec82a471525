//! An account's tokens, by id, filtered: expired ones too.

use std::collections::BTreeMap;

use crate::domain::id::{AccountId, TokenId};
use crate::domain::time::Timestamp;
use crate::domain::token::{Token, TokenState};
use crate::registry::page::{Page, Paged};
use crate::registry::{Call, Error, Registry};
use crate::store::backend::{Direction, Key};
use crate::store::record::Pointer;
use crate::store::seal::Corrupt;
use crate::store::{Reader, StoreError, Wanted, key};

/// Tokens that one page looks at, at the most; the page may then be short.
const LOOKED_AT: usize = 2_000;

/// A token by its place in the account's index; `None` where it was deleted meanwhile, or is not wanted.
type Row = (Key, Option<Token>);

/// Which tokens are wanted: all conditions hold; empty ones always do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TokenFilter {
    pub states: Vec<TokenState>,
    pub principal: String,
    pub name_prefix: String,
    /// The token's end lies before.
    pub expire_before: Option<Timestamp>,
    /// It was made before, and not used since.
    pub unused_since: Option<Timestamp>,
    /// Each label must be there with this value.
    pub labels: BTreeMap<String, String>,
}

impl TokenFilter {
    fn wants(&self, token: &Token, now: Timestamp) -> bool {
        let principal = token.principal.as_ref().map_or("", |id| id.as_str());
        (self.states.is_empty() || self.states.contains(&token.state(now)))
            && (self.principal.is_empty() || self.principal == principal)
            && token.name.starts_with(&self.name_prefix)
            && self
                .expire_before
                .is_none_or(|before| token.expire_time.is_some_and(|end| end < before))
            && self
                .labels
                .iter()
                .all(|(key, value)| token.labels.get(key) == Some(value))
    }
}

impl Registry {
    pub async fn list_tokens(
        &self,
        call: &Call,
        named: &str,
        filter: TokenFilter,
        page: Page,
    ) -> Result<Paged<Token>, Error> {
        let account = call.account(named)?;
        self.get_account(call, account.as_str()).await?;
        let scope = &call.operator.scope;
        let after = page.after(&self.keyring, scope)?;
        let now = self.clock.now();
        let keep =
            |token: &Option<Token>| token.as_ref().is_some_and(|token| filter.wants(token, now));
        let look = self.look_through(&account, after, page.size, filter.unused_since, keep);
        let (rows, ended) = look.await?;
        let limit = rows.len() + usize::from(ended);
        let Paged { items, next } = self.filtered(&page, scope, rows, limit, keep);
        Ok(Paged {
            items: items.into_iter().flatten().collect(),
            next,
        })
    }

    /// Tokens enough to fill a page, or as many as one page looks at; and whether the list ends with them.
    async fn look_through(
        &self,
        account: &AccountId,
        after: Option<Key>,
        size: usize,
        unused_since: Option<Timestamp>,
        keep: impl Fn(&Option<Token>) -> bool,
    ) -> Result<(Vec<Row>, bool), Error> {
        let mut rows: Vec<Row> = Vec::new();
        let (mut kept, mut ended) = (0, false);
        while kept < size && !ended && rows.len() < LOOKED_AT {
            // As long as all reads before it: a frequent match costs about a page, a rare one few reads.
            let limit = size.max(rows.len()).min(LOOKED_AT - rows.len());
            let wanted = Wanted {
                prefix: key::account_tokens(account),
                after: rows
                    .last()
                    .map(|(name, _)| name)
                    .or(after.as_ref())
                    .cloned(),
                direction: Direction::Forward,
                limit,
            };
            let mut more = self.store.read(move |reader| read(reader, &wanted)).await?;
            ended = more.len() < limit;
            if let Some(since) = unused_since {
                self.drop_used(&mut more, since).await?;
            }
            kept += more.iter().filter(|(_, token)| keep(token)).count();
            rows.append(&mut more);
        }
        Ok((rows, ended))
    }

    /// Leaves the tokens that were made before an instant and not used since.
    async fn drop_used(&self, rows: &mut [Row], since: Timestamp) -> Result<(), Error> {
        let ids = rows
            .iter()
            .filter_map(|(_, token)| Some(token.as_ref()?.id));
        let mut usage = self.usage_of(ids.collect()).await?.into_iter();
        for (_, row) in rows {
            let Some(token) = row else { continue };
            let last_used = usage.next().and_then(|usage| usage.last_used);
            if token.create_time.max(last_used.unwrap_or_default()) >= since {
                *row = None;
            }
        }
        Ok(())
    }
}

/// The tokens that a part of the account's index points at; one may be deleted between the two reads.
fn read(reader: &Reader, wanted: &Wanted) -> Result<Vec<Row>, StoreError> {
    let index = reader.scan::<Pointer>(wanted)?;
    let read = |(name, pointer): (Key, Result<Pointer, Corrupt>)| {
        let id = TokenId::parse(&pointer?.0)
            .ok_or_else(|| Corrupt::new(&name, "it points at no token"))?;
        Ok((name, reader.get(&key::token(id))?))
    };
    index.into_iter().map(read).collect()
}
