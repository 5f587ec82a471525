//! Tokens as they are printed, and secrets, which are printed once.

use std::path::PathBuf;

use clap::Args;

use crate::api::proto::{
    Access, CreateTokenResponse, RekeyResponse, SecretState, SecretVersion, Token, TokenState,
};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::{Listed, Part, Record, show};
use crate::cli::secrets::SecretFile;
use crate::cli::session::{Session, required};
use crate::cli::table::yes_no;
use crate::cli::times::show_time;
use crate::cli::values::{show_map, show_rate};
use crate::cli::words::word_of;

const SHOWN_ONCE: &str = "note: this secret is shown once; keep it now, nobody can read it again";

/// Where a new secret goes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Secret")]
pub(crate) struct SecretArgs {
    /// Write the secret to this new file, mode 0600, and print the token alone.
    #[arg(long, value_name = "PATH", conflicts_with = "secret_only")]
    pub(crate) secret_file: Option<PathBuf>,

    /// Print the secret on standard output and nothing else.
    #[arg(long)]
    pub(crate) secret_only: bool,
}

/// An answer that shows a secret.
pub(crate) trait Issued: Record {
    fn token(&self) -> Option<&Token>;
    fn secret(&self) -> &str;
}

impl SecretArgs {
    /// Makes the place for the secret, before there is one.
    pub(crate) fn reserve(&self) -> Result<Option<SecretFile>, Failure> {
        self.secret_file
            .as_deref()
            .map(SecretFile::reserve)
            .transpose()
    }

    /// Prints the answer, its secret to where the flags say.
    pub(crate) fn print<T: Issued>(
        &self,
        answer: &T,
        place: Option<SecretFile>,
        session: &mut Session<'_, '_>,
    ) -> Result<Outcome, Failure> {
        if let Some(place) = place {
            let path = place.keep(answer.secret())?;
            if !session.format.is_json() {
                let line = format!("note: the secret is in {}", path.display());
                session.shell.note(&line);
            }
            return session.show_some(answer.token().cloned());
        }
        if self.secret_only {
            writeln!(session.shell.stdout, "{}", answer.secret())?;
            session.shell.stdout.flush()?;
            return Ok(Outcome::Success);
        }
        required(answer.token())?;
        show(answer, session.format, session.shell.stdout)?;
        if !session.format.is_json() {
            session.shell.note(SHOWN_ONCE);
        }
        Ok(Outcome::Success)
    }
}

impl Record for Token {
    const NAME: &'static str = "keyward.v1.Token";

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.clone()),
            ("account", self.account_id.clone()),
            ("name", self.name.clone()),
            ("description", self.description.clone()),
            ("state", word_of::<TokenState>(self.state)),
            ("access", word_of::<Access>(self.access)),
            ("principal", self.principal_id.clone()),
            ("grants", self.grants.join(" ")),
            ("networks", self.allowed_networks.join(" ")),
            ("rate limit", show_rate(self.rate_limit.as_ref())),
            ("connections", max_connections(self.max_connections)),
            ("labels", show_map(&self.labels)),
            ("scope", self.scope_account_id.clone()),
            ("imported", yes_no(self.imported)),
            ("expires", expires(self)),
            ("created", show_time(self.create_time.as_ref())),
            ("created by", self.created_by.clone()),
            ("updated", show_time(self.update_time.as_ref())),
            ("rekeyed", show_time(self.rekey_time.as_ref())),
            ("last used", last_used(self)),
            ("calls today", self.calls_today.to_string()),
            ("etag", self.etag.clone()),
        ]
    }

    fn parts(&self) -> Vec<Part> {
        if self.secrets.is_empty() {
            return Vec::new();
        }
        vec![Part {
            columns: &[
                "SECRET",
                "STATE",
                "ENDS IN",
                "CREATED",
                "GOOD UNTIL",
                "LAST USED",
                "CALLS TODAY",
            ],
            rows: self.secrets.iter().map(secret_row).collect(),
        }]
    }
}

impl Listed for Token {
    const COLUMNS: &'static [&'static str] = &[
        "ID",
        "NAME",
        "STATE",
        "ACCESS",
        "PRINCIPAL",
        "EXPIRES",
        "CREATED",
        "LAST USED",
    ];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.name.clone(),
            word_of::<TokenState>(self.state),
            word_of::<Access>(self.access),
            self.principal_id.clone(),
            expires(self),
            show_time(self.create_time.as_ref()),
            last_used(self),
        ]
    }
}

impl Record for CreateTokenResponse {
    const NAME: &'static str = "keyward.v1.CreateTokenResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        issued_fields(self, &self.basic_authorization)
    }
}

impl Issued for CreateTokenResponse {
    fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    fn secret(&self) -> &str {
        &self.secret
    }
}

impl Record for RekeyResponse {
    const NAME: &'static str = "keyward.v1.RekeyResponse";

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = issued_fields(self, &self.basic_authorization);
        let until = show_time(self.old_secret_good_until.as_ref());
        fields.push(("old secret until", until));
        fields
    }
}

impl Issued for RekeyResponse {
    fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    fn secret(&self) -> &str {
        &self.secret
    }
}

fn issued_fields<T: Issued>(answer: &T, basic: &str) -> Vec<(&'static str, String)> {
    let mut fields = answer.token().map(Record::fields).unwrap_or_default();
    fields.push(("secret", answer.secret().to_owned()));
    fields.push(("basic", basic.to_owned()));
    fields
}

fn expires(token: &Token) -> String {
    match &token.expire_time {
        Some(time) => show_time(Some(time)),
        None => "never".into(),
    }
}

fn last_used(token: &Token) -> String {
    match &token.last_used_time {
        Some(time) => show_time(Some(time)),
        None => "never".into(),
    }
}

/// Empty where the account's policy alone says it.
fn max_connections(most: u32) -> String {
    if most == 0 {
        String::new()
    } else {
        most.to_string()
    }
}

fn secret_row(secret: &SecretVersion) -> Vec<String> {
    vec![
        secret.version.to_string(),
        word_of::<SecretState>(secret.state),
        secret.hint.clone(),
        show_time(secret.create_time.as_ref()),
        show_time(secret.good_until.as_ref()),
        show_time(secret.last_used_time.as_ref()),
        secret.calls_today.to_string(),
    ]
}
