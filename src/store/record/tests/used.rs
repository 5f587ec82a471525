//! Records of usage for the tests: one of each kind by hand.

use std::time::Duration;

use super::samples::TIME;
use crate::domain::time::Day;
use crate::domain::usage::{Consumer, Counts, Days, GrantMark, SecretUse, Today, TokenUsage};
use crate::store::record::packed::{self, Packed};
use crate::store::record::{UsageFold, UsageLog, UsagePage};

pub(super) fn usage() -> TokenUsage {
    TokenUsage {
        today: Today {
            day: Day::of(TIME),
            counts: Counts {
                allowed: 2_500,
                denied: 3,
            },
        },
        last_used: Some(TIME),
        secrets: vec![SecretUse {
            version: 2,
            day: Day::of(TIME),
            calls: 2_400,
            last_used: TIME,
        }],
        exercised: [5, 7].map(GrantMark).into(),
        before: usage_history(),
        consumers: 4,
    }
}

fn usage_history() -> Days {
    let counts = Counts {
        allowed: 300,
        denied: 1,
    };
    let today = Day::of(TIME);
    [(today.before(89), counts), (today.before(1), counts)]
        .into_iter()
        .collect()
}

/// An account's use, a token's, that of one of its consumers, and a history, as they are packed.
pub(super) fn usage_log() -> UsageLog {
    let account = TokenUsage {
        today: usage().today,
        ..TokenUsage::default()
    };
    let mut entries = Vec::new();
    push(&mut entries, b"a0000acme", &account);
    push(&mut entries, b"t0123456789ABCDEFGHIJKL", &usage());
    push(
        &mut entries,
        b"t0123456789ABCDEFGHIJKL/billing",
        &consumer(),
    );
    push(&mut entries, b"t0123456789ABCDEFGHIJKL", &usage_history());
    UsageLog { entries }
}

pub(super) fn usage_page() -> UsagePage {
    let often = TokenUsage {
        secrets: vec![SecretUse {
            version: 2,
            day: Day::of(TIME),
            calls: 2_500,
            last_used: TIME,
        }],
        exercised: Vec::new(),
        before: Days::default(),
        ..usage()
    };
    let mut entries = Vec::new();
    push(&mut entries, b"t0123456789ABCDEFGHIJKL", &often);
    UsagePage {
        next: Some(b"t0123456789ABCDEFGHIJKM".into()),
        entries,
    }
}

pub(super) fn usage_fold() -> UsageFold {
    UsageFold {
        through: 7,
        after: b"t0123456789ABCDEFGHIJKL".into(),
    }
}

fn push(entries: &mut Vec<u8>, name: &[u8], value: &impl Packed) {
    let mut bytes = Vec::new();
    value.pack(&mut bytes);
    packed::push(entries, name, &bytes);
}

pub(super) fn consumer() -> Consumer {
    Consumer {
        first_seen: TIME,
        last_seen: TIME.after(Duration::from_secs(60)),
        day: Day::of(TIME),
        calls: 12,
        version: 2,
        old_used: Some(TIME),
    }
}
