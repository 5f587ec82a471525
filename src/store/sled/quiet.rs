//! Turns sled's panics into values: sled panics where its files are damaged.
//!
//! The process's panic hook is extended once, so that a panic that is caught here prints nothing; every other panic is
//! reported as before.
//!
//! sled's own threads (`sled-io-…`) are another matter. While a store is opened, who waits for one that panics panics too,
//! and is caught. Later, who waits waits for ever, and the file stays locked: no write would be answered again, nor could the
//! store be reopened. The process then ends, and the next one finds everything that was acknowledged.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Opens a store: like `quietly`, and sled's threads may panic as well.
pub(super) fn open_quietly<T>(open: impl FnOnce() -> T) -> Result<T, String> {
    OPENING.fetch_add(1, Ordering::SeqCst);
    let result = quietly(open);
    OPENING.fetch_sub(1, Ordering::SeqCst);
    result
}

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

/// How many stores are being opened.
static OPENING: AtomicUsize = AtomicUsize::new(0);

fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let on_a_thread_of_sled = thread::current()
                .name()
                .is_some_and(|name| name.starts_with("sled-io-"));
            let caught = match on_a_thread_of_sled {
                true => OPENING.load(Ordering::SeqCst) > 0,
                false => QUIET.get(),
            };
            if !caught {
                loud(info);
                if on_a_thread_of_sled {
                    process::abort();
                }
            }
        }));
    });
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
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    const CHILD: &str = "KEYWARD_TEST_PANICS_ON_A_THREAD_OF_SLED";

    fn panic_on_a_thread_of_sled() {
        let thread = thread::Builder::new().name("sled-io-7".into());
        let _panicked = thread.spawn(|| panic!("a bug in sled")).unwrap().join();
    }

    #[test]
    fn a_panic_on_a_thread_of_sled_ends_the_process_unless_a_store_is_being_opened() {
        if std::env::var_os(CHILD).is_some() {
            open_quietly(panic_on_a_thread_of_sled).unwrap();
            println!("survived opening");
            quietly(panic_on_a_thread_of_sled).unwrap();
            println!("survived writing");
            return;
        }
        let test = concat!(
            module_path!(),
            "::a_panic_on_a_thread_of_sled_ends_the_process_unless_a_store_is_being_opened"
        );
        let test = test.split_once("::").unwrap().1;
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", test])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        assert!(
            said.contains("survived opening") && !said.contains("survived writing"),
            "{said}"
        );
        assert_eq!(child.status.signal(), Some(libc::SIGABRT));
        assert!(
            String::from_utf8(child.stderr)
                .unwrap()
                .contains("a bug in sled")
        );
    }

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
