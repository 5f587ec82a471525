//! Every limit on what callers may say, in one place.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Names and display names, in characters.
pub const NAME_CHARS: usize = 200;
/// Descriptions and reasons given for a change, in characters.
pub const DESCRIPTION_CHARS: usize = 1_000;
/// E-mail addresses, in characters.
pub const EMAIL_CHARS: usize = 254;
/// Account ids, in bytes.
pub const ACCOUNT_ID: RangeInclusive<usize> = 3..=40;
/// Principal and role ids, in bytes.
pub const LOCAL_ID_BYTES: usize = 64;
/// A deployment's name, in bytes.
pub const ENVIRONMENT_BYTES: usize = 32;
pub const REQUEST_ID_CHARS: usize = 128;
/// A user name that goes with an imported text, in bytes.
pub const FOREIGN_ID_BYTES: usize = 128;
/// The end of a secret that tells it from others, in characters.
pub const HINT_CHARS: usize = 4;

/// Grants of one token, or of one role.
pub const GRANTS: usize = 64;
pub const GRANT_BYTES: usize = 200;
/// Labels of one token, and their sizes.
pub const LABELS: usize = 32;
pub const LABEL_KEY_BYTES: usize = 63;
pub const LABEL_VALUE_BYTES: usize = 256;
/// Allowed networks of one token.
pub const NETWORKS: usize = 32;
/// Roles given to one principal.
pub const ROLES_OF_PRINCIPAL: usize = 32;
/// What of a text an answer repeats to whoever sent it, in characters.
pub const REPEATED_CHARS: usize = 64;
/// Broken rules that one answer names: errors travel in headers, of which clients take 8 KiB.
pub const VIOLATIONS_TOLD: usize = 12;
/// What `required` names.
pub const RESOURCE_BYTES: usize = 200;
pub const ACTION_BYTES: usize = 64;

/// A presented text, in bytes: longer ones are MALFORMED.
pub const PRESENTED_BYTES: usize = 512;
/// A presented header: the longest text in Basic, with an id, and room for the scheme.
pub const AUTHORIZATION_BYTES: usize = 1_024;

/// Digests that one token keeps: pending, current, retiring and superseded.
pub const SECRETS_OF_TOKEN: usize = 8;
/// Old secrets that are in their grace at once.
pub const RETIRING_SECRETS: usize = 3;
/// How long a superseded secret is still told from an unknown one.
pub const SUPERSEDED_KEPT: Duration = Duration::from_secs(90 * 86_400);
/// How long a pending secret waits for its first use.
pub const PENDING_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// The longest grace of a rekey.
pub const REKEY_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// Calls of an account's day: what a JSON number still holds exactly.
pub const DAILY_CALLS: u64 = (1 << 53) - 1;
/// Concurrent connections of one token.
pub const CONNECTIONS: u32 = 1_000_000;
/// Calls of a rate limit, and its burst.
pub const RATE_CALLS: u32 = 1_000_000;
/// The span of a rate limit.
pub const RATE_PER: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
/// How long a used up burst takes to be whole again.
pub const RATE_REFILL: Duration = Duration::from_secs(366 * 86_400);
/// Notices before a token's expiry, and how far ahead of it each may be.
pub const NOTICES: usize = 8;
pub const NOTICE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(366 * 86_400);
/// How long the answer of a call with a request id is kept.
pub const REPLAY_KEPT: Duration = Duration::from_secs(600);

/// The name of a consumer, in bytes.
pub const CONSUMER_BYTES: usize = 64;
/// Consumers that are kept of one token; the least recent go first.
pub const CONSUMERS_OF_TOKEN: usize = 1_000;
/// Consumers that an answer about turning something off names, the newest first.
pub const CONSUMERS_TOLD: usize = 100;
/// Days of which usage is kept, the current one included.
pub const USAGE_DAYS: i32 = 90;

/// Questions of one batch.
pub const BATCH: usize = 100;
/// Questions of one stream that wait at once for the store, or for a revision.
pub const STREAM_WAITING: usize = 1_024;
/// Bytes of those questions after which no further one is read; each is no longer than a request may be.
pub const STREAM_WAITING_BYTES: usize = 256 * 1024;

/// Rows of a page that names no size, and of the largest.
pub const PAGE_SIZE_DEFAULT: usize = 50;
pub const PAGE_SIZE: usize = 1_000;
/// How long a validation waits for `min_revision`.
pub const REVISION_PATIENCE: Duration = Duration::from_secs(1);
