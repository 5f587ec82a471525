//! The contract's enums in the words of the command line: `TOKEN_STATE_INACTIVE` is `inactive`.
//!
//! The words are derived from the generated names, so that a value the contract gains is known here at once.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::api::proto;

/// An enum of the contract, whose names all begin with one prefix.
pub(crate) trait Words: Copy + Send + Sync + 'static {
    const PREFIX: &'static str;

    /// The value with this number, where there is one.
    fn from_number(number: i32) -> Option<Self>;

    /// Its name in the contract.
    fn full_name(self) -> &'static str;
}

/// A parser of the enum's words; "unspecified" is not one of them.
pub(crate) fn choice<E: Words>() -> impl TypedValueParser<Value = E> {
    PossibleValuesParser::new(all::<E>().map(word)).map(|text| {
        all::<E>()
            .find(|value| word(*value) == text)
            .expect("the possible values were made from these")
    })
}

/// `read-only`, as it is typed and shown in tables.
pub(crate) fn word<E: Words>(value: E) -> String {
    label(value).to_ascii_lowercase().replace('_', "-")
}

/// `READ_ONLY`, as the contract's documents write it.
pub(crate) fn label<E: Words>(value: E) -> &'static str {
    let name = value.full_name();
    name.strip_prefix(E::PREFIX).unwrap_or(name)
}

/// The word of a number as it came: empty for zero, the number itself where this build does not know it.
pub(crate) fn word_of<E: Words>(number: i32) -> String {
    match (number, E::from_number(number)) {
        (0, _) => String::new(),
        (_, Some(value)) => word(value),
        (_, None) => number.to_string(),
    }
}

/// No enum of the contract has a number beyond this.
const HIGHEST: i32 = 99;

fn all<E: Words>() -> impl Iterator<Item = E> {
    (1..=HIGHEST).filter_map(E::from_number)
}

macro_rules! words {
    ($($enum:ident $prefix:literal,)*) => {$(
        impl Words for proto::$enum {
            const PREFIX: &'static str = $prefix;

            fn from_number(number: i32) -> Option<Self> {
                Self::try_from(number).ok()
            }

            fn full_name(self) -> &'static str {
                self.as_str_name()
            }
        }
    )*};
}

words! {
    Access "ACCESS_",
    Activation "ACTIVATION_",
    Decision "DECISION_",
    DenyReason "DENY_REASON_",
    EventType "EVENT_TYPE_",
    PrincipalRule "PRINCIPAL_RULE_",
    PrincipalState "PRINCIPAL_STATE_",
    SecretState "SECRET_STATE_",
    TokenState "TOKEN_STATE_",
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Access, EventType, TokenState};

    #[test]
    fn every_word_reads_back_as_its_value() {
        let parser = choice::<EventType>();
        let command = clap::Command::new("test");
        for value in all::<EventType>() {
            let text = word(value);
            let read = parser.parse_ref(&command, None, text.as_ref()).unwrap();
            assert_eq!(read, value, "{text}");
        }
        assert_eq!(all::<EventType>().count(), 24);
    }

    #[test]
    fn the_zero_of_an_enum_is_not_a_word() {
        let command = clap::Command::new("test");
        let read = choice::<TokenState>().parse_ref(&command, None, "unspecified".as_ref());
        assert!(read.is_err());
    }

    #[test]
    fn an_unknown_number_is_shown_as_it_is() {
        assert_eq!(word_of::<Access>(2), "read-only");
        assert_eq!(word_of::<Access>(0), "");
        assert_eq!(word_of::<Access>(77), "77");
    }

    #[test]
    fn no_enum_of_the_contract_outgrows_the_search() {
        let highest = all::<EventType>().map(|value| value as i32).max();
        assert!(highest < Some(HIGHEST));
    }
}
