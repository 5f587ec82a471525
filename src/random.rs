//! Where randomness comes from, and what is drawn from it: ids, secrets, keys.

use std::fmt;

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::domain::id::{AccountKey, BASE62, TokenId};
use crate::domain::text::SECRET_LENGTH;

/// A source of random bytes.
pub trait Random: Send + Sync + fmt::Debug {
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator: the only one that production uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        SysRng
            .try_fill_bytes(bytes)
            .expect("the operating system always has randomness once it has booted");
    }
}

/// Base62 characters, each drawn uniformly.
pub fn base62<const N: usize>(random: &dyn Random) -> Zeroizing<[u8; N]> {
    /// The largest multiple of 62 that fits a byte: what lies above would favour the first digits.
    const FAIR: u8 = 248;
    let mut text = Zeroizing::new([0; N]);
    let mut drawn = Zeroizing::new([0; 64]);
    let mut filled = 0;
    while filled < N {
        random.fill(&mut drawn[..]);
        for &byte in drawn.iter().filter(|&&byte| byte < FAIR).take(N - filled) {
            text[filled] = BASE62[usize::from(byte) % BASE62.len()];
            filled += 1;
        }
    }
    text
}

pub fn token_id(random: &dyn Random) -> TokenId {
    TokenId::parse(&made_up::<{ TokenId::LENGTH }>(random)).expect("22 base62 characters are an id")
}

pub fn secret(random: &dyn Random) -> Zeroizing<[u8; SECRET_LENGTH]> {
    base62(random)
}

pub fn account_key(random: &dyn Random) -> AccountKey {
    AccountKey::parse(&made_up::<{ AccountKey::LENGTH }>(random))
        .expect("32 base62 characters are a key")
}

/// An id for what the operator did not name: 16 characters of a-z and 0-9.
pub fn local_id(random: &dyn Random) -> String {
    made_up::<16>(random).to_ascii_lowercase()
}

fn made_up<const N: usize>(random: &dyn Random) -> String {
    base62::<N>(random)
        .iter()
        .map(|&byte| char::from(byte))
        .collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Mutex;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

    use super::Random;

    /// A repeatable source.
    #[derive(Debug)]
    pub(crate) struct SeededRandom(Mutex<StdRng>);

    impl SeededRandom {
        pub(crate) fn new(seed: u64) -> Self {
            Self(Mutex::new(StdRng::seed_from_u64(seed)))
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, bytes: &mut [u8]) {
            self.0.lock().unwrap().fill_bytes(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::SeededRandom;
    use super::*;

    #[test]
    fn every_digit_is_drawn_about_as_often() {
        let random = SeededRandom::new(1);
        let mut seen = [0_u32; 128];
        for _ in 0..2_000 {
            for &digit in base62::<62>(&random).iter() {
                seen[usize::from(digit)] += 1;
            }
        }
        for &digit in BASE62 {
            let times = seen[usize::from(digit)];
            assert!(
                (1_750..2_250).contains(&times),
                "{} came {times} times",
                char::from(digit)
            );
        }
    }
}
