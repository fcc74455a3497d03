//! Loop ids in trace ids (chapter 05 §2.4; decision D4).

use std::collections::HashMap;

/// Rounds of telling equal slugs apart; ids that are themselves equal stay
/// equal.
const ROUNDS: usize = 4;

/// `id` with every character outside `A–Z a–z 0–9 . _ -` replaced by `-`.
pub fn trace_slug(id: &str) -> String {
    let kept = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    id.chars().map(|c| if kept(c) { c } else { '-' }).collect()
}

/// The slugs of all loops of a registry, in order. Different ids with the
/// same slug each get a short hash of their id behind it.
pub fn trace_slugs<'a>(ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let ids: Vec<&str> = ids.into_iter().collect();
    let mut slugs: Vec<String> = ids.iter().map(|id| trace_slug(id)).collect();
    for _ in 0..ROUNDS {
        let shared = shared(&slugs, &ids);
        if shared.is_empty() {
            break;
        }
        for index in shared {
            slugs[index] = format!("{}-{:08x}", slugs[index], short_hash(ids[index]));
        }
    }
    slugs
}

/// The positions whose slug also stands for another id.
fn shared(slugs: &[String], ids: &[&str]) -> Vec<usize> {
    let mut owners: HashMap<&str, (usize, bool)> = HashMap::new();
    for (index, slug) in slugs.iter().enumerate() {
        let (first, others) = owners.entry(slug).or_insert((index, false));
        *others |= ids[*first] != ids[index];
    }
    let ambiguous = |slug: &String| owners.get(slug.as_str()).is_some_and(|(_, others)| *others);
    (0..slugs.len())
        .filter(|index| ambiguous(&slugs[*index]))
        .collect()
}

/// FNV-1a, folded to 32 bits: stable, and enough to tell a few ids apart.
fn short_hash(id: &str) -> u32 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from((hash >> 32) ^ (hash & 0xffff_ffff)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_keeps_what_every_tool_accepts() {
        assert_eq!(trace_slug("a.b_c-9"), "a.b_c-9");
        assert_eq!(trace_slug("a b/ü🚀"), "a-b---");
    }

    #[test]
    fn slugs_that_do_not_collide_stay_as_they_are() {
        assert_eq!(trace_slugs(["a b", "c", "a_b"]), ["a-b", "c", "a_b"]);
    }

    #[test]
    fn slugs_that_collide_are_told_apart() {
        let slugs = trace_slugs(["a b", "c", "a-b", "a:b"]);
        assert_eq!(slugs[1], "c");
        for (index, slug) in slugs.iter().enumerate() {
            assert_eq!(slugs.iter().filter(|other| *other == slug).count(), 1);
            if index != 1 {
                assert!(slug.starts_with("a-b-"), "{slug}");
                assert_eq!(slug.len(), "a-b-01234567".len(), "{slug}");
            }
        }
    }

    #[test]
    fn a_hash_that_meets_another_slug_is_extended() {
        let first = trace_slugs(["a b", "a-b"]);
        let again = trace_slugs(["a b", "a-b", first[0].as_str()]);
        assert_eq!(
            again.len(),
            again
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            "{again:?}"
        );
    }

    #[test]
    fn equal_ids_have_equal_slugs() {
        assert_eq!(trace_slugs(["a b", "a b"]), ["a-b", "a-b"]);
    }
}
