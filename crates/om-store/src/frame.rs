//! How records and the log's head look as bytes.
//!
//! All integers are little-endian. Checksums are the first 16 bytes of a
//! SHA-256; every frame carries the random id of its generation, so leftovers
//! of earlier generations are never taken for records.

use crate::digest::digest;

/// Records start at multiples of this, so that writing one never rewrites a
/// sector of another.
pub(crate) const SECTOR: u64 = 512;

/// Length of a record's header in bytes.
pub(crate) const HEADER: usize = 88;

const RECORD_MAGIC: [u8; 8] = *b"omredo1\n";
const LOG_MAGIC: [u8; 8] = *b"omlog01\n";
const HEAD_MAGIC: [u8; 8] = *b"omhead2\n";
const CHECKSUM: usize = 16;

/// Header of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Random; the same for all records since a checkpoint.
    pub(crate) generation: u128,
    /// Position in the scope's history, counted from 1.
    pub(crate) sequence: u64,
    /// Records up to this sequence are durably applied.
    pub(crate) base: u64,
    pub(crate) index_length: u64,
    pub(crate) body_length: u64,
    pub(crate) body_checksum: [u8; CHECKSUM],
}

impl Header {
    /// Bytes of the whole record without padding.
    pub(crate) fn record_length(&self) -> u64 {
        HEADER as u64 + self.index_length + self.body_length
    }

    /// Bytes of the whole record in the log.
    pub(crate) fn padded_length(&self) -> u64 {
        self.record_length().next_multiple_of(SECTOR)
    }

    /// Parses a header; the checksum at its end also covers `index`, so it
    /// is verified by [`verify_index`] once that is read.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes.get(..HEADER)?);
        (reader.take::<8>()? == RECORD_MAGIC).then_some(())?;
        let header = Self {
            generation: u128::from_le_bytes(reader.take()?),
            sequence: u64::from_le_bytes(reader.take()?),
            base: u64::from_le_bytes(reader.take()?),
            index_length: u64::from_le_bytes(reader.take()?),
            body_length: u64::from_le_bytes(reader.take()?),
            body_checksum: reader.take()?,
        };
        // A length that overflows is garbage, not a record.
        let lengths = header.index_length.checked_add(header.body_length)?;
        lengths.checked_add(2 * SECTOR)?;
        Some(header)
    }
}

/// A record as bytes: header, index, body; no padding.
pub(crate) fn encode(
    generation: u128,
    sequence: u64,
    base: u64,
    index: &[u8],
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + index.len() + body.len() + 4096);
    out.extend_from_slice(&RECORD_MAGIC);
    out.extend_from_slice(&generation.to_le_bytes());
    for number in [sequence, base, index.len() as u64, body.len() as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&checksum(body));
    let fixed = out.len();
    out.extend_from_slice(&[0; CHECKSUM]);
    out.extend_from_slice(index);
    let sum = header_checksum(&out[..fixed], index);
    out[fixed..HEADER].copy_from_slice(&sum);
    out.extend_from_slice(body);
    out
}

/// Whether `header_bytes` and `index` belong together and are whole.
pub(crate) fn verify_index(header_bytes: &[u8], index: &[u8]) -> bool {
    header_bytes
        .get(HEADER - CHECKSUM..HEADER)
        .is_some_and(|sum| *sum == header_checksum(&header_bytes[..HEADER - CHECKSUM], index))
}

/// Whether `body` is the one that the header was made for.
pub(crate) fn verify_body(header: &Header, body: &[u8]) -> bool {
    checksum(body) == header.body_checksum
}

fn header_checksum(fixed: &[u8], index: &[u8]) -> [u8; CHECKSUM] {
    checksum(&[fixed, index].concat())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut out = [0; CHECKSUM];
    out.copy_from_slice(&digest(bytes).as_bytes()[..CHECKSUM]);
    out
}

/// First sector of a log: its random identity.
pub(crate) fn encode_log_id(id: u128) -> Vec<u8> {
    let mut out = LOG_MAGIC.to_vec();
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&checksum(&out));
    out.resize(usize::try_from(SECTOR).unwrap_or(512), 0);
    out
}

/// The identity in the first sector of a log, if that is whole.
pub(crate) fn parse_log_id(bytes: &[u8]) -> Option<u128> {
    let (content, rest) = bytes.split_at_checked(24)?;
    let valid = content.starts_with(&LOG_MAGIC) && rest.get(..CHECKSUM)? == checksum(content);
    let id = content.get(8..)?.try_into().ok()?;
    valid.then_some(u128::from_le_bytes(id))
}

/// Where a log stands: everything up to `sequence` is applied, and the next
/// record goes to `tail`. A hint, written without syncing: believed within
/// one boot (but `base` always: it is written after what it says).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) log_id: u128,
    /// The boot in which it was written; 0 if that is not known.
    pub(crate) boot: u128,
    pub(crate) generation: u128,
    pub(crate) tail: u64,
    /// The end of the records that were once written completely: beyond
    /// `tail` if the last one is not yet known to be applied.
    pub(crate) recorded: u64,
    pub(crate) sequence: u64,
    pub(crate) base: u64,
    /// Greatest record since the last checkpoint, in bytes.
    pub(crate) largest: u64,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = HEAD_MAGIC.to_vec();
        for id in [self.log_id, self.boot, self.generation] {
            out.extend_from_slice(&id.to_le_bytes());
        }
        for number in [
            self.tail,
            self.recorded,
            self.sequence,
            self.base,
            self.largest,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&checksum(&out));
        out
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        (checksum(content) == sum).then_some(())?;
        let mut reader = Reader(content);
        (reader.take::<8>()? == HEAD_MAGIC).then_some(())?;
        Some(Self {
            log_id: u128::from_le_bytes(reader.take()?),
            boot: u128::from_le_bytes(reader.take()?),
            generation: u128::from_le_bytes(reader.take()?),
            tail: u64::from_le_bytes(reader.take()?),
            recorded: u64::from_le_bytes(reader.take()?),
            sequence: u64::from_le_bytes(reader.take()?),
            base: u64::from_le_bytes(reader.take()?),
            largest: u64::from_le_bytes(reader.take()?),
        })
    }
}

/// Takes fixed-size pieces off the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (piece, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_with_any_bit_flipped_is_not_a_record(
            index in prop::collection::vec(any::<u8>(), 0..40),
            body in prop::collection::vec(any::<u8>(), 0..40),
            at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let valid = |bytes: &[u8]| -> bool {
                let Some(header) = Header::parse(bytes) else { return false };
                let Some(rest) = bytes.get(HEADER..) else { return false };
                let Ok(length) = usize::try_from(header.index_length) else { return false };
                let Some((index, body)) = rest.split_at_checked(length) else { return false };
                verify_index(bytes, index) && verify_body(&header, body)
            };
            let mut bytes = encode(7, 3, 1, &index, &body);
            prop_assert!(valid(&bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!valid(&bytes));
        }
    }

    #[test]
    fn a_head_reads_back_and_a_damaged_one_does_not() {
        let head = Head {
            log_id: 1,
            boot: 2,
            generation: 3,
            tail: 4,
            recorded: 5,
            sequence: 6,
            base: 7,
            largest: 8,
        };
        let mut bytes = head.encode();
        assert_eq!(Head::parse(&bytes), Some(head));
        bytes[20] ^= 1;
        assert_eq!(Head::parse(&bytes), None);
        assert_eq!(Head::parse(&[]), None);
    }

    #[test]
    fn a_log_is_known_by_its_first_sector() {
        assert_eq!(parse_log_id(&encode_log_id(9)), Some(9));
        for bytes in [&[0; 512][..], &[7; 512], b""] {
            assert_eq!(parse_log_id(bytes), None);
        }
    }
}
