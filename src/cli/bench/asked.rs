//! What a run presents: credentials from a file, each in the question that the flags make of it.

use std::io::Read as _;

use prost::Message as _;
use zeroize::Zeroizing;

use super::BenchArgs;
use crate::api::proto::validate_credentials_request::Presented;
use crate::api::proto::{Permission, ValidateCredentialsRequest};
use crate::cli::failure::Failure;
use crate::cli::secrets::Source;
use crate::cli::shell::Shell;
use crate::load::Questions;

/// Credentials that are read from a file, and the bytes of that file.
const MOST_CREDENTIALS: usize = 1_000_000;
const MOST_BYTES: u64 = 256 * 1024 * 1024;
impl BenchArgs {
    pub(super) fn questions(&self, texts: &[String]) -> Questions {
        let bytes = texts
            .iter()
            .map(|text| self.question(text).encoded_len())
            .sum();
        let mut questions = Questions::with_room(texts.len(), bytes);
        for text in texts {
            questions.push(&Zeroizing::new(self.question(text).encode_to_vec()));
        }
        questions
    }

    fn question(&self, text: &str) -> ValidateCredentialsRequest {
        let required = (self.resource.is_some() || self.action.is_some()).then(|| Permission {
            resource: self.resource.clone().unwrap_or_default(),
            action: self.action.clone().unwrap_or_default(),
        });
        ValidateCredentialsRequest {
            presented: Some(Presented::Token(text.into())),
            account_key: self.account_key.clone().unwrap_or_default(),
            required,
            client_address: self.client_address.clone().unwrap_or_default(),
            ..Default::default()
        }
    }

    /// The lines of the file; none where tokens are issued.
    pub(super) fn texts(&self, shell: &mut Shell<'_>) -> Result<Zeroizing<Vec<String>>, Failure> {
        let Some(source) = &self.text_file else {
            return Ok(Zeroizing::default());
        };
        let mut text = Zeroizing::new(String::new());
        let read = match source {
            Source::Stdin => shell.stdin.take(MOST_BYTES + 1).read_to_string(&mut text),
            Source::File(path) => std::fs::File::open(path)
                .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text)),
        };
        read.map_err(|error| Failure::local(format!("cannot read the credentials: {error}")))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let texts: Vec<String> = lines.take(MOST_CREDENTIALS + 1).map(Into::into).collect();
        let texts = Zeroizing::new(texts);
        if text.len() as u64 > MOST_BYTES || texts.len() > MOST_CREDENTIALS {
            return Err(Failure::usage(format!(
                "at most {MOST_CREDENTIALS} credentials are presented, of {MOST_BYTES} bytes in all"
            )));
        }
        if texts.is_empty() {
            return Err(Failure::local("there are no credentials to present"));
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::{Scene, parse};

    #[test]
    fn credentials_are_the_lines_that_are_not_empty() {
        let mut scene = Scene::new();
        let args = parse::<BenchArgs>("--text-file -");
        scene.stdin("one\n\n two \r\nthree");
        let texts = scene.shell(|shell| args.texts(shell)).unwrap();
        assert_eq!(*texts, ["one", "two", "three"]);
        scene.stdin("\n \n");
        assert!(scene.shell(|shell| args.texts(shell)).is_err());
    }

    #[test]
    fn each_question_says_what_the_flags_say() {
        let line = "--text-file t --account-key k --resource tables/orders --action read --client-address 10.1.2.3";
        let args = parse::<BenchArgs>(line);
        let question = args.question("text");
        assert!(question.presented == Some(Presented::Token("text".into())));
        assert_eq!(question.account_key, "k");
        assert_eq!(question.required.clone().unwrap().action, "read");
        assert_eq!(question.client_address, "10.1.2.3");
        assert_eq!(args.questions(&["text".into(), "other".into()]).len(), 2);
    }
}
