//! `token create` and `token import`: the flags and the requests they come to.

use clap::Args;
use sha2::{Digest as _, Sha256};

use super::show::SecretArgs;
use crate::api::proto::create_token_request::Expiry as WireExpiry;
use crate::api::proto::{Access, CreateTokenRequest, ImportTokenRequest};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::retry::{RequestIdArgs, explain, explain_lost};
use crate::cli::secrets::Source;
use crate::cli::session::Session;
use crate::cli::shell::Shell;
use crate::cli::times::{Expiry, Moment, parse_expiry, to_timestamp, to_wire_span};
use crate::cli::values::{Rate, labels, parse_id, parse_label, parse_rate};
use crate::cli::words::choice;

/// What a new token is to be.
#[derive(Args, Clone, Debug)]
pub(crate) struct NewTokenArgs {
    /// Account it belongs to [default: the operator's own].
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,

    /// Name for people, 1 to 200 characters.
    #[arg(long)]
    pub(crate) name: String,

    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,

    /// Principal it acts for.
    #[arg(long, value_name = "ID")]
    pub(crate) principal: Option<String>,

    /// What it may do at most [default: full].
    #[arg(long, value_parser = choice::<Access>())]
    pub(crate) access: Option<Access>,

    /// Grant such as tables/orders:read or dispatch; may be repeated [default: all that its principal may do].
    #[arg(long = "grant", value_name = "GRANT")]
    pub(crate) grants: Vec<String>,

    /// Network its callers may come from, such as 10.0.0.0/8; may be repeated [default: any].
    #[arg(long = "network", value_name = "CIDR")]
    pub(crate) networks: Vec<String>,

    /// Calls in a span that it may be used for at most, such as 100/1s [default: any].
    #[arg(long, value_name = "CALLS/SPAN", value_parser = parse_rate)]
    pub(crate) rate_limit: Option<Rate>,

    /// Calls of the rate limit that may come at once after a pause [default: all of a span's].
    #[arg(long, value_name = "CALLS", requires = "rate_limit")]
    pub(crate) burst: Option<u32>,

    /// Connections that it may hold at once [default: as its account's policy says].
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_connections: Option<u32>,

    /// When it stops being good: a time, a date (00:00 UTC as it begins), a span such as 90d, or never [default: never].
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    pub(crate) expires: Option<Expiry>,

    /// Label key=value; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(crate) labels: Vec<(String, String)>,

    /// For operator tokens, in the account system: the one account it reaches [default: all].
    #[arg(long, value_name = "ID")]
    pub(crate) scope_account: Option<String>,

    #[command(flatten)]
    pub(crate) request_id: RequestIdArgs,
}

/// Issue a token; its secret is shown once.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward token create --account acme --name 'Order sync' --grant tables/orders:read --expires 90d
  keyward token create --account acme --name CI --secret-file ci.token
  keyward token create --account acme --name CI --secret-only | vault kv put secret/ci token=-")]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    pub(crate) token: NewTokenArgs,
    #[command(flatten)]
    pub(crate) secret: SecretArgs,
}

/// Take over a key that was issued elsewhere, by its SHA-256.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  keyward token import --account acme --name 'Old key' --text-file old.key
  printf %s \"$OLD_KEY\" | sha256sum | cut -d' ' -f1 | keyward token import --account acme --name 'Old key' --digest-file -")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) token: NewTokenArgs,

    /// File with the SHA-256 of the foreign text in 64 hexadecimal digits, or - for the standard input.
    #[arg(long, value_name = "PATH", value_parser = Source::parse, required_unless_present = "text_file")]
    pub(crate) digest_file: Option<Source>,

    /// File with the foreign text, or - for the standard input; it is hashed here and never sent.
    #[arg(long, value_name = "PATH", value_parser = Source::parse, conflicts_with = "digest_file")]
    pub(crate) text_file: Option<Source>,

    /// Its user name in Basic authorization, where it has one.
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub(crate) foreign_id: Option<String>,

    /// At most its last four characters, to recognise it by.
    #[arg(long, value_name = "TEXT")]
    pub(crate) hint: Option<String>,
}

impl NewTokenArgs {
    pub(crate) fn request(&self) -> Result<CreateTokenRequest, Failure> {
        Ok(CreateTokenRequest {
            account_id: self.account.clone().unwrap_or_default(),
            name: self.name.clone(),
            description: self.description.clone().unwrap_or_default(),
            principal_id: self.principal.clone().unwrap_or_default(),
            access: self.access.map_or(0, Into::into),
            grants: self.grants.clone(),
            allowed_networks: self.networks.clone(),
            rate_limit: self.rate_limit.map(|rate| rate.wire(self.burst)),
            max_connections: self.max_connections.unwrap_or_default(),
            labels: labels(&self.labels)?,
            request_id: self.request_id.settle(),
            scope_account_id: self.scope_account.clone().unwrap_or_default(),
            expiry: self.expires.and_then(wire_expiry),
        })
    }
}

impl CreateArgs {
    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.token.request()?;
        let id = request.request_id.clone();
        let place = self.secret.reserve()?;
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.credentials().create_token(r).await
            })
            .await
            .map_err(|failure| explain(failure, &id))?;
        self.secret
            .print(&answer, place, session)
            .map_err(|failure| explain_lost(failure, &id))
    }
}

impl ImportArgs {
    pub(crate) fn request(&self, shell: &mut Shell<'_>) -> Result<ImportTokenRequest, Failure> {
        Ok(ImportTokenRequest {
            token: Some(self.token.request()?),
            sha256: self.digest(shell)?,
            foreign_id: self.foreign_id.clone().unwrap_or_default(),
            hint: self.hint.clone().unwrap_or_default(),
        })
    }

    pub(crate) async fn run(&self, session: &mut Session<'_, '_>) -> Result<Outcome, Failure> {
        let request = self.request(session.shell)?;
        let id = request.token.as_ref().map(|token| token.request_id.clone());
        let client = &session.client;
        let answer = client
            .call(request, async |r| {
                client.credentials().import_token(r).await
            })
            .await
            .map_err(|failure| explain(failure, &id.unwrap_or_default()))?;
        session.show_some(answer.token)
    }

    fn digest(&self, shell: &mut Shell<'_>) -> Result<Vec<u8>, Failure> {
        if let Some(source) = &self.text_file {
            let text = source.read("foreign text", shell)?;
            return Ok(Sha256::digest(text.as_bytes()).to_vec());
        }
        let source = self
            .digest_file
            .as_ref()
            .expect("clap wants one of the two");
        let hex = source.read("digest", shell)?;
        from_hex(hex.trim())
            .filter(|digest| digest.len() == Sha256::output_size())
            .ok_or_else(|| Failure::usage("the digest is not 64 hexadecimal digits"))
    }
}

fn wire_expiry(expiry: Expiry) -> Option<WireExpiry> {
    match expiry {
        Expiry::Never => None,
        Expiry::On(Moment::At(time)) => Some(WireExpiry::ExpireTime(to_timestamp(time))),
        Expiry::On(Moment::Date(date)) => {
            Some(WireExpiry::ExpireDate(date.format("%Y-%m-%d").to_string()))
        }
        Expiry::On(Moment::Span(span)) => Some(WireExpiry::Ttl(to_wire_span(span))),
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::proto::RateLimit;
    use crate::cli::testing::{Scene, parse};
    use prost_types::{Duration, Timestamp};

    fn request(line: &str) -> CreateTokenRequest {
        parse::<CreateArgs>(line).token.request().unwrap()
    }

    #[test]
    fn every_field_of_a_new_token_has_a_flag() {
        let line = "--account acme --name Sync --description nightly --principal p1 --access read-only \
             --grant tables/*:read,write --grant dispatch --network 10.0.0.0/8 --rate-limit 100/1s --burst 20 --max-connections 3 --expires 2027-01-31 \
             --label env=prod --label team=a --request-id r1 --scope-account acme";
        assert_eq!(
            request(line),
            CreateTokenRequest {
                account_id: "acme".into(),
                name: "Sync".into(),
                description: "nightly".into(),
                principal_id: "p1".into(),
                access: Access::ReadOnly.into(),
                grants: vec!["tables/*:read,write".into(), "dispatch".into()],
                allowed_networks: vec!["10.0.0.0/8".into()],
                rate_limit: Some(RateLimit {
                    calls: 100,
                    per: Some(Duration {
                        seconds: 1,
                        nanos: 0,
                    }),
                    burst: 20,
                }),
                max_connections: 3,
                labels: [("env", "prod"), ("team", "a")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                request_id: "r1".into(),
                scope_account_id: "acme".into(),
                expiry: Some(WireExpiry::ExpireDate("2027-01-31".into())),
            }
        );
    }

    #[test]
    fn a_name_is_enough() {
        let expected = CreateTokenRequest {
            name: "Sync".into(),
            request_id: "r1".into(),
            ..CreateTokenRequest::default()
        };
        assert_eq!(request("--name Sync --request-id r1"), expected);
        assert!(!request("--name Sync").request_id.is_empty());
    }

    #[test]
    fn an_expiry_is_sent_as_it_was_meant() {
        for (text, expiry) in [
            ("never", None),
            (
                "2027-01-31",
                Some(WireExpiry::ExpireDate("2027-01-31".into())),
            ),
            (
                "90d",
                Some(WireExpiry::Ttl(Duration {
                    seconds: 7_776_000,
                    nanos: 0,
                })),
            ),
            (
                "2027-01-15T08:00:00.5Z",
                Some(WireExpiry::ExpireTime(Timestamp {
                    seconds: 1_800_000_000,
                    nanos: 500_000_000,
                })),
            ),
        ] {
            assert_eq!(
                request(&format!("--name n --expires {text}")).expiry,
                expiry,
                "{text}"
            );
        }
    }

    #[test]
    fn an_imported_text_is_hashed_here() {
        let mut scene = Scene::new();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (line, stdin) in [
            (
                "--name n --text-file - --foreign-id u1 --hint abc",
                "abc\n".to_owned(),
            ),
            (
                "--name n --digest-file - --foreign-id u1 --hint abc",
                digest.to_owned(),
            ),
        ] {
            scene.stdin(&stdin);
            let request = scene
                .shell(|shell| parse::<ImportArgs>(line).request(shell))
                .unwrap();
            assert_eq!(request.sha256, from_hex(digest).unwrap());
            assert_eq!(
                (request.foreign_id.as_str(), request.hint.as_str()),
                ("u1", "abc")
            );
            assert_eq!(request.token.unwrap().name, "n");
        }
    }

    #[test]
    fn a_digest_of_another_length_is_refused() {
        let mut scene = Scene::new();
        for digest in ["abcd", "zz", "abc", &"0".repeat(66)] {
            scene.stdin(digest);
            let request =
                scene.shell(|shell| parse::<ImportArgs>("--name n --digest-file -").request(shell));
            assert_eq!(request.unwrap_err().code, "USAGE", "{digest}");
        }
    }
}
