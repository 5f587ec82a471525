//! Whole command lines against a fake server: what is printed where, and the exit code.

use std::ffi::OsString;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::fake::{self, OPERATOR, SECRET, SILENT, TOKENS};
use super::run;
use super::shell::Shell;
use super::testing::Scene;

/// A scene whose environment names a fake server and its operator.
fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.set("KEYWARD_SERVER", &fake::start().to_string());
    scene.set("KEYWARD_TOKEN", OPERATOR);
    scene
}

/// Runs `keyward` with these words; answers exit code, standard output and standard error.
fn keyward(scene: &mut Scene, line: &str) -> (u8, String, String) {
    let arguments: Vec<OsString> = std::iter::once("keyward")
        .chain(line.split_whitespace())
        .map(Into::into)
        .collect();
    let code = scene.shell(|shell| run(&arguments, shell));
    (code, scene.stdout(), scene.stderr())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

#[test]
fn the_exit_code_of_validate_is_the_decision() {
    let mut scene = scene();
    for (credentials, code, says) in [("good", 0, "ALLOW"), ("bad", 1, "UNKNOWN"), ("away", 2, "")]
    {
        scene.stdin(credentials);
        let (exit, out, err) = keyward(&mut scene, "validate");
        assert_eq!(exit, code, "{credentials}: {err}");
        assert!(out.contains(says), "{out}");
    }
    let (exit, out, _) = keyward(&mut scene, "validate --no-credentials --output json");
    assert_eq!(exit, 1);
    assert_eq!(parsed(&out)["decision"], "DECISION_DENY");
}

#[test]
fn the_exit_code_of_hold_is_the_decision_and_its_withdrawal() {
    let mut scene = scene();
    for (credentials, says) in [("good", "ALLOW"), ("good", "INACTIVE"), ("bad", "UNKNOWN")] {
        scene.stdin(credentials);
        let (exit, out, err) = keyward(&mut scene, "hold");
        assert_eq!(exit, 1, "{credentials}: {err}");
        assert!(out.contains(says) && out.contains("1 of 3"), "{out}");
    }
}

#[test]
fn a_dry_run_shows_its_steps_as_a_table() {
    let mut scene = scene();
    scene.stdin("good");
    let (_, out, _) = keyward(&mut scene, "validate --dry-run");
    assert!(
        out.contains("RULE    PASSED  DETAIL\nsecret  yes     compared\n"),
        "{out}"
    );
}

#[test]
fn what_could_not_be_decided_says_when_to_ask_again() {
    let mut scene = scene();
    scene.stdin("away");
    let (_, out, err) = keyward(&mut scene, "validate");
    assert_eq!(out, "");
    assert_eq!(
        err,
        "error: UNAVAILABLE: store away\n  retry after: 1s\n  call id: call-1\n"
    );
}

#[test]
fn a_new_secret_is_on_standard_output_and_the_note_beside_it() {
    let mut scene = scene();
    let (code, out, err) = keyward(&mut scene, "token create --name n");
    assert_eq!(code, 0);
    assert!(out.contains(SECRET) && out.contains("Basic abc"), "{out}");
    assert!(err.contains("shown once"), "{err}");

    let (_, out, err) = keyward(&mut scene, "token create --name n --output json");
    assert_eq!(parsed(&out)["secret"], SECRET);
    assert_eq!(parsed(&out)["token"]["id"], "t1");
    assert_eq!(err, "");

    let (_, out, err) = keyward(&mut scene, "token rekey t1 --secret-only");
    assert_eq!((out, err), (format!("{SECRET}\n"), String::new()));
}

#[test]
fn a_secret_file_takes_the_secret_off_standard_output() {
    let mut scene = scene();
    let path = scene.home().join("new.token");
    let line = format!(
        "token create --name n --output json --secret-file {}",
        path.display()
    );
    let (code, out, err) = keyward(&mut scene, &line);
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains(SECRET), "{out}");
    assert_eq!(parsed(&out)["id"], "t1");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("{SECRET}\n")
    );

    let (code, _, err) = keyward(&mut scene, &line);
    assert_eq!(code, 2, "an existing file is refused");
    assert!(err.contains("LOCAL"), "{err}");
}

#[test]
fn a_secret_that_could_not_be_printed_can_be_had_again() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut scene = scene();
    let arguments = ["keyward", "token", "rekey", "t1", "--request-id", "r1"].map(OsString::from);
    let code = scene.shell(|shell| {
        run(
            &arguments,
            &mut Shell {
                stdout: &mut Full,
                stdin: &mut io::empty(),
                stderr: shell.stderr,
                ..*shell
            },
        )
    });
    let err = scene.stderr();
    assert_eq!(code, 2);
    assert!(
        err.contains("repeat it with --request-id r1") && !err.contains(SECRET),
        "{err}"
    );
}

#[test]
fn no_file_is_left_where_no_secret_was_issued() {
    let mut scene = scene();
    let path = scene.home().join("new.token");
    let line = format!("token create --name= --secret-file {}", path.display());
    assert_eq!(keyward(&mut scene, &line).0, 2);
    assert!(!path.exists());
}

#[test]
fn errors_are_told_as_lines_or_as_json() {
    let mut scene = scene();
    let (code, out, err) = keyward(&mut scene, "token create --name=");
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "error: INVALID_ARGUMENT: not valid\n  name: 1 to 200 characters\n  call id: call-1\n"
    );
    let (_, out, err) = keyward(&mut scene, "token get nobody -o json");
    assert_eq!(out, "");
    let expected =
        json!({"error": {"code": "NOT_FOUND", "message": "no such token", "callId": "call-1"}});
    assert_eq!(parsed(&err), expected);
}

#[test]
fn a_missing_grant_is_named() {
    let mut scene = scene();
    scene.set("KEYWARD_TOKEN", "somebody-else");
    let (code, _, err) = keyward(&mut scene, "token get t1");
    assert_eq!(code, 2);
    assert!(
        err.contains("PERMISSION_DENIED") && err.contains("missing grant: keyward/tokens:write")
    );
}

#[test]
fn nothing_that_a_server_says_moves_the_cursor() {
    let mut scene = scene();
    for line in [
        "token get t1",
        "token list --limit 1",
        "token get t1 -o json",
    ] {
        let (_, out, _) = keyward(&mut scene, line);
        assert!(out.contains("evil") && !out.contains('\u{1b}'), "{out}");
    }
}

#[test]
fn who_gave_no_token_hears_how_to_give_one() {
    let mut scene = scene();
    scene.unset("KEYWARD_TOKEN");
    let (code, _, err) = keyward(&mut scene, "token get t1");
    assert_eq!(code, 2);
    assert!(
        err.contains("UNAUTHENTICATED") && err.contains("--token-file"),
        "{err}"
    );
}

#[test]
fn a_list_is_fetched_to_its_end_or_to_the_limit() {
    let mut scene = scene();
    for (flags, count) in [
        ("", TOKENS),
        ("--page-size 7", TOKENS),
        ("--limit 101", 101),
        ("--limit 3", 3),
    ] {
        let (code, out, err) = keyward(&mut scene, &format!("token list -o json {flags}"));
        assert_eq!(code, 0, "{err}");
        assert_eq!(parsed(&out).as_array().unwrap().len(), count, "{flags}");
        let (_, out, _) = keyward(&mut scene, &format!("token list -o jsonl {flags}"));
        assert_eq!(out.lines().count(), count, "{flags}");
        let (_, out, _) = keyward(&mut scene, &format!("token list {flags}"));
        assert_eq!(out.lines().count(), count + 1, "{flags}");
    }
}

#[test]
fn a_server_that_repeats_its_page_does_not_hold_us() {
    let mut scene = scene();
    let (code, _, err) = keyward(&mut scene, "role list");
    assert_eq!(code, 2);
    assert!(err.contains("the same page again"), "{err}");
}

#[test]
fn every_verb_shows_what_it_is_about() {
    let mut scene = scene();
    for line in [
        "token get t1",
        "token deactivate t1 --why leaked",
        "token reactivate t1",
        "token update t1 --name x",
        "token complete-rekey t1",
        "token cancel-rekey t1",
        "token import --name n --digest-file -",
        "account get t1",
        "account create --id t1 --preset standard",
        "account update t1 --disable",
        "account create-key t1",
        "principal get t1",
        "principal create --id t1",
        "principal update t1 --api-user",
        "role get t1",
        "role update t1 --grant dispatch",
        "role create --id t1",
    ] {
        scene.stdin(&"0".repeat(64));
        let (code, out, err) = keyward(&mut scene, &format!("{line} -o json"));
        assert_eq!(code, 0, "{line}: {err}");
        assert_eq!(parsed(&out)["id"], "t1", "{line}");
    }
    let (_, out, _) = keyward(&mut scene, "token deactivate t1");
    assert!(out.contains("state        inactive"), "{out}");
    assert_eq!(
        keyward(&mut scene, "token delete t1").1,
        "token t1 is deleted\n"
    );
    assert_eq!(keyward(&mut scene, "role delete r1 -o json").1, "{}\n");
}

#[test]
fn usage_is_one_page_with_the_tokens_of_all() {
    let mut scene = scene();
    let (code, out, err) = keyward(&mut scene, "usage --account acme --days 2");
    assert_eq!(code, 0, "{err}");
    let said = [
        "calls today  14",
        "limit        2500",
        "remaining    2486",
        "t1",
        "t2",
        "never",
    ];
    for words in said {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (_, out, _) = keyward(&mut scene, "usage --account acme --days 2 -o json");
    let usage = parsed(&out);
    assert_eq!(usage["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(usage["days"].as_array().unwrap().len(), 2);
    assert_eq!(keyward(&mut scene, "usage --days 91").0, 2);
}

#[test]
fn who_breaks_is_told_before_and_when_a_token_is_turned_off() {
    let mut scene = scene();
    for line in [
        "token consumers t1",
        "token deactivate t1",
        "token deactivate t1 --validate-only",
        "token delete t1 --validate-only",
    ] {
        let (code, out, err) = keyward(&mut scene, line);
        assert_eq!(code, 0, "{line}: {err}");
        assert!(
            out.contains("CONSUMER") && out.contains("billing"),
            "{line}: {out}"
        );
    }
    for line in ["token deactivate t1", "token delete t1"] {
        let (_, out, _) = keyward(&mut scene, &format!("{line} --validate-only -o json"));
        assert_eq!(parsed(&out)["consumers"][0]["name"], "billing", "{line}");
    }
}

#[test]
fn a_doctor_that_found_something_is_exit_code_1() {
    let mut scene = scene();
    let (code, out, _) = keyward(&mut scene, "token doctor --account acme -o json");
    assert_eq!(code, 1);
    let findings = parsed(&out);
    assert_eq!(findings.as_array().unwrap().len(), 2 * TOKENS);
    assert_eq!(findings[0]["finding"], "no-expiry");
}

#[test]
fn a_call_that_is_not_answered_ends_and_says_how_to_repeat_it() {
    let mut scene = scene();
    let (code, _, err) = keyward(&mut scene, &format!("token rekey {SILENT} --timeout 50ms"));
    assert_eq!(code, 2);
    assert!(err.contains("DEADLINE_EXCEEDED"), "{err}");
    assert!(err.contains("--request-id cli-"), "{err}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let mut scene = scene();
    // Nobody listens on a port that was bound and given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, _, err) = keyward(&mut scene, &format!("token list --server {free}"));
    assert_eq!(code, 2);
    assert!(
        err.contains(&format!("error: UNAVAILABLE: cannot reach {free}")),
        "{err}"
    );
    assert_eq!(keyward(&mut scene, &format!("health --server {free}")).0, 1);
}

#[test]
fn health_needs_no_token_and_answers_by_its_exit_code() {
    let mut scene = scene();
    scene.unset("KEYWARD_TOKEN");
    for (line, code, says) in [
        ("health", 0, "SERVING\n"),
        (
            "health --service keyward.v1.CredentialService",
            0,
            "SERVING\n",
        ),
        (
            "health --service keyward.v1.EventService",
            1,
            "NOT_SERVING\n",
        ),
        ("health --service nothing", 1, ""),
        ("health --nonsense", 1, ""),
        ("health -o json", 0, "{\"status\":\"SERVING\"}\n"),
    ] {
        let (exit, out, err) = keyward(&mut scene, line);
        assert_eq!((exit, out.as_str()), (code, says), "{line}: {err}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2_and_help_is_0() {
    let mut scene = Scene::new();
    for (line, code) in [
        ("--help", 0),
        ("--version", 0),
        ("token create --help", 0),
        ("", 2),
        ("token", 2),
        ("token explode", 2),
        ("token get kw_dev_x", 2),
        ("token list --timeout 0", 2),
        ("token list --server https://host:1", 2),
        ("validate --text-file - --authorization-file -", 2),
        ("validate --token-stdin", 2),
        ("token create --name n --secret-only --secret-file x", 2),
    ] {
        let (exit, out, err) = keyward(&mut scene, line);
        assert_eq!(exit, code, "{line}: {out}{err}");
        assert_eq!(out.is_empty(), code == 2, "{line}");
    }
    let (_, _, err) = keyward(&mut scene, "token explode -o json");
    assert_eq!(parsed(&err)["error"]["code"], "USAGE");
}

#[test]
fn a_secret_on_the_command_line_is_refused_unread() {
    let mut scene = Scene::new();
    let (code, out, err) = keyward(
        &mut scene,
        "validate kw_prod_0123456789abcdefghijklmnopqrstuvwxyz",
    );
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("never from the command line") && !err.contains("0123456789"),
        "{err}"
    );
}

#[test]
fn following_goes_on_where_it_was_and_ends_where_there_is_no_going_on() {
    let mut scene = scene();
    let (code, out, err) = keyward(&mut scene, "events --follow -o jsonl");
    assert_eq!(code, 2, "{err}");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(
        err.contains("going on after 5: the server is shutting down"),
        "{err}"
    );
    assert!(err.contains("OUT_OF_RANGE"), "{err}");
    let (code, out, _) = keyward(&mut scene, "events --follow --actor op --limit 2");
    assert_eq!((code, out.lines().count()), (0, 3), "{out}");
    assert!(out.starts_with("SEQUENCE  TIME"), "{out}");
    let (code, out, _) = keyward(&mut scene, "events -f --after-sequence 5 -o json --limit 1");
    assert_eq!((code, &parsed(&out)[0]["sequence"]), (0, &json!("6")));
    let (code, out, err) = keyward(&mut scene, "events -f --after-sequence 77 -o jsonl");
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(!err.contains("going on"), "{err}");
    for line in ["events --follow --before 1d", "events --after-sequence 5"] {
        assert_eq!(keyward(&mut scene, line).0, 2, "{line}");
    }
}

#[test]
fn accounts_principals_and_events_come_as_tables_too() {
    let mut scene = scene();
    for (line, lines) in [
        ("account list", 3),
        ("principal list", 2),
        ("events --limit 20", 21),
        ("events list --limit 250", 251),
        ("events", 1001),
    ] {
        let (code, out, err) = keyward(&mut scene, line);
        assert_eq!(code, 0, "{line}: {err}");
        assert_eq!(out.lines().count(), lines, "{line}");
    }
    let (_, out, _) = keyward(&mut scene, "events --limit 1 -o jsonl");
    assert_eq!(
        parsed(&out)["sequence"],
        "999",
        "64-bit numbers are strings in proto JSON"
    );
}

#[test]
fn a_log_that_is_not_intact_is_exit_code_1() {
    let mut scene = scene();
    assert_eq!(keyward(&mut scene, "events verify").0, 0);
    let (code, out, _) = keyward(&mut scene, "events verify --from 5");
    assert_eq!(code, 1);
    assert!(out.contains("first bad  5"), "{out}");
}

#[test]
fn a_saved_context_is_enough_to_make_a_call() {
    let mut scene = Scene::new();
    let token = scene.write("operator.token", &format!("{OPERATOR}\n"));
    let server = fake::start();
    let line = format!(
        "context save prod --server {server} --token-file {}",
        token.display()
    );
    assert_eq!(keyward(&mut scene, &line).0, 0);
    assert_eq!(keyward(&mut scene, "token get t1").0, 0);
    let (code, _, err) = keyward(&mut scene, "token get t1 --context another");
    assert_eq!(code, 2);
    assert!(err.contains("there is no context named another"), "{err}");
}

#[test]
fn a_completion_script_knows_the_verbs() {
    let mut scene = Scene::new();
    let (code, out, _) = keyward(&mut scene, "completions bash");
    assert_eq!(code, 0);
    assert!(out.contains("complete-rekey"));
}
