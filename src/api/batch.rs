//! Many questions in one call, answered in their order.

use std::sync::Arc;

use futures_util::future::join_all;
use tonic::Status;

use super::convert::validation::Asked;
use super::gate::Caller;
use super::proto::batch_item::Answer;
use super::{Desk, proto, status};
use crate::domain::limits;
use crate::registry::Error;

/// Decides on each by itself; those that must wait do so side by side.
pub(super) async fn validate(
    desk: &Arc<Desk>,
    caller: &Caller,
    batch: &proto::BatchValidateCredentialsRequest,
) -> Result<proto::BatchValidateCredentialsResponse, Status> {
    check(batch.requests.len()).map_err(|error| desk.refuse(caller, error))?;
    let answers = batch.requests.iter().map(async |asked| {
        let asked = Asked::of(asked);
        let answer = match desk.validate(caller, &asked).await {
            Ok(response) => Answer::Response(response),
            Err(error) => Answer::Undecided(status::undecided(&error)),
        };
        proto::BatchItem {
            answer: Some(answer),
        }
    });
    let items = join_all(answers).await;
    Ok(proto::BatchValidateCredentialsResponse { items })
}

/// Whether so many may be asked at once.
pub(super) fn check(requests: usize) -> Result<(), Error> {
    if requests > limits::BATCH {
        let rule = format!("must be at most {}", limits::BATCH);
        return Err(Error::invalid("requests", rule));
    }
    Ok(())
}
