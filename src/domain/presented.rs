//! What a caller presents as credentials: every form, read into an optional id and a text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::decision::Unfound;
use super::limits;

/// The forms of credentials.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// The inbound header as it came.
    Header(&'a str),
    /// The text alone.
    Text(&'a str),
    IdAndText {
        id: &'a str,
        text: &'a str,
    },
}

/// A text, and the id that it was presented under, where the form names one.
pub struct Claim<'a> {
    pub id: Option<Part<'a>>,
    pub text: Part<'a>,
}

/// A piece of what was presented: borrowed, or decoded and wiped when dropped.
pub enum Part<'a> {
    Borrowed(&'a str),
    Decoded(Zeroizing<String>),
}

impl Part<'_> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Decoded(text) => text,
        }
    }
}

impl std::fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Claim([redacted])")
    }
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part([redacted])")
    }
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented([redacted])")
    }
}

/// Reads any form. Nothing at all is `Missing`; another scheme, or what no text can be, is `Malformed`.
pub fn read(presented: Option<Presented<'_>>) -> Result<Claim<'_>, Unfound> {
    let claim = match presented {
        None => return Err(Unfound::Missing),
        Some(Presented::Header(header)) => read_header(header)?,
        Some(Presented::Text(text)) => Claim {
            id: None,
            text: Part::Borrowed(text),
        },
        Some(Presented::IdAndText { id, text }) => Claim {
            id: Some(Part::Borrowed(id)),
            text: Part::Borrowed(text),
        },
    };
    match claim.text.as_str() {
        "" => Err(Unfound::Missing),
        text if text.len() > limits::PRESENTED_BYTES || text.chars().any(char::is_control) => {
            Err(Unfound::Malformed)
        }
        _ => Ok(claim),
    }
}

/// `Bearer <text>`, `Basic <base64 of id:text>` (schemes in any case), or one of our texts bare.
fn read_header(header: &str) -> Result<Claim<'_>, Unfound> {
    let header = header.trim_matches([' ', '\t']);
    if header.is_empty() {
        return Err(Unfound::Missing);
    }
    if header.len() > limits::AUTHORIZATION_BYTES {
        return Err(Unfound::Malformed);
    }
    if super::text::is_ours(header) {
        return Ok(Claim {
            id: None,
            text: Part::Borrowed(header),
        });
    }
    let (scheme, rest) = header.split_once(' ').ok_or(Unfound::Malformed)?;
    let rest = rest.trim_start_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Claim {
            id: None,
            text: Part::Borrowed(rest),
        })
    } else if scheme.eq_ignore_ascii_case("basic") {
        read_basic(rest)
    } else {
        Err(Unfound::Malformed)
    }
}

/// Padding may be left out: callers differ, and nothing hangs on it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn read_basic(encoded: &str) -> Result<Claim<'static>, Unfound> {
    let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| Unfound::Malformed)?);
    let pair = std::str::from_utf8(&bytes).map_err(|_| Unfound::Malformed)?;
    let (id, text) = pair.split_once(':').ok_or(Unfound::Malformed)?;
    if text.is_empty() {
        return Err(Unfound::Malformed);
    }
    let decoded = |part: &str| Part::Decoded(Zeroizing::new(part.to_owned()));
    Ok(Claim {
        id: Some(decoded(id)),
        text: decoded(text),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(text: &str) -> Result<(Option<String>, String), Unfound> {
        read(Some(Presented::Header(text))).map(|claim| {
            (
                claim.id.map(|id| id.as_str().to_owned()),
                claim.text.as_str().to_owned(),
            )
        })
    }

    #[test]
    fn every_form_of_header_is_read_or_refused_by_rule() {
        let text = |text: &str| Ok((None, text.to_owned()));
        let pair = |id: &str, text: &str| Ok((Some(id.to_owned()), text.to_owned()));
        let long = format!("Bearer {}", "x".repeat(limits::PRESENTED_BYTES));
        let table = [
            ("Bearer abc", text("abc")),
            ("bearer abc", text("abc")),
            ("BEARER   abc  ", text("abc")),
            ("kw_dev_abc", text("kw_dev_abc")),
            ("Basic aWQ6dGV4dA==", pair("id", "text")),
            ("basic aWQ6dGV4dA", pair("id", "text")),
            ("Basic aWQ6YTpi", pair("id", "a:b")),
            ("Basic OnRleHQ=", pair("", "text")),
            ("", Err(Unfound::Missing)),
            ("   ", Err(Unfound::Missing)),
            ("Bearer", Err(Unfound::Malformed)),
            ("Basic", Err(Unfound::Malformed)),
            ("Basic !!!", Err(Unfound::Malformed)),
            ("Basic aWQ=", Err(Unfound::Malformed)),
            ("Basic aWQ6", Err(Unfound::Malformed)),
            ("Basic /////w==", Err(Unfound::Malformed)),
            ("Digest username=x", Err(Unfound::Malformed)),
            ("abc", Err(Unfound::Malformed)),
            ("Bearer a\tb", Err(Unfound::Malformed)),
            (&long, text(&"x".repeat(limits::PRESENTED_BYTES))),
            (&format!("{long}x"), Err(Unfound::Malformed)),
        ];
        for (given, expected) in table {
            assert_eq!(header(given), expected, "{given:?}");
        }
    }

    #[test]
    fn nothing_at_all_is_missing() {
        for nothing in [
            None,
            Some(Presented::Text("")),
            Some(Presented::IdAndText { id: "id", text: "" }),
        ] {
            assert_eq!(read(nothing).unwrap_err(), Unfound::Missing);
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(text in "((?i)basic |bearer )?.{0,60}") {
            let _ = header(&text);
        }
    }
}
