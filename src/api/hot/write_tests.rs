//! Tests: what is written is, byte for byte, what prost writes.

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::domain::id::TokenId;

/// What an answer borrows.
#[derive(Clone, Debug)]
struct Owned {
    texts: [String; 5],
    detail: String,
    grants: Vec<String>,
    steps: Vec<Step>,
    times: [Option<Timestamp>; 2],
    spans: [Option<Duration>; 2],
    quota: Option<Figures>,
    reason: i32,
    access: i32,
    token_id: bool,
    revision: u64,
}

impl Owned {
    fn told(&self) -> Told<'_> {
        let id = TokenId::parse("0123456789ABCDEFGHIJKL");
        let decision = if self.reason == 0 { 1 } else { 2 };
        Told {
            decision: proto::Decision::try_from(decision).unwrap(),
            reason: proto::DenyReason::try_from(self.reason).unwrap(),
            detail: &self.detail,
            token_id: id.filter(|_| self.token_id),
            token_name: &self.texts[0],
            account_id: &self.texts[1],
            principal_id: &self.texts[2],
            principal_name: &self.texts[3],
            access: proto::Access::try_from(self.access).unwrap(),
            grants: self.grants.clone(),
            expire_time: self.times[0],
            quota: self.quota,
            secret_good_until: self.times[1],
            retry_after: self.spans[0],
            cache_for: self.spans[1],
            revision: self.revision,
            steps: &self.steps,
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\PC{0,20}", "[a-z]{126,129}"]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let edges = prop_oneof![Just(0), Just(-1), Just(999), Just(1_000), Just(i64::MAX)];
    prop_oneof![edges, -10_000_000_000_000..10_000_000_000_000_i64]
        .prop_map(|millis| Timestamp::from_millis(millis).min(Timestamp::MAX))
}

fn span() -> impl Strategy<Value = Duration> {
    let some = (any::<u32>(), 0..1_000_000_000_u32);
    let any = some.prop_map(|(seconds, nanos)| Duration::new(seconds.into(), nanos));
    prop_oneof![Just(Duration::ZERO), any]
}

fn owned() -> impl Strategy<Value = Owned> {
    let step = (any::<bool>(), text()).prop_map(|(passed, detail)| Step {
        rule: "shape",
        passed,
        detail: Cow::Owned(detail),
    });
    let quota = (any::<u64>(), any::<u64>(), time());
    let quota = quota.prop_map(|(limit, remaining, reset_time)| Figures {
        limit,
        remaining,
        reset_time,
    });
    // One byte of a message's length tells up to 127, two up to 16383.
    let detail = prop_oneof![8 => text(), 1 => "[a-z]{16300,16400}"];
    let texts = [text(), text(), text(), text(), text()];
    let lists = (vec("[a-z]{0,3}", 0..4), vec(step, 0..4));
    let times = [prop::option::of(time()), prop::option::of(time())];
    let spans = [prop::option::of(span()), prop::option::of(span())];
    let rest = (0..=16_i32, 0..=2_i32, any::<bool>(), any::<u64>());
    let quota = prop::option::of(quota);
    (texts, detail, lists, times, spans, quota, rest).prop_map(
        |(texts, detail, (grants, steps), times, spans, quota, rest)| Owned {
            texts,
            detail,
            grants,
            steps,
            times,
            spans,
            quota,
            reason: rest.0,
            access: rest.1,
            token_id: rest.2,
            revision: rest.3,
        },
    )
}

/// A message as it is sent.
fn sent(message: &impl prost::Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &bytes].concat()
}

proptest! {
    #[test]
    fn an_answer_is_written_as_prost_writes_it(owned in owned(), before in vec(any::<u8>(), 0..9)) {
        let answer = owned.told();
        let mut out = BytesMut::from(&before[..]);
        framed(&mut out, |out| told(out, &answer));
        prop_assert_eq!(&out[..], &[before, sent(&answer.message())].concat()[..]);
    }

    #[test]
    fn an_answer_within_others_is_written_as_prost_writes_it(owned in owned()) {
        let answer = owned.told();
        let out = frame(|out| {
            for _ in 0..2 {
                put_message(out, 1, |out| put_message(out, 1, |out| told(out, &answer)));
            }
        });
        let item = || proto::BatchItem {
            answer: Some(proto::batch_item::Answer::Response(answer.message())),
        };
        let items = vec![item(), item()];
        let expected = sent(&proto::BatchValidateCredentialsResponse { items });
        prop_assert_eq!(&out[..], &expected[..]);
    }
}
