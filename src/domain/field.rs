//! What is wrong with a field of a request, and the rules that strings share.

use std::borrow::Cow;
use std::fmt;

use super::limits;
use super::text::PREFIX;

/// A field and the rule that its value breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The field's path in the request, e.g. `token.name`.
    pub field: String,
    /// The rule, as a clause: `must be 1 to 200 characters`.
    pub rule: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.rule)
    }
}

/// A rule that a value breaks; the caller adds the field's name.
pub type Rule = String;

/// A name: 1 to 200 characters, none of them a control character.
pub fn name(text: &str) -> Result<String, Rule> {
    if text.trim().is_empty() {
        return Err(format!(
            "is required: 1 to {} characters",
            limits::NAME_CHARS
        ));
    }
    free_text(text, limits::NAME_CHARS)
}

/// Text that may be empty: at most `most` characters, none of them a control character.
pub fn free_text(text: &str, most: usize) -> Result<String, Rule> {
    if text.chars().count() > most {
        return Err(format!("must be at most {most} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not hold control characters".into());
    }
    Ok(text.to_owned())
}

/// An id from outside: 1 to `most` printable ASCII characters, spaces among them.
pub fn printable(text: &str, most: usize) -> Result<String, Rule> {
    borrowed_printable(text, most).map(ToOwned::to_owned)
}

/// The same, borrowed from where it came.
pub fn borrowed_printable(text: &str, most: usize) -> Result<&str, Rule> {
    let fits = (1..=most).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if fits {
        Ok(text)
    } else {
        Err(format!("must be 1 to {most} printable ASCII characters"))
    }
}

/// An e-mail address as far as it can be told without sending to it; may be empty.
pub fn email(text: &str) -> Result<String, Rule> {
    let text = free_text(text, limits::EMAIL_CHARS)?;
    let shaped = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if text.is_empty() || (shaped && !text.contains(char::is_whitespace)) {
        Ok(text)
    } else {
        Err("must be an e-mail address".into())
    }
}

/// A text as an answer repeats it to whoever sent it: the beginning, where it is long, and nothing of a token's text that was
/// put into the wrong place: answers are logged by who gets them.
#[must_use]
pub fn repeated(text: &str) -> Cow<'_, str> {
    let longest = text.char_indices().nth(limits::REPEATED_CHARS);
    let end = longest.map(|(end, _)| end);
    match end.into_iter().chain(text.find(PREFIX)).min() {
        Some(end) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Is this one segment of a resource, an action, or an id: `[A-Za-z0-9._-]+`?
pub(crate) fn is_segment(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_two_hundred_characters_and_hold_no_control_characters() {
        assert!(name("x").is_ok());
        assert!(name(&"ü".repeat(200)).is_ok());
        for bad in ["", "  ", &"x".repeat(201), "a\nb", "a\u{7f}"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_texts_are_repeated_by_their_beginning() {
        let longest = "ü".repeat(limits::REPEATED_CHARS);
        assert_eq!(repeated(&longest), longest);
        assert_eq!(repeated(&format!("{longest}x")), format!("{longest}…"));
    }

    #[test]
    fn a_tokens_text_is_not_repeated() {
        assert_eq!(repeated("kw_dev_secret"), "…");
        assert_eq!(repeated("Bearer kw_dev_secret"), "Bearer …");
    }

    #[test]
    fn e_mail_addresses_have_two_sides() {
        for good in ["", "api@example.com"] {
            assert!(email(good).is_ok(), "{good}");
        }
        for bad in ["api", "@example.com", "api@", "a b@example.com"] {
            assert!(email(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn printable_text_is_bounded_ascii() {
        assert!(printable(&"r".repeat(128), 128).is_ok());
        for bad in ["", &"r".repeat(129), "tab\there", "ü"] {
            assert!(printable(bad, 128).is_err(), "{bad:?}");
        }
    }
}
