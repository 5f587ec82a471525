//! For callers that keep answers: what each commit touched, kept for a while (`history`), and which callers follow it and when
//! they last heard of it (`streams`). Watchers read the history at their own pace; nothing is kept for any one of them.

mod history;
mod streams;

pub use history::{Gone, History, Told};
pub use streams::{Caller, Following, Streams};
