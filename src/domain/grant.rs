//! What may be done: grants, the permissions that requests need, and when one meets the other.
//!
//! A grant is compiled where it is written (`parse`), so that a check compares strings and no more. `keyward/…` is
//! reserved for Keyward's own operators: no wildcard and no empty list of grants reaches it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::field::{Rule, is_segment};
use super::limits;

/// The first segment of what operators may do in Keyward itself.
const RESERVED: &str = "keyward";

/// Every grant under `keyward/` that means something: resource and its actions.
pub const OPERATOR_GRANTS: [(&str, &[&str]); 5] = [
    ("keyward/credentials", &["validate"]),
    ("keyward/tokens", &["read", "write"]),
    ("keyward/directory", &["read", "write"]),
    ("keyward/events", &["read"]),
    ("keyward/usage", &["read"]),
];

/// One grant: `dispatch`, `tables/orders:read`, `tables/*:read,write`, `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Grant {
    pattern: Pattern,
    actions: Actions,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Pattern {
    /// This resource.
    Exactly(Box<str>),
    /// Every resource that goes on after this prefix: `tables/`, or nothing for `*`.
    Below(Box<str>),
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Actions {
    Every,
    /// Sorted, without repetition.
    These(Box<[Box<str>]>),
}

impl Grant {
    /// Reads a grant: `resource`, `resource:action,action`, with `*` as the last segment for one or more.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        if text.len() > limits::GRANT_BYTES {
            return Err(format!("must be at most {} bytes", limits::GRANT_BYTES));
        }
        let (resource, actions) = match text.split_once(':') {
            None => (text, Actions::Every),
            Some((resource, actions)) => (resource, Actions::parse(actions)?),
        };
        let grant = Self {
            pattern: Pattern::parse(resource)?,
            actions,
        };
        if grant.is_reserved() {
            grant.check_reserved()?;
        }
        Ok(grant)
    }

    /// Is this a grant of Keyward's own, for operators?
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        let (Pattern::Exactly(text) | Pattern::Below(text)) = &self.pattern;
        is_reserved(text)
    }

    /// Does it permit this?
    #[must_use]
    pub fn allows(&self, permission: &Permission<'_>) -> bool {
        self.pattern.matches(permission.resource) && self.actions.include(permission.action)
    }

    /// Does it permit all that `other` permits?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.pattern.covers(&other.pattern) && self.actions.cover(&other.actions)
    }

    /// What both permit.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let pattern = match (
            self.pattern.covers(&other.pattern),
            other.pattern.covers(&self.pattern),
        ) {
            (true, _) => &other.pattern,
            (_, true) => &self.pattern,
            _ => return None,
        };
        Some(Self {
            pattern: pattern.clone(),
            actions: self.actions.intersect(&other.actions)?,
        })
    }

    fn check_reserved(&self) -> Result<(), Rule> {
        let Pattern::Exactly(resource) = &self.pattern else {
            return Err("must not use a wildcard under keyward/".into());
        };
        let known = OPERATOR_GRANTS
            .iter()
            .find(|(name, _)| *name == &**resource);
        let fits = known.is_some_and(|(_, actions)| match &self.actions {
            Actions::Every => true,
            Actions::These(these) => these.iter().all(|action| actions.contains(&&**action)),
        });
        if fits {
            return Ok(());
        }
        let all: Vec<String> = OPERATOR_GRANTS
            .iter()
            .map(|(name, actions)| format!("{name}:{}", actions.join(",")))
            .collect();
        Err(format!(
            "must be one of Keyward's own under keyward/: {}",
            all.join(" ")
        ))
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Exactly(resource) => f.write_str(resource)?,
            Pattern::Below(prefix) => write!(f, "{prefix}*")?,
        }
        match &self.actions {
            Actions::Every => Ok(()),
            Actions::These(these) => write!(f, ":{}", these.join(",")),
        }
    }
}

impl Pattern {
    fn parse(resource: &str) -> Result<Self, Rule> {
        let (prefix, wildcard) = match resource.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (resource, false),
        };
        let segments = if wildcard {
            prefix.strip_suffix('/')
        } else {
            Some(resource)
        };
        match segments {
            None if prefix.is_empty() => Ok(Self::Below("".into())),
            Some(segments) if segments.split('/').all(is_segment) => {
                Ok(if wildcard { Self::Below(prefix.into()) } else { Self::Exactly(resource.into()) })
            }
            _ => Err("must be segments of A-Z, a-z, 0-9, '.', '_', '-' joined by '/', with '*' only as the last".into()),
        }
    }

    fn matches(&self, resource: &str) -> bool {
        match self {
            Self::Exactly(own) => **own == *resource,
            Self::Below(prefix) => {
                resource.len() > prefix.len()
                    && resource.starts_with(&**prefix)
                    && !is_reserved(resource)
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exactly(resource)) => self.matches(resource),
            (Self::Below(wide), Self::Below(narrow)) => narrow.starts_with(&**wide),
            (Self::Exactly(_), Self::Below(_)) => false,
        }
    }
}

impl Actions {
    fn parse(text: &str) -> Result<Self, Rule> {
        let mut these: Vec<Box<str>> = text.split(',').map(Into::into).collect();
        if !these.iter().all(|action| is_segment(action)) {
            return Err("must name its actions after ':' as words of A-Z, a-z, 0-9, '.', '_', '-' joined by ','".into());
        }
        these.sort_unstable();
        these.dedup();
        Ok(Self::These(these.into()))
    }

    fn include(&self, action: Option<&str>) -> bool {
        match (self, action) {
            (Self::Every, _) => true,
            (Self::These(these), Some(action)) => these.iter().any(|this| **this == *action),
            (Self::These(_), None) => false,
        }
    }

    fn cover(&self, other: &Self) -> bool {
        match other {
            Self::Every => *self == Self::Every,
            Self::These(these) => these.iter().all(|action| self.include(Some(action))),
        }
    }

    fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Every, both) | (both, Self::Every) => Some(both.clone()),
            (Self::These(mine), Self::These(_)) => {
                let both: Vec<_> = mine
                    .iter()
                    .filter(|action| other.include(Some(action)))
                    .cloned()
                    .collect();
                (!both.is_empty()).then(|| Self::These(both.into()))
            }
        }
    }
}

/// A set of grants, as a token or a role holds it. Clones share it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Grants(Arc<[Grant]>);

impl Grants {
    /// Keeps the order given; a repeated grant is kept once.
    #[must_use]
    pub fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        let mut seen = HashSet::new();
        let fresh = |grant: &Grant| seen.insert(grant.clone());
        Self(grants.into_iter().filter(fresh).collect())
    }

    /// Every application grant.
    #[must_use]
    pub fn everything() -> Self {
        Self(
            [Grant {
                pattern: Pattern::Below("".into()),
                actions: Actions::Every,
            }]
            .into(),
        )
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    #[must_use]
    pub fn allow(&self, permission: &Permission<'_>) -> bool {
        self.0.iter().any(|grant| grant.allows(permission))
    }

    /// The first of `others` that these do not cover.
    #[must_use]
    pub fn first_uncovered<'a>(&self, others: &'a Self) -> Option<&'a Grant> {
        others.iter().find(|other| !self.cover(other))
    }

    /// Do these, taken together, permit all that a grant permits?
    fn cover(&self, other: &Grant) -> bool {
        let reaching = || {
            self.0
                .iter()
                .filter(|own| own.pattern.covers(&other.pattern))
        };
        match &other.actions {
            Actions::Every => reaching().any(|own| own.actions == Actions::Every),
            Actions::These(these) => these
                .iter()
                .all(|action| reaching().any(|own| own.actions.include(Some(action)))),
        }
    }

    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self::new(
            self.iter()
                .flat_map(|mine| other.iter().filter_map(|theirs| mine.intersect(theirs))),
        )
    }

    /// What every one of the sets gives, taken together.
    pub fn union<'a>(sets: impl IntoIterator<Item = &'a Self>) -> Self {
        Self::new(sets.into_iter().flat_map(Self::iter).cloned())
    }
}

/// What a request is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permission<'a> {
    pub resource: &'a str,
    pub action: Option<&'a str>,
}

/// A part of a permission and the rule that it breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PermissionError {
    Resource(Rule),
    Action(Rule),
}

impl<'a> Permission<'a> {
    /// A resource has one or more segments; an empty action means none.
    pub fn parse(resource: &'a str, action: &'a str) -> Result<Self, PermissionError> {
        if resource.len() > limits::RESOURCE_BYTES || !resource.split('/').all(is_segment) {
            let rule = format!(
                "is required: segments of A-Z, a-z, 0-9, '.', '_', '-' joined by '/', at most {} bytes, no wildcard",
                limits::RESOURCE_BYTES
            );
            return Err(PermissionError::Resource(rule));
        }
        if !action.is_empty() && (action.len() > limits::ACTION_BYTES || !is_segment(action)) {
            let rule = format!(
                "must be at most {} of A-Z, a-z, 0-9, '.', '_', '-'",
                limits::ACTION_BYTES
            );
            return Err(PermissionError::Action(rule));
        }
        Ok(Self {
            resource,
            action: (!action.is_empty()).then_some(action),
        })
    }

    /// Is it one of Keyward's own, which only a grant that names it gives?
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        is_reserved(self.resource)
    }

    #[must_use]
    pub fn is_read(&self) -> bool {
        self.action == Some("read")
    }
}

impl fmt::Display for Permission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        self.action.map_or(Ok(()), |action| write!(f, ":{action}"))
    }
}

fn is_reserved(resource: &str) -> bool {
    resource
        .strip_prefix(RESERVED)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "grant_tests.rs"]
mod tests;
