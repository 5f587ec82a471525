//! Reads HPACK's Huffman code (RFC 7541, appendix B). The code is canonical, so the lengths tell all of it.

use std::sync::LazyLock;

/// How many bits the code of each byte has.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const SHORTEST: u32 = 5;
const LONGEST: u32 = 30;

static CODE: LazyLock<Code> = LazyLock::new(Code::new);

/// The text; `None` where the bits are no such text.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(bytes.len() * 8 / 5);
    let mut rest = bytes.iter();
    let (mut bits, mut held) = (0_u64, 0_u32);
    loop {
        while held <= LONGEST
            && let Some(byte) = rest.next()
        {
            bits = bits << 8 | u64::from(*byte);
            held += 8;
        }
        let Some((byte, length)) = CODE.first(bits, held) else {
            // What is left is padding: less than a byte, all ones.
            return (held < 8 && bits == (1 << held) - 1).then_some(text);
        };
        held -= length;
        bits &= (1 << held) - 1;
        text.push(byte);
    }
}

/// The codes of one length follow each other, in the order of their bytes.
struct Code {
    /// By length: the first code, and where its byte stands in `bytes`.
    first: [(u32, usize); LONGEST as usize + 2],
    bytes: Vec<u8>,
}

impl Code {
    fn new() -> Self {
        let (mut first, mut bytes) = ([(0, 0); LONGEST as usize + 2], Vec::new());
        let mut code = 0;
        for (length, first) in first.iter_mut().enumerate().skip(1) {
            *first = (code, bytes.len());
            let of_length = (0..=u8::MAX).filter(|byte| LENGTHS[*byte as usize] as usize == length);
            bytes.extend(of_length);
            code = (code + (bytes.len() - first.1) as u32) << 1;
        }
        Self { first, bytes }
    }

    /// The byte that the bits begin with, and the length of its code.
    fn first(&self, bits: u64, held: u32) -> Option<(u8, u32)> {
        (SHORTEST..=LONGEST.min(held)).find_map(|length| {
            let (code, at) = self.first[length as usize];
            let (_, end) = self.first[length as usize + 1];
            let offset = ((bits >> (held - length)) as u32).checked_sub(code)? as usize;
            (offset < end - at).then(|| (self.bytes[at + offset], length))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_standard_are_read() {
        for (bytes, text) in [
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf][..], "no-cache"),
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ],
                "www.example.com",
            ),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decode(bytes).as_deref(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn padding_is_short_and_all_ones() {
        // "0" in five bits, and three ones; then three zeros, and a whole byte of ones.
        assert_eq!(decode(&[0x07]), Some(b"0".to_vec()));
        assert_eq!(decode(&[0x00]), None);
        assert_eq!(decode(&[0xff]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            decode(&bytes);
        }
    }
}
