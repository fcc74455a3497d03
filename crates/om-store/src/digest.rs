//! SHA-256, one-shot and resumable.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a SHA-256 digest (64 hexadecimal digits)")]
pub struct DigestError(String);

/// The digest of `bytes`.
pub fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

impl Sha256Digest {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl FromStr for Sha256Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| DigestError(text.to_owned()))
    }
}

impl Serialize for Sha256Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A SHA-256 that can be saved and continued in another process, so that the
/// digest of an append-only file costs what was appended.
#[derive(Clone, Debug, Default)]
pub struct ResumableSha256 {
    hasher: Sha256,
    length: u64,
}

impl ResumableSha256 {
    /// The digest of nothing, so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Continues with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The digest of everything so far; more may follow.
    pub fn finish(&self) -> Sha256Digest {
        Sha256Digest(self.hasher.clone().finalize().into())
    }

    /// Bytes digested so far.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing was digested so far.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The state as hexadecimal text, for [`Self::restore`].
    pub fn save(&self) -> String {
        let mut state = self.length.to_le_bytes().to_vec();
        state.extend_from_slice(&self.hasher.serialize());
        to_hex(&state)
    }

    /// The state that [`Self::save`] wrote; `None` if `text` is not one.
    pub fn restore(text: &str) -> Option<Self> {
        let bytes = from_hex(text)?;
        let (length, state) = bytes.split_first_chunk::<8>()?;
        let state = SerializedState::<Sha256>::try_from(state).ok()?;
        let hasher = Sha256::deserialize(&state).ok()?;
        Some(Self {
            hasher,
            length: u64::from_le_bytes(*length),
        })
    }
}

/// `bytes` as lower-case hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| {
        char::from(c)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        let known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b"").to_string(), known);
        assert_eq!(known.parse(), Ok(digest(b"")));
        assert_eq!(ResumableSha256::new().finish(), digest(b""));
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "e3",
            "zz",
            &"0".repeat(63),
            &"0".repeat(66),
            &"g".repeat(64),
        ] {
            assert!(text.parse::<Sha256Digest>().is_err(), "{text:?}");
            assert!(ResumableSha256::restore(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_digest_continued_from_a_saved_state_equals_the_one_shot(
            bytes in prop::collection::vec(any::<u8>(), 0..300), split in 0usize..300,
        ) {
            let split = split.min(bytes.len());
            let mut first = ResumableSha256::new();
            first.update(&bytes[..split]);
            let mut second = ResumableSha256::restore(&first.save()).expect("own state");
            prop_assert_eq!(second.len(), split as u64);
            second.update(&bytes[split..]);
            prop_assert_eq!(second.finish(), digest(&bytes));
        }
    }
}
