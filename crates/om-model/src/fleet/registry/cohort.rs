//! Which loops a canary share chooses (chapter 06 §1.4.3).

/// Buckets are 0 to this minus one.
pub const BUCKETS: u32 = 100;

const MULTIPLIER: u32 = 31;
const MODULUS: u32 = 1_000_003;
const START: u32 = 17;

/// The bucket of a loop, 0 to 99: a share of `p` percent chooses the buckets
/// below `p`. It depends on nothing but the two texts, whose Unicode code
/// points are hashed.
pub fn cohort_bucket(loop_id: &str, salt: &str) -> u8 {
    let seed = loop_id.chars().chain(['|']).chain(salt.chars());
    let hash = seed.fold(START, |hash, character| {
        // Below 31 · 1,000,003 + 1,114,112: no overflow.
        (MULTIPLIER * hash + u32::from(character)) % MODULUS
    });
    u8::try_from(hash % BUCKETS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_vectors() {
        for (loop_id, salt, bucket) in [
            ("", "", 51),
            ("a", "b", 6),
            ("orchid", "fleet-autonomous-rollout-v1", 8),
            ("harbor-2", "fleet-autonomous-rollout-v1", 25),
            ("north-7", "wave-2", 21),
            ("Ünit", "s1", 17),
            ("🚀", "s", 74),
        ] {
            assert_eq!(cohort_bucket(loop_id, salt), bucket, "{loop_id}|{salt}");
        }
    }
}
