//! What is done while the server is stopped: a lost operator, and the keyring.

use keyward::api::proto::ValidateCredentialsRequest;
use serde_json::json;

use crate::harness::{ALLOW, eventually, read};
use crate::process::Place;

#[tokio::test]
async fn a_locked_out_operator_is_recovered_while_the_server_is_stopped() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let old = read(&place.operator_file());
    server.operator().account("acme", "standard").await;
    let data = place.data().display().to_string();
    let refused = place.run(&["operator", "recover", "--data-dir", &data]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.err.contains("in use by another process"),
        "{}",
        refused.err
    );
    assert_eq!(read(&place.operator_file()), old);
    server.stop().await;

    let said = place
        .run(&["operator", "recover", "--data-dir", &data])
        .good();
    assert_eq!(said.trim(), place.operator_file().display().to_string());
    let new = read(&place.operator_file());
    assert_ne!(new, old);
    let server = place.serve(&[]).await;
    let operator = server.operator();
    operator.token("acme", "made by the recovered one").await;
    for text in [&old, &new] {
        assert_eq!(operator.decide(text).await, ALLOW);
    }
    server.stop().await;

    let empty = place.path().join("empty");
    let refused = place.run(&[
        "operator",
        "recover",
        "--data-dir",
        &empty.display().to_string(),
    ]);
    assert_eq!(refused.code, 2);
    assert!(!empty.exists(), "nothing was made");
}

#[tokio::test]
async fn a_rotated_keyring_keeps_every_token_good_and_is_needed_less_as_they_are_used() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let mut texts = Vec::new();
    for n in 0..4 {
        texts.push(operator.token("acme", &format!("token {n}")).await.secret);
    }
    server.stop().await;
    let (key, secrets) = only(&needs(&place));
    assert_eq!(secrets, 5, "four and the operator's");

    let data = place.data().display().to_string();
    place
        .run(&["keyring", "rotate", "--data-dir", &data])
        .good();
    let rotated = needs(&place);
    assert_eq!(rotated.len(), 2);
    assert_eq!(secrets_of(&rotated, &key), 5, "nothing was used yet");

    // The operator's own calls use its token. Marks that a stop overtook are made again by the next use.
    eventually("the used secrets to come under the new key", async || {
        use_some(&place, &texts[..2]).await;
        (secrets_of(&needs(&place), &key) == 2).then_some(())
    })
    .await;
    let server = place.serve(&[]).await;
    for text in &texts {
        assert_eq!(server.operator().decide(text).await, ALLOW);
    }
    server.stop().await;
}

/// Validates secrets until a mark that it left is committed.
async fn use_some(place: &Place, texts: &[String]) {
    let server = place.serve(&[]).await;
    let operator = server.operator();
    let revision = async || {
        let request = ValidateCredentialsRequest::default();
        operator.validate(request).await.revision
    };
    let before = revision().await;
    for text in texts {
        assert_eq!(operator.decide(text).await, ALLOW);
    }
    eventually("a mark to be committed", async || {
        (revision().await > before).then_some(())
    })
    .await;
    server.stop().await;
}

/// Rows of `keyring status`: key, whether it is current, rows, secrets.
fn needs(place: &Place) -> Vec<Vec<String>> {
    let data = place.data().display().to_string();
    let table = place
        .run(&["keyring", "status", "--data-dir", &data])
        .good();
    let cells = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    table
        .lines()
        .skip(1)
        .map(cells)
        .filter(|row| !row.is_empty())
        .collect()
}

fn secrets_of(rows: &[Vec<String>], key: &str) -> usize {
    let row = rows.iter().find(|row| row[0] == key);
    row.map_or(0, |row| row[3].parse().expect("a count"))
}

fn only(rows: &[Vec<String>]) -> (String, usize) {
    assert_eq!(rows.len(), 1, "{}", json!(rows));
    (rows[0][0].clone(), secrets_of(rows, &rows[0][0]))
}
