//! The command line against a running server: exit codes, what scripts read, and contexts.

use serde_json::Value;

use crate::process::{Place, Serving};

/// Runs commands as the operator of a server.
pub(crate) struct Terminal<'p> {
    place: &'p Place,
    server: String,
    token_file: String,
}

impl<'p> Terminal<'p> {
    pub(crate) fn new(place: &'p Place, server: &Serving) -> Self {
        Self {
            place,
            server: server.address.to_string(),
            token_file: place.operator_file().display().to_string(),
        }
    }

    pub(crate) fn run(&self, line: &str, input: &str) -> crate::process::Said {
        let words: Vec<&str> = line.split(' ').collect();
        let env = [
            ("KEYWARD_SERVER", &*self.server),
            ("KEYWARD_TOKEN_FILE", &*self.token_file),
        ];
        self.place.run_with(&words, input, &env)
    }

    pub(crate) fn json(&self, line: &str) -> Value {
        self.run(&format!("{line} --output json"), "").json()
    }
}

#[tokio::test]
async fn a_script_issues_checks_rekeys_and_stops_a_token() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let terminal = Terminal::new(&place, &server);
    let account = terminal.json("account create --id acme --preset application-keys");
    assert_eq!(account["id"], "acme");
    let made = terminal.json("token create --account acme --name CI --grant tables/orders:read");
    let secret = made["secret"].as_str().unwrap();
    let id = made["token"]["id"].as_str().unwrap();

    let codes = [
        ("validate", secret, 0),
        ("validate --resource tables/orders --action read", secret, 0),
        (
            "validate --resource tables/orders --action write",
            secret,
            1,
        ),
        ("validate", "kw_production_mistyped", 1),
        ("validate --no-credentials", "", 1),
        ("validate --client-address nowhere", secret, 2),
        ("validate --server 127.0.0.1:1 --timeout 2s", secret, 2),
        ("validate --nonsense", secret, 2),
    ];
    for (line, input, code) in codes {
        let said = terminal.run(line, input);
        assert_eq!(said.code, code, "{line}: {said:?}");
    }
    let denied = terminal.run(
        "validate --resource tables/orders --action write -o json",
        secret,
    );
    let denied: Value = serde_json::from_str(&denied.out).unwrap();
    assert_eq!(denied["reason"], "DENY_REASON_PERMISSION_DENIED");
    let failed = terminal.run("token get 0000000000000000000000 -o json", "");
    assert_eq!((failed.code, failed.out.as_str()), (2, ""));
    let failed: Value = serde_json::from_str(&failed.err).unwrap();
    assert!(failed.to_string().contains("NOT_FOUND"), "{failed}");

    terminal.run("validate --consumer billing", secret);
    let usage = terminal.json("usage --account acme");
    assert_eq!(usage["tokens"][0]["callsToday"], "3", "{usage}");
    assert_eq!(usage["remaining"], "2497", "{usage}");
    let consumers = terminal.json(&format!("token consumers {id}"));
    assert_eq!(consumers[0]["name"], "billing", "{consumers}");
    assert_eq!(terminal.run("token doctor --account acme", "").code, 1);

    let rekeyed = terminal.json(&format!("token rekey {id} --grace 0"));
    assert_eq!(terminal.run("validate", secret).code, 1);
    let secret = rekeyed["secret"].as_str().unwrap();
    assert_eq!(terminal.run("validate", secret).code, 0);
    terminal.json(&format!("token deactivate {id} --why leaked"));
    assert_eq!(terminal.run("validate", secret).code, 1);
    let listed = terminal.json("token list --account acme");
    assert_eq!(listed[0]["state"], "TOKEN_STATE_INACTIVE", "{listed}");
    let events = terminal.json(&format!(
        "events --subject {id} --type token-created --type token-deactivated"
    ));
    assert_eq!(events.as_array().unwrap().len(), 2, "{events}");
    assert_eq!(terminal.run("events verify", "").code, 0);
    server.stop().await;
}

#[tokio::test]
async fn health_is_0_while_it_serves_and_1_in_every_other_case() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let (main, side) = (server.address.to_string(), server.side.to_string());
    for address in [&main, &side] {
        for service in [
            "",
            "readiness",
            "liveness",
            "keyward.v1.CredentialService",
            "keyward.v1.writes",
        ] {
            let said = place.run(&["health", "--server", address, "--service", service]);
            assert_eq!(
                (said.code, said.out.trim()),
                (0, "SERVING"),
                "{service}: {}",
                said.err
            );
        }
    }
    assert_eq!(
        place
            .run(&["health", "--server", &side, "--service", "nobody"])
            .code,
        1
    );
    server.stop().await;
    assert_eq!(
        place
            .run(&["health", "--server", &side, "--timeout", "2s"])
            .code,
        1
    );
    assert_eq!(place.run(&["health", "--nonsense"]).code, 1);
}

#[tokio::test]
async fn a_saved_context_says_which_server_and_as_whom() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let address = server.address.to_string();
    let file = place.operator_file().display().to_string();
    assert_eq!(
        place.run(&["account", "list"]).code,
        2,
        "there is no context yet"
    );
    place
        .run(&[
            "context",
            "save",
            "here",
            "--server",
            &address,
            "--token-file",
            &file,
        ])
        .good();
    place
        .run(&["context", "save", "nowhere", "--server", "127.0.0.1:1"])
        .good();
    let listed = place.run(&["account", "list", "-o", "json"]).json();
    assert_eq!(listed[0]["id"], "system");
    place.run(&["context", "use", "nowhere"]).good();
    assert_eq!(place.run(&["account", "list", "--timeout", "2s"]).code, 2);
    place.run(&["account", "list", "--context", "here"]).good();
    let contexts = place.run(&["context", "list", "-o", "json"]).json();
    let current: Vec<_> = contexts
        .as_array()
        .unwrap()
        .iter()
        .map(|context| &context["current"])
        .collect();
    assert_eq!(current, [false, true], "{contexts}");
    server.stop().await;
}

#[test]
fn config_tells_every_setting_and_where_it_is_from() {
    let place = Place::new();
    let env = [("KEYWARD_LOG_LEVEL", "debug"), ("KEYWARD_CORES", "3")];
    let words = [
        "config",
        "--environment",
        "staging",
        "--cores",
        "2",
        "-o",
        "json",
    ];
    let rows = place.run_with(&words, "", &env).json();
    let row = |flag: &str| {
        let row = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["flag"] == flag);
        let row = row.unwrap_or_else(|| panic!("{flag}: {rows}"));
        (
            row["value"].as_str().unwrap().to_owned(),
            row["source"].as_str().unwrap().to_owned(),
        )
    };
    let pair = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(row("--environment").0, "staging");
    assert_eq!(row("--log-level").0, "debug");
    assert_eq!(row("--cores").0, "2", "a flag outranks its variable");
    assert_eq!(row("--listen").0, "127.0.0.1:50051");
    assert_eq!(row("--listen"), pair("127.0.0.1:50051", "default"));
    assert!(
        !place.path().join("keyward-data").exists(),
        "nothing was made"
    );
}

#[test]
fn completions_come_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).good();
        assert!(
            script.contains("keyward") && script.contains("validate"),
            "{shell}"
        );
    }
    assert_eq!(place.run(&["completions", "tea"]).code, 2);
}

#[tokio::test]
async fn a_secret_on_the_command_line_is_refused() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let secret = crate::harness::read(&place.operator_file());
    let said = place.run(&["token", "get", &secret]);
    assert_eq!(said.code, 2);
    assert!(
        !said.err.contains(&secret) && !said.out.contains(&secret),
        "{said:?}"
    );
    server.stop().await;
}
