//! Ids that make a create or rekey repeatable: the same id gets the same answer, so that a lost one costs nothing.

use clap::Args;

use super::failure::Failure;

#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RequestIdArgs {
    /// Id of this request, 1 to 128 characters: repeated within ten minutes it gets the same answer [default: a random one].
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
}

impl RequestIdArgs {
    /// The id given, or a new one.
    pub(crate) fn settle(&self) -> String {
        self.request_id
            .clone()
            .unwrap_or_else(|| format!("cli-{:032x}", rand::random::<u128>()))
    }
}

/// Tells how to repeat a request whose fate is unknown.
pub(crate) fn explain(failure: Failure, request_id: &str) -> Failure {
    if failure.leaves_doubt() {
        failure.with_hint(format!(
            "whether it was done is unknown: repeat it with --request-id {request_id} within ten minutes"
        ))
    } else {
        failure
    }
}

/// Tells how to see an answer again that could not be printed.
pub(crate) fn explain_lost(failure: Failure, request_id: &str) -> Failure {
    failure.with_hint(format!(
        "it was done, and its secret is not lost: repeat it with --request-id {request_id} within ten minutes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_id_is_kept_and_a_missing_one_is_made_up_each_time() {
        let given = RequestIdArgs {
            request_id: Some("deploy-7".into()),
        };
        assert_eq!(given.settle(), "deploy-7");
        let none = RequestIdArgs::default();
        assert_ne!(none.settle(), none.settle());
        assert!(none.settle().len() <= 128);
    }

    #[test]
    fn only_a_failure_in_doubt_tells_how_to_repeat() {
        let hint = |failure| explain(failure, "deploy-7").details.hint;
        let doubtful = Failure::deadline(Duration::from_secs(1));
        assert!(hint(doubtful).unwrap().contains("--request-id deploy-7"));
        assert_eq!(hint(tonic::Status::not_found("no").into()), None);
    }
}
