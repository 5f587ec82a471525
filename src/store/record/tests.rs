//! Tests: every record is read as it was written, by this version and by released ones.

use std::path::PathBuf;

use proptest::prelude::*;

use super::packed::Packed as _;
use super::*;
use crate::domain::usage::{Consumer, Days, TokenUsage};

mod any;
mod samples;
mod used;

use any::*;
use samples::*;
use used::*;

/// Where the payloads of stored format version 1 are kept. They are never written anew: every later version must read them.
fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stored/v1")
}

/// The payload kept in a file is this record, and this record is that payload.
fn reads<R: Record + PartialEq + std::fmt::Debug>(file: &str, record: &R) {
    let path = fixtures().join(file);
    let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(R::decode(&kept).as_ref(), Ok(record), "{file} is read");
    assert_eq!(record.encode(), kept, "{file} is written as it was");
}

#[test]
fn every_record_of_version_1_is_read_and_written_byte_for_byte() {
    reads("account-standard.bin", &standard_account());
    reads("account-full.bin", &full_account());
    reads("tally.bin", &Tally(77));
    reads("principal.bin", &principal());
    reads("principal-bare.bin", &bare_principal());
    reads("role.bin", &role());
    reads("token.bin", &token());
    reads("token-bare.bin", &bare_token());
    reads("token-limited.bin", &limited_token());
    reads("token-imported.bin", &imported_token());
    reads("token-operator.bin", &operator_token());
    reads("pointer.bin", &Pointer("0123456789ABCDEFGHIJKL".into()));
    reads("notice.bin", &told());
    reads("slots.bin", &slots());
    reads("node.bin", &node());
    reads("event.bin", &event());
    reads("checkpoint.bin", &checkpoint());
    reads("replay.bin", &replay());
    reads("usage-log.bin", &usage_log());
    reads("usage-page.bin", &usage_page());
    reads("usage-fold.bin", &usage_fold());
    reads("consumer.bin", &consumer());
    reads("head.bin", &head());
    reads("head-after-a-change.bin", &head_after_a_change());
    reads("change.bin", &change());
    reads("image-footer.bin", &image_footer());
}

#[test]
fn every_fixture_is_read_by_a_test() {
    let files = std::fs::read_dir(fixtures()).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    let mut known: Vec<String> = written().into_iter().map(|(name, _)| name.into()).collect();
    known.sort_unstable();
    assert_eq!(names, known);
}

/// Writes the fixtures of a version that has not been released: `cargo test write_the_fixtures -- --ignored`.
#[test]
#[ignore = "released fixtures are never written again"]
fn write_the_fixtures() {
    std::fs::create_dir_all(fixtures()).unwrap();
    for (name, payload) in written() {
        std::fs::write(fixtures().join(name), payload).unwrap();
    }
}

fn written() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("account-standard.bin", standard_account().encode()),
        ("account-full.bin", full_account().encode()),
        ("tally.bin", Tally(77).encode()),
        ("principal.bin", principal().encode()),
        ("principal-bare.bin", bare_principal().encode()),
        ("role.bin", role().encode()),
        ("token.bin", token().encode()),
        ("token-bare.bin", bare_token().encode()),
        ("token-limited.bin", limited_token().encode()),
        ("token-imported.bin", imported_token().encode()),
        ("token-operator.bin", operator_token().encode()),
        (
            "pointer.bin",
            Pointer("0123456789ABCDEFGHIJKL".into()).encode(),
        ),
        ("notice.bin", told().encode()),
        ("slots.bin", slots().encode()),
        ("node.bin", node().encode()),
        ("event.bin", event().encode()),
        ("checkpoint.bin", checkpoint().encode()),
        ("replay.bin", replay().encode()),
        ("usage-log.bin", usage_log().encode()),
        ("usage-page.bin", usage_page().encode()),
        ("usage-fold.bin", usage_fold().encode()),
        ("consumer.bin", consumer().encode()),
        ("head.bin", head().encode()),
        ("head-after-a-change.bin", head_after_a_change().encode()),
        ("change.bin", change().encode()),
        ("image-footer.bin", image_footer().encode()),
    ]
}

#[test]
fn what_the_domain_would_refuse_is_not_read() {
    let spoilt = |spoil: fn(&mut stored::Token)| {
        let mut stored: stored::Token = parse(&token().encode()).unwrap();
        spoil(&mut stored);
        crate::domain::token::Token::decode(&stored.encode_to_vec())
    };
    type Spoil = fn(&mut stored::Token);
    let table: [(&str, Spoil); 10] = [
        ("no id", |token| token.id.clear()),
        ("an account that cannot be", |token| {
            token.account_id = "A".into()
        }),
        ("a grant that cannot be", |token| {
            token.grants = vec!["a:".into()]
        }),
        ("a network that cannot be", |token| {
            token.allowed_networks = vec!["ten".into()]
        }),
        ("a rate limit that cannot be", |token| {
            token.rate_limit = Some(stored::RateLimit::default())
        }),
        ("a principal that cannot be", |token| {
            token.principal_id = "a b".into()
        }),
        ("a short digest", |token| {
            token.secrets[0].digest.truncate(31)
        }),
        ("a secret without a place", |token| {
            token.secrets[0].place = 0
        }),
        ("a place of a later version", |token| {
            token.secrets[0].place = 9
        }),
        ("an old secret without an end", |token| {
            token.secrets[0].place = stored::SecretPlace::Old.into();
            token.secrets[0].good_until_ms = None;
        }),
    ];
    assert!(spoilt(|_| {}).is_ok());
    for (case, spoil) in table {
        assert!(spoilt(spoil).is_err(), "{case}");
    }
}

proptest! {
    #[test]
    fn any_token_is_read_as_it_was_written(token in any_token()) {
        prop_assert_eq!(crate::domain::token::Token::decode(&token.encode()), Ok(token));
    }

    #[test]
    fn any_account_is_read_as_it_was_written(account in any_account()) {
        prop_assert_eq!(crate::domain::account::Account::decode(&account.encode()), Ok(account));
    }

    #[test]
    fn any_line_is_read_as_it_was_written(event in any_event()) {
        prop_assert_eq!(LoggedEvent::decode(&event.encode()), Ok(event));
    }

    #[test]
    fn any_usage_is_unpacked_as_it_was_packed(usage in any_usage(), days in any_days(), consumer in any_consumer()) {
        let mut bytes = Vec::new();
        usage.pack(&mut bytes);
        let mut read = self::usage();
        prop_assert_eq!(read.unpack(&bytes), Ok(()));
        prop_assert_eq!(read, usage);
        bytes.clear();
        days.pack(&mut bytes);
        prop_assert_eq!(Days::unpacked(&bytes), Ok(days));
        bytes.clear();
        consumer.pack(&mut bytes);
        prop_assert_eq!(Consumer::unpacked(&bytes), Ok(consumer));
    }

    #[test]
    fn any_entries_are_read_in_their_order(entries in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..90), proptest::collection::vec(any::<u8>(), 0..300)), 0..20)) {
        let mut bytes = Vec::new();
        entries.iter().for_each(|(name, value)| packed::push(&mut bytes, name, value));
        prop_assert_eq!(packed::check(&bytes), Ok(()));
        let read = packed::Entries::of(&bytes).map(|(name, value)| (name.to_vec(), value.to_vec()));
        prop_assert_eq!(read.collect::<Vec<_>>(), entries.clone());
        if !entries.is_empty() {
            prop_assert!(packed::check(&bytes[..bytes.len() - 1]).is_err(), "cut off");
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = crate::domain::token::Token::decode(&bytes);
        let _ = crate::domain::account::Account::decode(&bytes);
        let _ = crate::domain::principal::Principal::decode(&bytes);
        let _ = crate::domain::role::Role::decode(&bytes);
        let _ = (Head::decode(&bytes), Replay::decode(&bytes), LoggedEvent::decode(&bytes));
        let _ = (Tally::decode(&bytes), Pointer::decode(&bytes), Checkpoint::decode(&bytes));
        let _ = (UsageLog::decode(&bytes), UsagePage::decode(&bytes), UsageFold::decode(&bytes));
        let _ = (Consumer::decode(&bytes), Consumer::unpacked(&bytes));
        let _ = (TokenUsage::unpacked(&bytes), Days::unpacked(&bytes), packed::check(&bytes));
        let _ = (Change::decode(&bytes), ImageFooter::decode(&bytes));
        let _ = crate::domain::notice::Told::decode(&bytes);
    }
}
