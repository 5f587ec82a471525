//! Tests: whatever the bytes, prost refuses them as well, or makes of them the same.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::api::proto;
use crate::api::proto::validate_credentials_request::Presented as Wire;

/// Everything in a request, to be compared and printed.
type Plain<'a> = (
    Option<(&'static str, &'a str, &'a str)>,
    [&'a str; 4],
    Option<(&'a str, &'a str)>,
    (u32, bool, u64, bool),
);

fn plain<'a>(asked: &Asked<'a>) -> Plain<'a> {
    let presented = asked.presented.map(|presented| match presented {
        Presented::Header(header) => ("header", header, ""),
        Presented::Text(text) => ("text", text, ""),
        Presented::IdAndText { id, text } => ("pair", id, text),
    });
    let texts = [
        asked.account_key,
        asked.client_address,
        asked.consumer,
        asked.account_id,
    ];
    let numbers = (
        asked.cost,
        asked.dry_run,
        asked.min_revision,
        asked.with_grants,
    );
    (presented, texts, asked.required, numbers)
}

/// All three messages, read from the same bytes by either.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let decoded = proto::ValidateCredentialsRequest::decode(bytes);
    match (&decoded, asked(Reader::new(bytes))) {
        (Ok(decoded), Ok(read)) => prop_assert_eq!(plain(&Asked::of(decoded)), plain(&read)),
        (decoded, read) => prop_assert_eq!(decoded.is_err(), read.is_err(), "a request"),
    }
    let decoded = proto::StreamValidateCredentialsRequest::decode(bytes);
    match (&decoded, question(bytes)) {
        (Ok(decoded), Ok((id, read))) => {
            let empty = proto::ValidateCredentialsRequest::default();
            let request = decoded.request.as_ref().unwrap_or(&empty);
            prop_assert_eq!(decoded.correlation_id, id);
            prop_assert_eq!(plain(&Asked::of(request)), plain(&read));
        }
        (decoded, read) => prop_assert_eq!(decoded.is_err(), read.is_err(), "a question"),
    }
    let decoded = proto::BatchValidateCredentialsRequest::decode(bytes);
    match (&decoded, batch(bytes, 3)) {
        (Ok(decoded), Ok((read, count))) => {
            prop_assert_eq!(decoded.requests.len(), count);
            prop_assert_eq!(read.len(), count.min(3));
            for (decoded, read) in decoded.requests.iter().zip(&read) {
                prop_assert_eq!(plain(&Asked::of(decoded)), plain(read));
            }
        }
        (decoded, read) => prop_assert_eq!(decoded.is_err(), read.is_err(), "a batch"),
    }
    Ok(())
}

fn request() -> impl Strategy<Value = proto::ValidateCredentialsRequest> {
    let text = || prop_oneof![Just(String::new()), "\\PC{0,12}", "[ -~]{120,140}"];
    let presented = prop_oneof![
        text().prop_map(Wire::Authorization),
        text().prop_map(Wire::Token),
        (text(), text()).prop_map(|(token_id, secret)| {
            Wire::IdAndSecret(proto::IdAndSecret { token_id, secret })
        }),
    ];
    let required =
        (text(), text()).prop_map(|(resource, action)| proto::Permission { resource, action });
    let texts = (text(), text(), text(), text());
    let numbers = (any::<u32>(), any::<bool>(), any::<u64>(), any::<bool>());
    let all = (
        prop::option::of(presented),
        prop::option::of(required),
        texts,
        numbers,
    );
    all.prop_map(
        |(presented, required, texts, numbers)| proto::ValidateCredentialsRequest {
            presented,
            required,
            account_key: texts.0,
            client_address: texts.1,
            consumer: texts.2,
            account_id: texts.3,
            cost: numbers.0,
            dry_run: numbers.1,
            min_revision: numbers.2,
            with_grants: numbers.3,
        },
    )
}

/// A number in as many bytes as it takes, or in more, or in too many.
fn varint() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..64_u32, 0..3_usize).prop_map(|(number, shift, longer)| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(number >> shift, &mut bytes);
        for _ in 0..longer {
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
        }
        bytes
    })
}

/// Fields of any number and type, messages and groups within each other, most of them whole.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let key = |number: u32, wire_type: u32| {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | wire_type), &mut bytes);
        bytes
    };
    let numbers = || prop_oneof![20 => 1..20_u32, 1 => Just(0_u32), 1 => 1_000..2_000_u32];
    let delimited = move |number, content: Vec<u8>| {
        let mut bytes = key(number, 2);
        prost::encoding::encode_varint(content.len() as u64, &mut bytes);
        [bytes, content].concat()
    };
    let leaf = prop_oneof![
        4 => (numbers(), varint()).prop_map(move |(number, value)| [key(number, 0), value].concat()),
        4 => (numbers(), "\\PC{0,9}")
            .prop_map(move |(number, text)| delimited(number, text.into_bytes())),
        1 => (numbers(), vec(any::<u8>(), 0..9))
            .prop_map(move |(number, bytes)| delimited(number, bytes)),
        1 => (numbers(), any::<u64>())
            .prop_map(move |(number, value)| [key(number, 1), value.to_le_bytes().to_vec()].concat()),
        1 => (numbers(), any::<u32>())
            .prop_map(move |(number, value)| [key(number, 5), value.to_le_bytes().to_vec()].concat()),
        1 => (numbers(), 3..8_u32).prop_map(move |(number, wire_type)| key(number, wire_type)),
        1 => vec(any::<u8>(), 0..4),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let several = || vec(inner.clone(), 0..5).prop_map(|fields| fields.concat());
        prop_oneof![
            4 => (numbers(), several()).prop_map(move |(number, content)| delimited(number, content)),
            1 => (numbers(), several()).prop_map(move |(number, content)| {
                [key(number, 3), content, key(number, 4)].concat()
            }),
            4 => several(),
        ]
    })
}

proptest! {
    #[test]
    fn a_request_is_read_as_prost_decodes_it(request in request()) {
        agree(&request.encode_to_vec())?;
    }

    #[test]
    fn several_of_each_are_merged_as_prost_merges_them(
        one in request(),
        other in request(),
        correlation_id in any::<u64>(),
    ) {
        agree(&[one.encode_to_vec(), other.encode_to_vec()].concat())?;
        let question = |request| proto::StreamValidateCredentialsRequest {
            correlation_id,
            request: Some(request),
        };
        let questions = [one.clone(), other.clone()].map(|request| question(request).encode_to_vec());
        agree(&questions.concat())?;
        let requests = vec![one.clone(), other, one.clone(), one];
        agree(&proto::BatchValidateCredentialsRequest { requests }.encode_to_vec())?;
    }

    #[test]
    fn a_request_with_a_wrong_byte_or_a_missing_end_is_read_or_refused_alike(
        request in request(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = request.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(if cut { place } else { bytes.len() });
        agree(&bytes)?;
    }

    #[test]
    fn fields_of_any_number_and_type_are_read_or_refused_alike(fields in fields()) {
        agree(&fields)?;
    }

    #[test]
    fn any_bytes_are_read_or_refused_alike(bytes in vec(any::<u8>(), 0..40)) {
        agree(&bytes)?;
    }
}

#[test]
fn the_edges_of_the_wire_format_are_prost_s() {
    let group = |depth: usize, inside: &[u8]| {
        let (open, close) = ([19 << 3 | 3, 1], [19 << 3 | 4, 1]);
        [open.repeat(depth), inside.to_vec(), close.repeat(depth)].concat()
    };
    // Field 8, the cost, in so many bytes.
    let cost = |bytes: &[u8]| [&[8 << 3][..], bytes].concat();
    let table = [
        (Vec::new(), true),
        (cost(&[0xff, 0xff, 0xff, 0xff, 0x0f]), true),
        (
            cost(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            true,
        ),
        (
            cost(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
            false,
        ),
        (
            cost(&[
                0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00,
            ]),
            false,
        ),
        (cost(&[0x80]), false),
        (cost(&[]), false),
        // A text of two bytes, of which one is there; one that is not UTF-8, and the same overwritten.
        (vec![4 << 3 | 2, 2, b'a'], false),
        (vec![4 << 3 | 2, 1, 0xff], false),
        (vec![4 << 3 | 2, 1, 0xff, 4 << 3 | 2, 1, b'a'], false),
        // A length beyond what there can be.
        (
            vec![
                4 << 3 | 2,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0x01,
            ],
            false,
        ),
        // Known fields of another type; unknown ones of every type, and of none.
        (vec![4 << 3, 0], false),
        (vec![8 << 3 | 2, 0], false),
        (vec![8 << 3 | 5, 0, 0, 0, 0], false),
        (vec![8 << 3 | 3, 8 << 3 | 4], false),
        (vec![15 << 3, 0], true),
        (vec![15 << 3 | 1, 0, 0, 0, 0, 0, 0, 0, 0], true),
        (vec![15 << 3 | 1, 0, 0, 0, 0, 0, 0, 0], false),
        (vec![15 << 3 | 2, 1, 0xff], true),
        (vec![15 << 3 | 5, 0, 0, 0, 0], true),
        (vec![15 << 3 | 6], false),
        (vec![15 << 3 | 7], false),
        // No field has the number 0, nor a key more than 32 bits.
        (vec![0, 0], false),
        (vec![0xf8, 0xff, 0xff, 0xff, 0x0f, 0], true),
        (vec![0xf8, 0xff, 0xff, 0xff, 0x1f, 0], false),
        // Groups: closed by another, never closed, closed without being open, as deep as they may lie and deeper.
        (vec![15 << 3 | 3, 14 << 3 | 4], false),
        (vec![15 << 3 | 3], false),
        (vec![15 << 3 | 4], false),
        (group(1, &[15 << 3, 0]), true),
        (group(99, &[15 << 3, 0]), true),
        (group(100, &[15 << 3, 0]), false),
        (group(100, &[]), true),
        (group(101, &[]), false),
    ];
    for (bytes, good) in table {
        assert_eq!(asked(Reader::new(&bytes)).is_ok(), good, "{bytes:x?}");
        agree(&bytes).unwrap();
        // The same within a message, where a level less is left.
        let mut within = vec![2 << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut within);
        within.extend(&bytes);
        agree(&within).unwrap();
    }
}
