//! The text of a token, `kw_<environment>_<id><secret><check>`: how it is put together and taken apart.
//!
//! ┌───────────────────────────────────────────────────────────────────────────────────────────────┐
//! │ NEVER CHANGE THE PREFIX, THE LENGTHS OR THE ALPHABET: it would revoke every token ever issued. │
//! └───────────────────────────────────────────────────────────────────────────────────────────────┘

use zeroize::Zeroizing;

use super::field::Rule;
use super::id::{BASE62, TokenId};
use super::limits;
use super::secret::SecretText;

/// What every text begins with.
pub const PREFIX: &str = "kw_";
/// Base62 characters of a secret: 256 bits, never decoded.
pub const SECRET_LENGTH: usize = 43;
const CHECK_LENGTH: usize = 6;
const TAIL_LENGTH: usize = TokenId::LENGTH + SECRET_LENGTH + CHECK_LENGTH;

/// A deployment's own name, in every text that it issues: 1 to 32 of `a-z0-9-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Environment(Box<str>);

impl Environment {
    /// The name that `text` spells, or the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        if is_environment(text) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "must be 1 to {} characters of a-z, 0-9 and -",
                limits::ENVIRONMENT_BYTES
            ))
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text that begins `kw_` names no token here. Both can be told from the text alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextError {
    Malformed,
    WrongEnvironment,
}

/// Puts a text together from an id and 43 base62 characters.
#[must_use]
pub fn assemble(
    environment: &Environment,
    id: TokenId,
    secret: &[u8; SECRET_LENGTH],
) -> SecretText {
    let mut text = Zeroizing::new(String::with_capacity(
        PREFIX.len() + environment.0.len() + 1 + TAIL_LENGTH,
    ));
    text.push_str(PREFIX);
    text.push_str(&environment.0);
    text.push('_');
    text.push_str(id.as_str());
    text.extend(secret.iter().map(|&byte| char::from(byte)));
    let check = check_of(&text);
    text.extend(check.iter().map(|&byte| char::from(byte)));
    SecretText::new(&text)
}

/// Does the text claim to be one of ours?
#[must_use]
pub fn is_ours(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The id in a text that begins `kw_`, if the text is whole and of this environment.
pub fn token_id_of(text: &str, environment: &Environment) -> Result<TokenId, TextError> {
    let rest = text.strip_prefix(PREFIX).ok_or(TextError::Malformed)?;
    if !text.is_ascii() || rest.len() <= TAIL_LENGTH {
        return Err(TextError::Malformed);
    }
    let (head, tail) = rest.split_at(rest.len() - TAIL_LENGTH);
    let named = head
        .strip_suffix('_')
        .filter(|name| is_environment(name))
        .ok_or(TextError::Malformed)?;
    let (body, check) = text.split_at(text.len() - CHECK_LENGTH);
    if !tail.bytes().all(|byte| byte.is_ascii_alphanumeric()) || check.as_bytes() != check_of(body)
    {
        return Err(TextError::Malformed);
    }
    if named != &*environment.0 {
        return Err(TextError::WrongEnvironment);
    }
    TokenId::parse(&tail[..TokenId::LENGTH]).ok_or(TextError::Malformed)
}

fn is_environment(text: &str) -> bool {
    (1..=limits::ENVIRONMENT_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The CRC-32 of all before it, most significant digit first.
fn check_of(body: &str) -> [u8; CHECK_LENGTH] {
    let mut rest = crc32fast::hash(body.as_bytes()) as usize;
    let mut check = [0; CHECK_LENGTH];
    for digit in check.iter_mut().rev() {
        *digit = BASE62[rest % BASE62.len()];
        rest /= BASE62.len();
    }
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment(name: &str) -> Environment {
        Environment::parse(name).unwrap()
    }

    fn sample(name: &str) -> SecretText {
        let id = TokenId::parse("0123456789ABCDEFGHIJKL").unwrap();
        assemble(
            &environment(name),
            id,
            b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        )
    }

    #[test]
    fn the_form_is_frozen() {
        let text = sample("production");
        assert_eq!(
            text.reveal(),
            "kw_production_0123456789ABCDEFGHIJKLabcdefghijklmnopqrstuvwxyz0123456789ABCDEFG1MGspR",
            "changing this revokes every token"
        );
    }

    #[test]
    fn a_text_names_its_id_only_in_its_own_environment() {
        let text = sample("production");
        let id = token_id_of(text.reveal(), &environment("production")).unwrap();
        assert_eq!(id.as_str(), "0123456789ABCDEFGHIJKL");
        assert_eq!(
            token_id_of(text.reveal(), &environment("sandbox")),
            Err(TextError::WrongEnvironment)
        );
    }

    #[test]
    fn environments_are_one_to_thirty_two_of_their_alphabet() {
        for good in ["a", "eu-1", &"e".repeat(32)] {
            assert!(Environment::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "Prod", "a_b", "a b", &"e".repeat(33)] {
            assert!(Environment::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_change_of_a_character_is_malformed(place in 3usize..90, to in "[!-~]") {
            let text = sample("production").reveal().to_owned();
            let place = place % text.len();
            prop_assume!(place >= 3 && text[place..=place] != to);
            let mut changed = text.clone();
            changed.replace_range(place..=place, &to);
            prop_assert_eq!(token_id_of(&changed, &environment("production")), Err(TextError::Malformed));
        }

        #[test]
        fn any_truncation_is_malformed(length in 0usize..84) {
            let text = sample("production").reveal().to_owned();
            prop_assume!(length < text.len());
            prop_assert_eq!(token_id_of(&text[..length], &environment("production")), Err(TextError::Malformed));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(kw_)?.{0,200}") {
            let _ = token_id_of(&text, &environment("production"));
        }
    }
}
