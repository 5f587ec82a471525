//! `keyward bench` against a running server: what it asks is answered, what it issues is taken away, and it ends when told.

use serde_json::Value;

use crate::commands::Terminal;
use crate::harness::eventually;
use crate::process::Place;

const ACCOUNT: &str = "keyward-bench";

/// Waits until the run has asked something.
async fn has_asked(terminal: &Terminal<'_>) {
    eventually("the run", async || {
        let said = terminal.run(&format!("usage --account {ACCOUNT} --output json"), "");
        let usage: Value = serde_json::from_str(&said.out).ok()?;
        (usage["callsToday"] != "0").then_some(())
    })
    .await;
}

fn tokens_left(terminal: &Terminal<'_>) -> usize {
    let listed = terminal.json(&format!("token list --account {ACCOUNT}"));
    listed.as_array().map_or(usize::MAX, Vec::len)
}

#[tokio::test]
async fn every_question_is_answered_in_every_form_and_no_token_is_left() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let terminal = Terminal::new(&place, &server);
    for form in [
        "",
        " --stream",
        " --batch 10",
        " --rate 500",
        " --rate 500 --even --stream",
    ] {
        let line = format!("bench --issue 20 --duration 500ms --connections 2 --in-flight 8{form}");
        let report = terminal.json(&line);
        assert_eq!(report["allowed"], report["asked"], "{form}: {report}");
        assert!(report["allowed"].as_u64().unwrap() > 20, "{form}: {report}");
        assert_eq!(report["unanswered"], 0, "{form}: {report}");
        let histogram = report["histogram"].as_array().unwrap();
        let answers: u64 = histogram
            .iter()
            .map(|step| step["answers"].as_u64().unwrap())
            .sum();
        assert_eq!(report["allowed"], answers, "{form}: {report}");
        assert_eq!(tokens_left(&terminal), 0, "{form}");
    }
    let usage = terminal.json(&format!("usage --account {ACCOUNT}"));
    assert_ne!(
        usage["callsToday"], "0",
        "what is presented counts: {usage}"
    );
    server.stop().await;
}

#[tokio::test]
async fn denials_and_failures_are_told_by_reason_and_the_exit_code() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let terminal = Terminal::new(&place, &server);
    terminal.json("account create --id acme --preset standard");
    let made = terminal.json("token create --account acme --name CI --grant tables/orders:read");
    let secret = made["secret"].as_str().unwrap();
    let texts = format!("{secret}\nnothing-of-ours\n");

    let line = "bench --text-file - --duration 300ms --connections 1 --in-flight 2";
    let said = terminal.run(&format!("{line} --output json"), &texts);
    assert_eq!(said.code, 1, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert!(report["allowed"].as_u64() > Some(0), "{report}");
    assert!(report["denied"]["UNKNOWN"].as_u64() > Some(0), "{report}");
    assert!(!said.out.contains(secret) && !said.err.contains(secret));

    let said = terminal.run(
        &format!("{line} --resource tables/orders --action write"),
        &texts,
    );
    assert!(said.out.contains("PERMISSION_DENIED"), "{said:?}");
    let said = terminal.run(&format!("{line} --client-address nowhere"), &texts);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out.contains("INVALID_ARGUMENT INVALID_FIELD"),
        "{said:?}"
    );
    for form in ["--stream", "--batch 2"] {
        let said = terminal.run(&format!("{line} {form} --client-address nowhere"), &texts);
        assert!(said.out.contains("undecided INVALID_FIELD"), "{said:?}");
    }

    let nobody = place.path().join("nobody.token");
    std::fs::write(&nobody, secret).unwrap();
    for form in ["", " --stream"] {
        let line = format!("{line} --token-file {}{form}", nobody.display());
        let said = terminal.run(&line, &texts);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(
            said.out.contains("UNAUTHENTICATED UNAUTHENTICATED"),
            "{said:?}"
        );
    }
    for (line, input) in [
        (
            "bench --text-file - --server 127.0.0.1:1 --timeout 2s",
            "text",
        ),
        ("bench --text-file -", "\n"),
        ("bench --text-file /nowhere", ""),
        ("bench --issue 5 --connections 256 --in-flight 256", ""),
    ] {
        let said = terminal.run(line, input);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{line}: {said:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_interrupt_ends_it_and_takes_its_tokens_away() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let terminal = Terminal::new(&place, &server);
    let (address, token) = (server.address.to_string(), place.operator_file());
    let words = [
        "bench",
        "--issue",
        "30",
        "--duration",
        "1h",
        "--output",
        "json",
    ];
    let connection = [
        "--server",
        &address,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let running = place.start(&[&words[..], &connection].concat());
    has_asked(&terminal).await;
    let said = running.interrupt();
    assert_eq!(said.code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["interrupted"], true, "{report}");
    assert_eq!(report["allowed"], report["asked"], "{report}");
    assert_eq!(tokens_left(&terminal), 0);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_with_what_was_measured() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let terminal = Terminal::new(&place, &server);
    let (address, token) = (server.address.to_string(), place.operator_file());
    let words = [
        "bench",
        "--issue",
        "2",
        "--duration",
        "1h",
        "--output",
        "json",
    ];
    let connection = [
        "--server",
        &address,
        "--token-file",
        token.to_str().unwrap(),
    ];
    let running = place.start(&[&words[..], &connection].concat());
    has_asked(&terminal).await;
    server.kill().await;
    let said = running.ended();
    assert_eq!(said.code, 1, "{said:?}");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["serverGone"], true, "{report}");
    assert!(report["allowed"].as_u64() > Some(0), "{report}");
    assert!(
        said.err
            .contains("2 tokens are left in account keyward-bench"),
        "{said:?}"
    );
}
