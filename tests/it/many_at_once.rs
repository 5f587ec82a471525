//! Many questions on one stream, and in one call: each answered by itself, none spoiling another.

#![expect(
    clippy::unwrap_used,
    reason = "a test's help: what is not as it should be ends the test"
)]

use keyward::api::proto::batch_item::Answer as Item;
use keyward::api::proto::stream_validate_credentials_response::Answer as Reply;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    BatchValidateCredentialsRequest, DeactivateTokenRequest, DenyReason,
    StreamValidateCredentialsRequest, StreamValidateCredentialsResponse, Undecided,
    ValidateCredentialsRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::harness::{ALLOW, Answer, Client, Home, decision, error, refused};

fn asked(text: &str) -> ValidateCredentialsRequest {
    ValidateCredentialsRequest {
        presented: Some(Presented::Token(text.into())),
        ..Default::default()
    }
}

/// An open stream of questions and answers.
struct Conversation {
    questions: mpsc::Sender<StreamValidateCredentialsRequest>,
    replies: Streaming<StreamValidateCredentialsResponse>,
}

impl Conversation {
    async fn begin(client: &Client) -> Self {
        let (questions, sent) = mpsc::channel(2_048);
        let stream = ReceiverStream::new(sent);
        let mut credentials = client.credentials.clone();
        let begun = credentials.stream_validate_credentials(stream).await;
        Self {
            questions,
            replies: begun.unwrap().into_inner(),
        }
    }

    async fn ask(&self, correlation_id: u64, request: ValidateCredentialsRequest) {
        let question = StreamValidateCredentialsRequest {
            correlation_id,
            request: Some(request),
        };
        self.questions.send(question).await.unwrap();
    }

    async fn next(&mut self) -> (u64, Result<Answer, Undecided>) {
        let reply = self.replies.message().await.unwrap().unwrap();
        let answer = match reply.answer.unwrap() {
            Reply::Response(response) => Ok(decision(&response)),
            Reply::Undecided(undecided) => Err(undecided),
        };
        (reply.correlation_id, answer)
    }
}

#[tokio::test]
async fn each_question_of_a_stream_is_answered_by_its_id() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let good = operator.token("acme", "good").await.secret;
    let mut talk = Conversation::begin(&operator).await;
    for id in 0..500 {
        let text = if id % 3 == 0 { "kw_typo" } else { &good };
        talk.ask(id, asked(text)).await;
    }
    let mut seen = Vec::new();
    for _ in 0..500 {
        let (id, answer) = talk.next().await;
        let expected = if id % 3 == 0 {
            Err(DenyReason::Malformed)
        } else {
            ALLOW
        };
        assert_eq!(answer, Ok(expected), "{id}");
        seen.push(id);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
    drop(talk.questions);
    assert!(
        talk.replies.message().await.unwrap().is_none(),
        "all is answered"
    );
    server.stop().await;
}

#[tokio::test]
async fn one_that_waits_and_one_that_is_wrong_hold_nobody_back() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let good = operator.token("acme", "good").await.secret;
    let mut talk = Conversation::begin(&operator).await;
    let waiting = ValidateCredentialsRequest {
        min_revision: 1_000_000,
        ..asked(&good)
    };
    let wrong = ValidateCredentialsRequest {
        client_address: "nowhere".into(),
        ..asked(&good)
    };
    talk.ask(1, waiting).await;
    talk.ask(2, wrong).await;
    talk.ask(3, asked(&good)).await;
    let (id, answer) = talk.next().await;
    assert_eq!(
        (id, answer.unwrap_err().reason),
        (2, "INVALID_FIELD".into())
    );
    assert_eq!(talk.next().await, (3, Ok(ALLOW)));
    let (id, answer) = talk.next().await;
    let undecided = answer.unwrap_err();
    assert_eq!((id, &*undecided.reason), (1, "REVISION_NOT_REACHED"));
    assert!(undecided.retry_after.is_some());
    server.stop().await;
}

#[tokio::test]
async fn a_deactivation_binds_the_very_next_message() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let made = operator.token("acme", "short").await;
    let mut talk = Conversation::begin(&operator).await;
    talk.ask(1, asked(&made.secret)).await;
    assert_eq!(talk.next().await, (1, Ok(ALLOW)));
    let request = DeactivateTokenRequest {
        token_id: made.token.unwrap().id,
        ..Default::default()
    };
    operator
        .credentials
        .clone()
        .deactivate_token(request)
        .await
        .unwrap();
    talk.ask(2, asked(&made.secret)).await;
    assert_eq!(talk.next().await, (2, Ok(Err(DenyReason::Inactive))));
    server.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_caller_s_rights_and_with_the_server() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let secret = operator
        .operator(&["keyward/credentials:validate"], "")
        .await;
    let id = operator.validate(asked(&secret)).await.token_id;
    let caller = server.caller(&secret);
    let mut talk = Conversation::begin(&caller).await;
    talk.ask(1, asked(&secret)).await;
    assert_eq!(talk.next().await, (1, Ok(ALLOW)));
    let mut other = Conversation::begin(&operator).await;
    let request = DeactivateTokenRequest {
        token_id: id,
        ..Default::default()
    };
    operator
        .credentials
        .clone()
        .deactivate_token(request)
        .await
        .unwrap();
    talk.ask(2, asked(&secret)).await;
    let ended = talk.replies.message().await;
    assert_eq!(
        refused(ended),
        error(Code::Unauthenticated, "UNAUTHENTICATED")
    );
    other.ask(1, asked(&secret)).await;
    assert_eq!(other.next().await, (1, Ok(Err(DenyReason::Inactive))));
    let stopping = tokio::spawn(server.stop());
    let ended = other.replies.message().await;
    assert_eq!(refused(ended), error(Code::Unavailable, "SHUTTING_DOWN"));
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_question_that_waited_is_not_answered_to_a_caller_that_lost_its_rights() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let good = operator.token("acme", "good").await.secret;
    let secret = operator
        .operator(&["keyward/credentials:validate"], "")
        .await;
    let caller = operator.validate(asked(&secret)).await;
    let mut talk = Conversation::begin(&server.caller(&secret)).await;
    let waiting = ValidateCredentialsRequest {
        min_revision: caller.revision + 1,
        ..asked(&good)
    };
    talk.ask(1, waiting).await;
    talk.ask(2, asked(&good)).await;
    assert_eq!(talk.next().await, (2, Ok(ALLOW)), "the first one waits");
    let request = DeactivateTokenRequest {
        token_id: caller.token_id,
        ..Default::default()
    };
    let mut credentials = operator.credentials.clone();
    credentials.deactivate_token(request).await.unwrap();
    assert_eq!(
        refused(talk.replies.message().await),
        error(Code::Unauthenticated, "UNAUTHENTICATED")
    );
    server.stop().await;
}

#[tokio::test]
async fn a_question_over_the_limit_ends_its_stream_as_it_fails_a_call() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    let large = asked(&"x".repeat(64 * 1024));
    let called = operator
        .credentials
        .clone()
        .validate_credentials(large.clone())
        .await;
    let expected = error(Code::InvalidArgument, "REQUEST_TOO_LARGE");
    assert_eq!(refused(called), expected);
    let mut talk = Conversation::begin(&operator).await;
    talk.ask(1, large).await;
    assert_eq!(refused(talk.replies.message().await), expected);
    server.stop().await;
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_one_bad_item_spoils_nothing() {
    let home = Home::new();
    let server = home.start().await;
    let operator = server.operator();
    operator.account("acme", "standard").await;
    let good = operator.token("acme", "good").await.secret;
    let wrong = ValidateCredentialsRequest {
        client_address: "nowhere".into(),
        ..asked(&good)
    };
    let batch = async |requests: Vec<_>| {
        let request = BatchValidateCredentialsRequest { requests };
        operator
            .credentials
            .clone()
            .batch_validate_credentials(request)
            .await
    };
    let answered = batch(vec![asked(&good), wrong, asked("kw_typo")]).await;
    let items: Vec<_> = answered.unwrap().into_inner().items;
    let told: Vec<_> = items
        .into_iter()
        .map(|item| match item.answer.unwrap() {
            Item::Response(response) => Ok(decision(&response)),
            Item::Undecided(undecided) => Err(undecided.reason),
        })
        .collect();
    let expected = [
        Ok(ALLOW),
        Err("INVALID_FIELD".to_owned()),
        Ok(Err(DenyReason::Malformed)),
    ];
    assert_eq!(told, expected);
    let full = batch(vec![asked(&good); 100]).await.unwrap().into_inner();
    assert_eq!(full.items.len(), 100);
    assert!(
        batch(Vec::new())
            .await
            .unwrap()
            .into_inner()
            .items
            .is_empty()
    );
    assert_eq!(
        refused(batch(vec![asked("x"); 101]).await),
        error(Code::InvalidArgument, "INVALID_FIELD")
    );
    server.stop().await;
}
