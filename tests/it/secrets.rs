//! No secret is anywhere but in the answers that show it: not in the logs, whatever their level and form, not in the data
//! directory, not in any other answer.

use keyward::api::proto::Token;
use keyward::api::proto::create_token_request::Expiry;
use keyward::api::proto::validate_credentials_request::Presented;
use keyward::api::proto::{
    Activation, CreateTokenRequest, CreateTokenResponse, DeactivateTokenRequest, GetTokenRequest,
    IdAndSecret, ImportTokenRequest, ListEventsRequest, ListTokensRequest, Permission,
    RekeyRequest, UpdateTokenRequest, ValidateCredentialsRequest,
};
use prost_types::FieldMask;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use crate::harness::{ALLOW, Client, files, holds, read};
use crate::process::{Place, Serving};

const FOREIGN: &str = "An-Imported-Text-That-Nobody-May-See-0123456789";

/// Everything that a session was shown or presented, and must not be found.
#[derive(Default)]
struct Seen(Vec<String>);

impl Seen {
    /// The whole text holds the part that is looked for.
    fn secret(&mut self, text: &str) {
        self.0.push(secret_part(text).to_owned());
    }

    fn answer(&mut self, answer: &CreateTokenResponse) {
        self.secret(&answer.secret);
        let (_, basic) = answer
            .basic_authorization
            .split_once(' ')
            .expect("it has a scheme");
        self.0.push(basic.to_owned());
    }

    /// Every secret is printable, so it can only be in a long printable run; most of a store's files is nothing like it.
    fn found_in(&self, bytes: &[u8]) -> Option<&String> {
        let runs = bytes.split(|byte| !byte.is_ascii_graphic());
        let long: Vec<&[u8]> = runs.filter(|run| run.len() >= SHORTEST).collect();
        let here = |secret: &&String| long.iter().any(|run| holds(run, secret));
        self.0.iter().find(here)
    }
}

/// No secret that is looked for is shorter.
const SHORTEST: usize = 43;

/// The 43 characters that nobody can know, between the id and the checksum.
fn secret_part(text: &str) -> &str {
    &text[text.len() - 49..text.len() - 6]
}

#[tokio::test]
async fn no_secret_is_in_a_log_of_any_form_nor_in_the_data_directory() {
    for format in ["text", "json"] {
        let place = Place::new();
        let mut seen = Seen::default();
        let flags = ["--log-level=trace", &format!("--log-format={format}")];
        let mut log = String::new();
        for _ in 0..2 {
            let server = place.serve(&flags).await;
            session(&server, &mut seen).await;
            let operator = read(&place.operator_file());
            seen.secret(&operator);
            log += &server.stop().await;
        }
        assert!(
            log.contains("ValidateCredentials"),
            "the session was logged"
        );
        for line in log.lines() {
            assert_eq!(seen.found_in(line.as_bytes()), None, "in {line}");
        }
        for (name, bytes) in files(&place.data()) {
            if name.as_os_str() == "operator.token" {
                assert!(seen.found_in(&bytes).is_some(), "the search finds");
            } else {
                assert_eq!(seen.found_in(&bytes), None, "in {}", name.display());
                assert!(
                    !holds_bytes(&bytes, &Sha256::digest(FOREIGN)),
                    "in {}",
                    name.display()
                );
            }
        }
    }
}

fn holds_bytes(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A broad session: every call that shows or takes a secret, good and bad.
async fn session(server: &Serving, seen: &mut Seen) {
    let operator = server.operator();
    if operator
        .directory
        .clone()
        .get_account(account())
        .await
        .is_err()
    {
        operator.account("acme", "standard").await;
    }
    seen.0.push(FOREIGN.into());
    import(&operator).await;
    let request = CreateTokenRequest {
        account_id: "acme".into(),
        name: "Order sync".into(),
        request_id: "kept".into(),
        expiry: Some(Expiry::Ttl(prost_types::Duration {
            seconds: 86_400,
            nanos: 0,
        })),
        ..Default::default()
    };
    let made = operator
        .create(request.clone())
        .await
        .expect("it may be made");
    let again = operator.create(request).await.expect("it may be repeated");
    assert_eq!(again.secret, made.secret);
    seen.answer(&made);
    let token = made.token.clone().expect("an answer has its token");
    assert_eq!(operator.decide(&made.secret).await, ALLOW);

    let other = operator.token("acme", "rekeyed").await;
    seen.answer(&other);
    let id = other.token.expect("an answer has its token").id;
    for activation in [Activation::AtOnce, Activation::OnFirstUse] {
        let rekey = RekeyRequest {
            token_id: id.clone(),
            activation: activation.into(),
            ..Default::default()
        };
        let answer = operator.credentials.clone().rekey(rekey).await;
        let answer = answer.expect("it may be rekeyed").into_inner();
        seen.secret(&answer.secret);
        assert_eq!(operator.decide(&answer.secret).await, ALLOW);
    }
    let stop = DeactivateTokenRequest {
        token_id: id,
        ..Default::default()
    };
    operator
        .credentials
        .clone()
        .deactivate_token(stop)
        .await
        .expect("it may be stopped");
    assert_ne!(operator.decide(&other.secret).await, ALLOW);

    present(&operator, &token.id, &made).await;
    misplace(server, &operator, &made.secret).await;
    for answer in answers(&operator, &token.id).await {
        assert_eq!(seen.found_in(&answer), None, "in an answer");
    }
}

fn account() -> keyward::api::proto::GetAccountRequest {
    keyward::api::proto::GetAccountRequest {
        account_id: "acme".into(),
    }
}

/// On the second start it is there already, which is an answer too.
async fn import(operator: &Client) {
    let request = ImportTokenRequest {
        token: Some(CreateTokenRequest {
            account_id: "acme".into(),
            name: "Old key".into(),
            ..Default::default()
        }),
        sha256: Sha256::digest(FOREIGN).to_vec(),
        ..Default::default()
    };
    let _ = operator.credentials.clone().import_token(request).await;
    let request = ValidateCredentialsRequest {
        presented: Some(Presented::Token(FOREIGN.into())),
        account_id: "acme".into(),
        ..Default::default()
    };
    assert_eq!(
        crate::harness::decision(&operator.validate(request).await),
        ALLOW
    );
}

/// In every form, dry and not, good and mistyped.
async fn present(operator: &Client, id: &str, made: &CreateTokenResponse) {
    let secret = &made.secret;
    let mistyped = format!(
        "{}{}",
        &secret[..secret.len() - 1],
        if secret.ends_with('0') { '1' } else { '0' }
    );
    let forms = [
        Presented::Token(secret.clone()),
        Presented::Token(mistyped),
        Presented::Token(secret[..secret.len() - 3].into()),
        Presented::Token(secret.replace("kw_production", "kw_elsewhere")),
        Presented::Authorization(format!("Bearer {secret}")),
        Presented::Authorization(format!("Digest {secret}")),
        Presented::Authorization(made.basic_authorization.clone()),
        Presented::Authorization(secret.clone()),
        Presented::IdAndSecret(IdAndSecret {
            token_id: id.into(),
            secret: secret.clone(),
        }),
        Presented::IdAndSecret(IdAndSecret {
            token_id: secret.clone(),
            secret: secret.clone(),
        }),
    ];
    for presented in forms {
        for dry_run in [false, true] {
            let request = ValidateCredentialsRequest {
                presented: Some(presented.clone()),
                required: Some(Permission {
                    resource: "tables/orders".into(),
                    action: "read".into(),
                }),
                dry_run,
                ..Default::default()
            };
            let answer = operator.validate(request).await;
            let bytes = prost_reflect::prost::Message::encode_to_vec(&answer);
            assert!(!holds(&bytes, secret_part(secret)), "{answer:?}");
        }
    }
}

/// Where no secret belongs: in ids, filters, names of methods, and as a caller's own.
async fn misplace(server: &Serving, operator: &Client, secret: &str) {
    let mut credentials = operator.credentials.clone();
    let refusals: [Result<(), Status>; 5] = [
        credentials
            .get_token(GetTokenRequest {
                token_id: secret.into(),
            })
            .await
            .map(drop),
        credentials
            .list_tokens(ListTokensRequest {
                page_token: secret.into(),
                ..Default::default()
            })
            .await
            .map(drop),
        credentials
            .update_token(UpdateTokenRequest {
                token: Some(Token {
                    id: secret.into(),
                    ..Default::default()
                }),
                update_mask: Some(FieldMask {
                    paths: vec![secret.into()],
                }),
            })
            .await
            .map(drop),
        credentials
            .validate_credentials(ValidateCredentialsRequest {
                client_address: secret.into(),
                ..Default::default()
            })
            .await
            .map(drop),
        Client::new(server.address, Some(secret))
            .create(CreateTokenRequest::default())
            .await
            .map(drop),
    ];
    for refusal in refusals {
        untold(&refusal.expect_err("a secret is none of these"), secret);
    }
    let mut grpc = tonic::client::Grpc::new(crate::harness::channel(server.address));
    grpc.ready().await.expect("the server runs");
    let path = format!("/keyward.v1.CredentialService/{secret}")
        .parse()
        .expect("it is printable");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let mut request = tonic::Request::new(());
    request
        .metadata_mut()
        .insert("x-request-id", secret.parse().expect("it is printable"));
    let answer: Result<tonic::Response<()>, Status> = grpc.unary(request, path, codec).await;
    untold(&answer.expect_err("there is no such method"), secret);
}

/// An error is often logged by who gets it, so it does not repeat the secret either.
fn untold(refusal: &Status, secret: &str) {
    let part = secret_part(secret);
    let told = refusal.message().contains(part) || holds(refusal.details(), part);
    assert!(!told, "{refusal:?}");
}

/// Answers that tell of the token, as they came.
async fn answers(operator: &Client, id: &str) -> [Vec<u8>; 3] {
    let mut credentials = operator.credentials.clone();
    let get = credentials
        .get_token(GetTokenRequest {
            token_id: id.into(),
        })
        .await;
    let list = ListTokensRequest {
        account_id: "acme".into(),
        page_size: 1_000,
        ..Default::default()
    };
    let list = credentials.list_tokens(list).await;
    let events = ListEventsRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let events = operator.events.clone().list_events(events).await;
    use prost_reflect::prost::Message as _;
    [
        get.expect("it is there").into_inner().encode_to_vec(),
        list.expect("it may be listed").into_inner().encode_to_vec(),
        events
            .expect("it may be listed")
            .into_inner()
            .encode_to_vec(),
    ]
}
