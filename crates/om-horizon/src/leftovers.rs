//! What earlier runs left: claims in flight, and files that somebody went on
//! writing after they had been taken.
//!
//! Claims in flight are those of scripts that died, and of files that were
//! set aside. Whoever had a file open when it was renamed goes on writing into
//! the claim; for an hour the rest is looked for there.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use om_control::owner::process_lives;
use om_model::Timestamp;
use om_model::horizon::WatchedClaim;

use crate::error::HorizonError;
use crate::gather::{Content, regular_files};
use crate::run::Start;

/// How long a file is watched, in seconds.
const WATCHED_SECONDS: u64 = 3_600;

/// From this age on a claim in flight is nobody's, in nanoseconds: its process
/// id belongs to somebody else by now.
const STALE_NANOSECONDS: u128 = 600 * 1_000_000_000;

/// Claims in flight that no living run is about to finish, relative to
/// `inflight`.
pub(crate) fn stale_claims(inflight: &Path, start: &Start) -> Result<Vec<PathBuf>, HorizonError> {
    regular_files(inflight, &|name| is_stale(name, start))
}

/// By the name `<rel>.claim.<nanoseconds>.<process>`; others are not claims.
fn is_stale(name: &OsStr, start: &Start) -> bool {
    let parsed = || {
        let (rest, pid) = name.to_str()?.rsplit_once('.')?;
        let (rest, nanoseconds) = rest.rsplit_once('.')?;
        let pid: u32 = pid.parse().ok()?;
        let nanoseconds: u128 = nanoseconds.parse().ok()?;
        let (_, mark) = rest.rsplit_once('.')?;
        (mark == "claim").then_some((nanoseconds, pid))
    };
    parsed().is_some_and(|(nanoseconds, pid)| {
        // Nobody else runs as long as we hold the lock.
        let is_ours = pid == start.pid;
        let is_old = start.nanoseconds.abs_diff(nanoseconds) >= STALE_NANOSECONDS;
        is_ours || is_old || !process_lives(pid, None)
    })
}

/// A watched file as it is now.
#[derive(Debug)]
pub(crate) enum Watched {
    /// It is not watched any longer.
    Gone,
    /// Nothing new.
    Still,
    /// Somebody may still be writing its last line.
    Unsettled,
    /// These bytes are new.
    Grown(Vec<u8>),
}

/// Looks at a watched file below `claims`.
pub(crate) fn look_at(
    watched: &WatchedClaim,
    claims: &Path,
    now: Timestamp,
    clock: SystemTime,
) -> Result<Watched, HorizonError> {
    let is_over = now.seconds_since(watched.since) >= WATCHED_SECONDS;
    if is_over || !is_plain(&watched.file) {
        return Ok(Watched::Gone);
    }
    let path = claims.join(&watched.file);
    let length = match path.symlink_metadata() {
        Ok(found) if found.is_file() => found.len(),
        _ => return Ok(Watched::Gone),
    };
    if length < watched.bytes {
        return Ok(Watched::Gone);
    }
    if length == watched.bytes {
        return Ok(Watched::Still);
    }
    Ok(match Content::read(&path, watched.bytes)? {
        None => Watched::Gone,
        Some(content) if content.is_settled(clock) => Watched::Grown(content.bytes),
        Some(_) => Watched::Unsettled,
    })
}

/// Whether a path leads down, and nowhere else.
fn is_plain(path: &str) -> bool {
    let is_name = |component| matches!(component, Component::Normal(_));
    Path::new(path).components().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_stale_if_its_run_is_over() {
        let start = Start {
            clock: SystemTime::UNIX_EPOCH,
            nanoseconds: 5_000_000_000_000,
            pid: 7,
        };
        let recent = start.nanoseconds - 1;
        let alive = std::process::id();
        for (name, expected) in [
            (format!("a.jsonl.claim.{recent}.7"), true),
            (format!("a.jsonl.claim.{recent}.{alive}"), false),
            (format!("a.jsonl.claim.1.{alive}"), true),
            (format!("a.jsonl.claim.{recent}.4194305"), true),
            ("a.jsonl".to_owned(), false),
            (format!("a.jsonl.claim.{recent}.x"), false),
            (format!("a.jsonl.{recent}.7"), false),
        ] {
            assert_eq!(is_stale(OsStr::new(&name), &start), expected, "{name}");
        }
    }

    #[test]
    fn only_paths_that_lead_down_are_watched() {
        assert!(is_plain("processed/a/b.jsonl.claim.1.2"));
        assert!(!is_plain("/etc/passwd") && !is_plain("processed/../../x"));
    }
}
