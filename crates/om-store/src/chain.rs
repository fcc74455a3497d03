//! Which recorded commits may have to be applied again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::error::Failure;
use crate::frame::{self, HEADER, Header};
use crate::log::{Extent, Found, Log, StoredRecord};
use crate::record::{Pass, Span, StoredPath};
use crate::scope::STORE_DIR;

/// Name of a scope's own log.
pub(crate) const REDO: &str = "redo";
/// Name of the fleet's log of group commits.
pub(crate) const GROUP: &str = "group";

/// Commits of one scope, oldest first, that may not be applied.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    /// With their sequences, which increase.
    pub(crate) passes: Vec<(u64, Pass)>,
    /// Up to this sequence, commits were applied before anything happened
    /// (though after a reboot some of it may be lost).
    pub(crate) known_applied: u64,
    /// Whether unsynced writes may be lost.
    pub(crate) rebooted: bool,
    /// The last sequence in use.
    pub(crate) sequence: u64,
    /// Where in the scope's own log there are records that were written
    /// completely, but are damaged, so that their commits are not known.
    pub(crate) damaged: Option<Range<u64>>,
}

/// One scope's record inside a group record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MemberEntry {
    /// Identity of the scope's own log, in hexadecimal.
    pub(crate) log_id: String,
    /// The scope's own log, seen from the fleet scope.
    pub(crate) log: StoredPath,
    /// The record as in the scope's own log.
    pub(crate) record: Span,
}

/// Index of a group record.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct GroupIndex {
    pub(crate) members: Vec<MemberEntry>,
}

/// The commits to examine, given what opening the scope's log found.
pub(crate) fn chain(
    disk: &Arc<dyn Disk>,
    scope_dir: &Path,
    log: &Log,
    found: Found,
) -> Result<Chain, Failure> {
    let head = log.head();
    match found {
        Found::Clean => Ok(Chain {
            sequence: head.sequence,
            known_applied: head.sequence,
            ..Chain::default()
        }),
        Found::Damaged => Ok(Chain {
            sequence: head.sequence,
            known_applied: head.sequence,
            damaged: Some(head.tail..head.recorded),
            ..Chain::default()
        }),
        Found::Unapplied(record) => Ok(Chain {
            passes: parse(record).into_iter().collect(),
            known_applied: head.sequence,
            sequence: head.sequence + 1,
            ..Chain::default()
        }),
        Found::Unknown => all_records(disk, scope_dir, log),
    }
}

/// The records of the scope's own log, completed by those that only the
/// fleet's group log made durable.
fn all_records(disk: &Arc<dyn Disk>, scope_dir: &Path, log: &Log) -> Result<Chain, Failure> {
    let head = log.head();
    let own = log.all_records(Extent::Whole)?;
    let mut records = own.whole;
    for record in mirrored(disk, scope_dir, head.log_id)? {
        if records
            .iter()
            .all(|own| own.header.sequence != record.header.sequence)
        {
            records.push(record);
        }
    }
    records.sort_by_key(|record| record.header.sequence);
    let base = records
        .iter()
        .map(|r| r.header.base)
        .fold(head.base, u64::max);
    records.retain(|record| record.header.sequence > base);
    let last = records.last().map_or(base, |record| record.header.sequence);
    let written = head.sequence + u64::from(head.recorded > head.tail);
    let known: BTreeSet<u64> = records.iter().map(|r| r.header.sequence).collect();
    let is_complete = (base + 1..=written).all(|sequence| known.contains(&sequence));
    Ok(Chain {
        passes: records.into_iter().filter_map(parse).collect(),
        // A record is only written once the one before it is applied.
        known_applied: head.sequence.max(last.saturating_sub(1)),
        rebooted: true,
        sequence: last.max(head.sequence),
        // What a power loss took from this log is in the group's.
        damaged: own.damaged.filter(|_| !is_complete),
    })
}

fn parse(record: StoredRecord) -> Option<(u64, Pass)> {
    let pass = Pass::parse(&record.index, record.body);
    if pass.is_none() {
        tracing::warn!(
            sequence = record.header.sequence,
            "a recorded commit is of an unknown form"
        );
    }
    Some((record.header.sequence, pass?))
}

/// The folder of the fleet scope, beside that of `scope_dir`.
pub(crate) fn fleet_beside(scope_dir: &Path) -> PathBuf {
    scope_dir.with_file_name("fleet")
}

/// The records of the log `log_id` in the group log; of one sequence the
/// latest.
fn mirrored(
    disk: &Arc<dyn Disk>,
    scope_dir: &Path,
    log_id: u128,
) -> Result<Vec<StoredRecord>, Failure> {
    let folder = fleet_beside(scope_dir).join(STORE_DIR);
    let Some((log, _)) = Log::open(disk, &folder, GROUP)? else {
        return Ok(Vec::new());
    };
    let log_id = format!("{log_id:032x}");
    let mut found: Vec<StoredRecord> = Vec::new();
    for group in log.records(Extent::IndexOnly)? {
        let Ok(index) = serde_json::from_slice::<GroupIndex>(&group.index) else {
            continue;
        };
        for member in index
            .members
            .iter()
            .filter(|member| member.log_id == log_id)
        {
            let bytes = log.read_body(&group, member.record.start, member.record.length)?;
            let Some(record) = split(&bytes) else {
                continue;
            };
            found.retain(|earlier| earlier.header.sequence != record.header.sequence);
            found.push(record);
        }
    }
    Ok(found)
}

/// A record from its bytes, if they are whole.
fn split(bytes: &[u8]) -> Option<StoredRecord> {
    let header = Header::parse(bytes)?;
    let rest = &bytes[HEADER..];
    let (index, body) = rest.split_at_checked(usize::try_from(header.index_length).ok()?)?;
    let whole = frame::verify_index(bytes, index) && frame::verify_body(&header, body);
    whole.then(|| StoredRecord {
        header,
        index: index.to_vec(),
        body: body.to_vec(),
        at: 0,
    })
}
