//! Those who hold connections: what they are told, and nothing before.

use std::time::Duration;

use keyward::api::proto::{HoldConnectionRequest, HoldConnectionResponse};
use tonic::{Code, Status, Streaming};

use super::calls::{answered, request, until_decided, until_told};
use super::decision::Decided;
use super::real::Known;
use super::steps::Question;
use super::world::World;
use crate::harness::{Client, error, refused};

pub(super) type Stream = Streaming<HoldConnectionResponse>;

/// How long what is to be heard may take where the disk is slow.
const PATIENCE: Duration = Duration::from_secs(20);

impl Known {
    /// Asks for a connection, and compares the answer.
    pub(super) async fn hold(
        &mut self,
        operator: &Client,
        secret: (usize, u32),
        question: Question,
        decided: Decided,
        world: &World,
    ) {
        let request = HoldConnectionRequest {
            request: Some(request(self, secret, question, world)),
        };
        let ((first, mut stream), tries) = until_decided(async || {
            let mut credentials = operator.credentials.clone();
            let held = credentials.hold_connection(request.clone()).await?;
            let mut stream = held.into_inner();
            let first = next(&mut stream).await?;
            Ok((first.expect("it begins with the decision"), stream))
        })
        .await;
        let answer = first.response.unwrap_or_default();
        answered(self, &answer, tries, secret.0, question, decided, world);
        // What the day's waste has decided otherwise holds what the reference does not, or the reverse.
        let reason = answer.reason().as_str_name();
        self.apart |= !reason.ends_with(decided.reason.unwrap_or("UNSPECIFIED"));
        if self.apart {
            return;
        }
        let most = world.most_held(secret.0).unwrap_or_default();
        // A first use cuts those of older secrets a little later.
        let cut = u32::try_from(world.cut.len()).expect("histories are short");
        let figures = match decided.reason {
            Some("UNKNOWN") => (0, 0),
            _ => (world.held_by(secret.0) + cut, most),
        };
        assert_eq!((first.held, first.limit), figures);
        if decided.reason.is_none() {
            self.streams.insert(world.holds, (secret.0, stream));
        } else {
            assert!(matches!(next(&mut stream).await, Ok(None)), "it has ended");
        }
    }

    /// The holder of the one that the reference has no more goes, which the server comes to know.
    pub(super) async fn release(&mut self, operator: &Client, world: &World) {
        let kept = |number: &u32| world.held.iter().any(|held| held.number == *number);
        let gone = self.streams.keys().copied().find(|number| !kept(number));
        let (token, stream) = gone
            .and_then(|number| self.streams.remove(&number))
            .expect("one was let go");
        drop(stream);
        let secret = (token, world.tokens[token].secrets[0].version);
        let told = format!("{} of the token's", world.held_by(token));
        until_told(self, operator, secret, world, ("connections", &told)).await;
    }

    /// Those that were cut hear why, and then nothing.
    pub(super) async fn hear(&mut self, world: &World) {
        for (number, reason) in &world.cut {
            let (_, mut stream) = self.streams.remove(number).expect("it was held");
            let told = next(&mut stream).await.expect("no error");
            let told = told.and_then(|told| told.response).expect("it is told");
            let name = told.reason().as_str_name();
            assert_eq!(name.trim_start_matches("DENY_REASON_"), *reason);
            assert!(matches!(next(&mut stream).await, Ok(None)), "it has ended");
        }
    }

    /// Of a server that has stopped: nobody was cut before.
    pub(super) async fn hear_the_end(&mut self) {
        for (_, (_, mut stream)) in std::mem::take(&mut self.streams) {
            let ended = next(&mut stream).await;
            let stopped = error(Code::Unavailable, "SHUTTING_DOWN");
            assert!(self.apart || refused(ended) == stopped);
        }
    }
}

async fn next(stream: &mut Stream) -> Result<Option<HoldConnectionResponse>, Status> {
    let heard = tokio::time::timeout(PATIENCE, stream.message()).await;
    heard.expect("something is heard")
}
