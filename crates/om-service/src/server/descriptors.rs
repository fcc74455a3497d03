//! How many connections the descriptor limit allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are kept for files, children and their pipes.
const RESERVE: u64 = 512;

/// The soft limit is not raised beyond this: some children close every
/// descriptor that the limit allows.
const ENOUGH: u64 = 16_384;

/// `wanted`, or as many connections as the limit of open files allows. The
/// soft limit is raised as far as the hard one allows first.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    // No limit is the greatest.
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let soft = limit.current.unwrap_or(u64::MAX);
    let raised = hard.min(ENOUGH).max(soft);
    let new = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    let available = match setrlimit(Resource::Nofile, new) {
        Ok(()) => raised,
        Err(error) => {
            tracing::debug!(%error, soft, "the limit of open files stays");
            soft
        }
    };
    allowed(available, wanted)
}

fn allowed(descriptors: u64, wanted: usize) -> usize {
    let reserve = RESERVE.min(descriptors / 2);
    let left = usize::try_from(descriptors - reserve).unwrap_or(usize::MAX);
    wanted.min(left).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_work() {
        for (descriptors, connections) in [
            (20_000, 10_000),
            (1_024, 512),
            (4_096, 3_584),
            (64, 32),
            (1, 1),
            (0, 1),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(allowed(descriptors, 10_000), connections, "{descriptors}");
        }
    }
}
