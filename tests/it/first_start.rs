//! What an operator finds after the first start, and after every later one.

use std::os::unix::fs::PermissionsExt as _;

use keyward::api::proto::{EventType, ListAccountsRequest};

use crate::harness::{ALLOW, Home, read};

#[tokio::test]
async fn the_first_start_leaves_an_operators_token_in_a_private_file_and_nothing_else_in_it() {
    let home = Home::new();
    let server = home.start().await;
    let made = server.first_operator.clone().unwrap();
    assert_eq!(made.file, home.data().join("operator.token"));
    let mode = made.file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = read(&made.file);
    assert_eq!(text.len(), "kw_test_".len() + 71);
    assert!(text.starts_with(&format!("kw_test_{}", made.token)));
    assert!(
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    );

    let operator = server.operator();
    assert_eq!(operator.decide(&text).await, ALLOW);
    let mut directory = operator.directory.clone();
    let accounts = directory.list_accounts(ListAccountsRequest::default());
    let accounts = accounts.await.unwrap().into_inner().accounts;
    let ids: Vec<_> = accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["system"]);
    let event = &operator.events_of(made.token.as_str()).await[0];
    assert_eq!(
        (event.r#type(), event.actor.as_str()),
        (EventType::TokenCreated, "keyward")
    );
    server.stop().await;
}

#[tokio::test]
async fn the_operators_token_goes_where_the_flag_says() {
    let home = Home::new();
    let file = home.path().join("elsewhere/first.token");
    let flag = format!("--operator-token-file={}", file.display());
    let server = home.start_with(&[&flag]).await.unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!home.data().join("operator.token").exists());
    let text = read(&file);
    assert_eq!(server.operator().decide(&text).await, ALLOW);
    server.stop().await;
}

#[tokio::test]
async fn a_file_that_holds_something_else_is_not_written_over() {
    let home = Home::new();
    let file = home.path().join("notes");
    std::fs::write(&file, "remember the milk").unwrap();
    let flag = format!("--operator-token-file={}", file.display());
    let error = home.start_with(&[&flag]).await.err().unwrap();
    assert!(
        error.to_string().contains("something else than a token"),
        "{error}"
    );
    assert_eq!(read(&file), "remember the milk");
}

#[tokio::test]
async fn a_second_start_makes_no_operator_and_the_first_ones_token_goes_on_working() {
    let home = Home::new();
    let server = home.start().await;
    let file = home.data().join("operator.token");
    let text = read(&file);
    server.stop().await;

    // Where an operator has put it away, it is not made again either.
    std::fs::remove_file(&file).unwrap();
    let server = home.start().await;
    assert!(server.first_operator.is_none());
    assert!(!file.exists());
    assert_eq!(server.caller(&text).decide(&text).await, ALLOW);
    server.stop().await;
}
