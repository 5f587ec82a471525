//! How a connection ends by itself: when its peer is dead, when it is old, when the server closes.

use tokio::time::{Instant, sleep};

use super::raw::{END_STREAM, frame, hear, hear_of, hello, say};
use super::*;

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_quiet_is_asked_and_given_up_where_it_stays_so() {
    let (mut peer, served) = Served::new(WIDE, None);
    let began = Instant::now();
    say(
        &mut peer,
        &[hello(&[]), raw::call(1, END_STREAM, "/wait", None)],
    )
    .await;
    let asked = hear_of(&mut peer, raw::PING).await.unwrap();
    let answer = frame(raw::PING, 1, 0, &asked.payload);
    say(&mut peer, &[answer]).await;
    assert!(hear_of(&mut peer, raw::PING).await.is_some(), "asked again");
    assert_eq!(served.open(), 1);
    assert!(hear(&mut peer).await.is_none(), "closed");
    served.connection.await.unwrap();
    settle().await;
    assert_eq!(
        served.service.open.load(Ordering::Relaxed),
        0,
        "its calls end"
    );
    // Twice ten seconds of quiet, and five without an answer.
    assert_eq!(began.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_may_be_quiet_for_as_long_as_it_likes() {
    let (mut client, _connection, served) = Served::client(None).await;
    let (answer, _) = client.send_request(post("/wait"), true).unwrap();
    sleep(HOUR).await;
    served.service.go.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_its_age_takes_no_more_calls_and_ends_with_those_it_has() {
    let (mut client, connection, served) = Served::client(Some(HOUR)).await;
    let (answer, _) = client.send_request(post("/wait"), true).unwrap();
    sleep(HOUR + SECOND).await;
    assert_eq!(served.open(), 1);
    let late = client.clone().ready().await;
    assert!(late.is_err(), "a call after the GOAWAY");
    served.service.go.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    drop(client);
    connection.await.unwrap().unwrap();
    served.connection.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_lets_calls_that_are_open_finish() {
    let (mut client, connection, served) = Served::client(None).await;
    let (answer, _) = client.send_request(post("/wait"), true).unwrap();
    settle().await;
    drop(served.drain);
    settle().await;
    assert!(
        client.clone().ready().await.is_err(),
        "a call after the GOAWAY"
    );
    served.service.go.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    drop(client);
    connection.await.unwrap().unwrap();
    served.connection.await.unwrap();
}
