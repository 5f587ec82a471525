//! How messages become bytes: as tonic's own codec has it, but with buffers as small as our messages are. Each open stream keeps
//! one, and tonic's 8 KiB would be most of what a held connection costs. They grow where a message is larger.

use std::fmt;
use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstDecoder, ProstEncoder};

/// Bytes of a new buffer: most answers fit.
const BUFFER: usize = 512;
/// Bytes that are gathered before they are handed on, where a stream has many messages ready: tonic's own.
const GATHERED: usize = 32 * 1024;

/// Named in `build.rs`; `T` is sent and `U` is received.
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::new(BufferSettings::new(BUFFER, GATHERED))
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstDecoder::new(BufferSettings::new(BUFFER, GATHERED))
    }
}

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> fmt::Debug for Codec<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}
