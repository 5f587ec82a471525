//! Turns sled's panics into values: sled panics where its files are damaged.
//!
//! The process's panic hook is extended once, so that a panic that is caught here prints nothing; every other panic is
//! reported as before. sled's own threads are named `sled-io-…`: what they panic about surfaces as an error of the call that
//! waits for them.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

/// Runs `work`; a panic in it is the error, as its message. Nothing is printed.
///
/// What `work` leaves half changed must not be used afterwards.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET.set(outer);
    result.map_err(|payload| message(payload.as_ref()))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() && !on_a_thread_of_sled() {
                loud(info);
            }
        }));
    });
}

fn on_a_thread_of_sled() -> bool {
    std::thread::current()
        .name()
        .is_some_and(|name| name.starts_with("sled-io-"))
}

/// The first line of what a panic says, which is all that helps an operator.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload
            .downcast_ref::<&str>()
            .copied()
            .unwrap_or("a panic without words"),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_the_first_line_of_its_message() {
        let panicked: Result<(), String> = quietly(|| panic!("row {} is torn\nand more", 7));
        assert_eq!(panicked, Err("row 7 is torn".to_owned()));
        assert_eq!(
            quietly(|| panic!("plain")),
            Err::<(), _>("plain".to_owned())
        );
        assert_eq!(quietly(|| 7), Ok(7));
    }

    #[test]
    fn quiet_ends_with_the_call_also_when_nested() {
        quietly(|| {
            let _inner = quietly(|| panic!("inner"));
            assert!(QUIET.get());
        })
        .unwrap();
        assert!(!QUIET.get());
    }
}
