//! Tests: whatever is counted, saved and changed at once, each decision is saved once.

use super::*;

#[test]
fn nothing_counted_beside_a_save_is_lost() {
    const EACH: u64 = 20_000;
    for usage in Counting::both(MANY) {
        let tokens: Vec<_> = (0..4).map(|n| token(&format!("{n}"), &[])).collect();
        let saved = std::thread::scope(|scope| {
            let count = |token| {
                for _ in 0..EACH {
                    usage.count(used(token));
                }
            };
            let counting: Vec<_> = tokens
                .iter()
                .map(|token| scope.spawn(move || count(token)))
                .collect();
            let (mut saved, mut sequence) = (0, 0);
            loop {
                let done = counting.iter().all(|thread| thread.is_finished());
                sequence += 1;
                let batch = usage.take(2, sequence);
                let tokens = batch.iter().flat_map(|batch| &batch.tokens);
                saved += tokens.map(calls).sum::<u64>();
                usage.written();
                if done && batch.is_none() {
                    break saved;
                }
            }
        });
        assert_eq!(saved, 4 * EACH);
    }
}

#[test]
fn nothing_counted_is_lost_while_tokens_are_changed_and_removed() {
    const EACH: u64 = 20_000;
    let usage = Counting::new(MANY, true);
    let tokens: Vec<_> = (0..4).map(|n| token(&format!("{n}"), &["a"])).collect();
    let directory = &usage.usage.directory;
    let put = |token: &Token| directory.apply(&commit(token)).unwrap();
    let remove = |token: &Token| {
        let rows = vec![(key::token(token.id), None)];
        let revision = Revision(1);
        directory.apply(&Changed { revision, rows }).unwrap();
    };
    tokens.iter().for_each(|token| put(token));
    let saved = std::thread::scope(|scope| {
        let count = |token: &Token| {
            for _ in 0..EACH {
                let found = directory.find(&token.id);
                let found = found.as_ref();
                usage.usage.count(&Used {
                    found,
                    ..used(token)
                });
            }
        };
        let counting: Vec<_> = tokens
            .iter()
            .map(|token| scope.spawn(move || count(token)))
            .collect();
        let (mut saved, mut sequence) = (0, 0);
        loop {
            let done = counting.iter().all(|thread| thread.is_finished());
            sequence += 1;
            let changed = &tokens[sequence as usize % 4];
            match sequence % 3 {
                0 => put(changed),
                1 => remove(changed),
                _ => put(&token_of(changed.id, Grants::default())),
            }
            let batch = usage.take(3, sequence);
            let tokens = batch.iter().flat_map(|batch| &batch.tokens);
            saved += tokens.map(calls).sum::<u64>();
            usage.written();
            if done && batch.is_none() {
                break saved;
            }
        }
    });
    assert_eq!(saved, 4 * EACH);
}
