//! Many scopes' commits with one durable write.
//!
//! Each member's record goes into its own log, unsynced, and a copy of all of
//! them into the fleet's group log, which is synced once. A kill leaves the
//! records in the scopes' own logs; after a power loss recovery completes
//! those from the group log. So a scope's history has one place and one
//! order, whichever way it was committed. Before the group log starts anew,
//! the logs that it completes are made durable.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain::{GROUP, GroupIndex, MemberEntry};
use crate::commit::{Commit, GroupResult, MAX_GROUP, Receipt};
use crate::error::{CommitError, Failure};
use crate::log::{AppendError, Extent, Found, Log};
use crate::perform::Temporaries;
use crate::plan::{Plan, plan};
use crate::record::{Span, StoredPath};
use crate::scope::{STORE_LOCK_WAIT, Scope, Session, settle};

/// A process may have far fewer files open than a group has journals: they
/// are checked, and opened again to be appended to.
const OPEN_JOURNALS: usize = 0;

/// Commits up to [`MAX_GROUP`] scopes with one durable write; results in the
/// order of `members`.
///
/// Each member is its own atomic commit: one whose precondition does not hold
/// fails alone. Takes the fleet's store lock, then those of the members in
/// the order of their folders.
#[expect(
    clippy::needless_pass_by_value,
    reason = "commits are spent by committing them"
)]
pub fn commit_group(fleet: &Scope, members: Vec<(Scope, Commit)>) -> Vec<GroupResult> {
    if members.len() > MAX_GROUP {
        let found = members.len();
        return members
            .iter()
            .map(|_| Err(CommitError::GroupTooLarge { found }))
            .collect();
    }
    let mut results: Vec<Option<GroupResult>> = members.iter().map(|_| None).collect();
    if let Err(error) = run(fleet, &members, &mut results) {
        for result in results.iter_mut().filter(|result| result.is_none()) {
            *result = Some(Err(copy(&error)));
        }
    }
    // Every member got a result, or the error of the whole group.
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Ok(Receipt::default())))
        .collect()
}

/// One member on its way.
struct Member<'a> {
    position: usize,
    session: Session<'a>,
    plan: Plan,
}

fn run(
    fleet: &Scope,
    members: &[(Scope, Commit)],
    results: &mut [Option<GroupResult>],
) -> Result<(), CommitError> {
    let disk = &*fleet.disk;
    let store_dir = fleet.store_dir();
    let _held = disk.lock(&store_dir.join("store.lock"), STORE_LOCK_WAIT)?;
    let mut group = open_group_log(fleet, &store_dir)?;
    let sessions = open_sessions(members, results)?;
    let mut planned = plan_members(members, sessions, results);
    let mut index = GroupIndex::default();
    let mut body = Vec::new();
    planned.retain_mut(
        |member| match record_member(fleet, member, &mut index, &mut body) {
            Ok(()) => true,
            Err(error) => {
                discard(&members[member.position].0, &member.plan);
                results[member.position] = Some(Err(error));
                false
            }
        },
    );
    if planned.is_empty() {
        return Ok(());
    }
    // Only strings, numbers and lists: serialising cannot fail.
    let index = serde_json::to_vec(&index).unwrap_or_default();
    let record = group.encode_next(&index, &body);
    if let Err(error) = group.append(record, true) {
        return Err(take_back(members, &mut planned, error));
    }
    group.mark_applied();
    for member in planned {
        results[member.position] = Some(member.session.apply(&member.plan));
    }
    Ok(())
}

/// The group log, with room for another record.
fn open_group_log(fleet: &Scope, store_dir: &Path) -> Result<Log, CommitError> {
    let (mut log, found) = match Log::open(&fleet.disk, store_dir, GROUP)? {
        Some(opened) => opened,
        None => (Log::create(&fleet.disk, store_dir, GROUP)?, Found::Unknown),
    };
    match found {
        // The members have the records in their own logs.
        Found::Clean | Found::Damaged => {}
        Found::Unapplied(record) => log.mark_found_applied(record.header.padded_length()),
        Found::Unknown => {
            recover_members(fleet, &log)?;
            // Without a head it is not certain that the log itself would
            // survive: whoever made it may have been killed then.
            let mut paths = vec![log.path().to_owned(), store_dir.to_owned()];
            paths.extend(fleet.dir().ancestors().take(4).map(Path::to_owned));
            restart_log(fleet, &mut log, &paths)?;
        }
    }
    if log.is_full(fleet.checkpoint_bytes) {
        let paths: Vec<_> = members_of(fleet, &log)?.into_keys().collect();
        restart_log(fleet, &mut log, &paths)?;
    }
    Ok(log)
}

/// Starts the group log anew once `paths` are durable.
fn restart_log(fleet: &Scope, log: &mut Log, paths: &[PathBuf]) -> Result<(), CommitError> {
    fleet
        .disk
        .sync_all(paths)
        .map_err(Failure::at("sync", log.path()))?;
    log.recycle(0)?;
    log.shrink();
    Ok(())
}

/// The logs that a group log completes, with their identities.
fn members_of(fleet: &Scope, log: &Log) -> Result<BTreeMap<PathBuf, String>, CommitError> {
    let mut logs = BTreeMap::new();
    for record in log.records(Extent::IndexOnly)? {
        let index = serde_json::from_slice::<GroupIndex>(&record.index).unwrap_or_default();
        for member in index.members {
            logs.insert(member.log.under(fleet.dir()), member.log_id);
        }
    }
    Ok(logs)
}

/// After a reboot: the members' own logs may lack what the group log has, so
/// they are recovered before it is used again.
fn recover_members(fleet: &Scope, log: &Log) -> Result<(), CommitError> {
    let mut scopes = Vec::new();
    for (path, log_id) in members_of(fleet, log)? {
        // A log that someone removed stays removed.
        let first = fleet
            .disk
            .read_range(&path, 0, crate::frame::SECTOR)
            .unwrap_or_default();
        let is_same =
            crate::frame::parse_log_id(&first).is_some_and(|id| format!("{id:032x}") == log_id);
        if let Some(dir) = path.parent().and_then(Path::parent).filter(|_| is_same) {
            scopes.push(Scope::open_on(
                dir,
                Arc::clone(&fleet.disk),
                fleet.checkpoint_bytes,
            )?);
        }
    }
    for scopes in scopes.chunks(MAX_GROUP) {
        let mut sessions = scopes
            .iter()
            .map(Session::open)
            .collect::<Result<Vec<_>, _>>()?;
        settle(&mut sessions.iter_mut().collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Locks and recovers the members, in the order of their folders.
fn open_sessions<'a>(
    members: &'a [(Scope, Commit)],
    results: &mut [Option<GroupResult>],
) -> Result<Vec<(usize, Session<'a>)>, CommitError> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|position| members[*position].0.dir());
    let mut sessions: Vec<(usize, Session<'a>)> = Vec::new();
    for position in order {
        let scope = &members[position].0;
        let opened = if sessions
            .last()
            .is_some_and(|(_, last)| last.scope.dir() == scope.dir())
        {
            Err(CommitError::Conflict {
                path: scope.dir().to_owned(),
            })
        } else {
            Session::open(scope)
        };
        let opened = opened.and_then(|mut session| session.make_room().map(|()| session));
        match opened {
            Ok(session) => sessions.push((position, session)),
            Err(error) => results[position] = Some(Err(error)),
        }
    }
    settle(
        &mut sessions
            .iter_mut()
            .map(|(_, session)| session)
            .collect::<Vec<_>>(),
    )?;
    Ok(sessions)
}

fn plan_members<'a>(
    members: &[(Scope, Commit)],
    sessions: Vec<(usize, Session<'a>)>,
    results: &mut [Option<GroupResult>],
) -> Vec<Member<'a>> {
    let mut planned = Vec::new();
    for (position, session) in sessions {
        let (scope, commit) = &members[position];
        let store_dir = scope.store_dir();
        let mut temporaries = Temporaries::new(&*scope.disk, &store_dir);
        match plan(
            &*scope.disk,
            scope.dir(),
            commit,
            &mut temporaries,
            OPEN_JOURNALS,
        ) {
            Ok(_) if commit.is_empty() => {
                results[position] = Some(Ok(Receipt {
                    foreign: session.foreign,
                }));
            }
            Ok(plan) => planned.push(Member {
                position,
                session,
                plan,
            }),
            Err(error) => {
                temporaries.discard();
                results[position] = Some(Err(error));
            }
        }
    }
    planned
}

/// Writes a member's record into its own log and its copy into the group's.
fn record_member(
    fleet: &Scope,
    member: &mut Member<'_>,
    index: &mut GroupIndex,
    body: &mut Vec<u8>,
) -> Result<(), CommitError> {
    let log = &mut member.session.log;
    let record = log.encode_next(&member.plan.pass.index(), &member.plan.pass.body);
    let span = Span {
        start: body.len(),
        length: record.len(),
    };
    body.extend_from_slice(&record);
    if let Err(error) = log.append(record, false) {
        body.truncate(span.start);
        return Err(error.into());
    }
    let log_id = format!("{:032x}", log.head().log_id);
    index.members.push(MemberEntry {
        log_id,
        log: StoredPath::new(fleet.dir(), log.path()),
        record: span,
    });
    Ok(())
}

/// The group could not be recorded: the members' own records go again.
fn take_back(
    members: &[(Scope, Commit)],
    planned: &mut [Member<'_>],
    error: AppendError,
) -> CommitError {
    let mut in_doubt = matches!(error, AppendError::InDoubt(_));
    for member in planned {
        discard(&members[member.position].0, &member.plan);
        in_doubt |= !member.session.log.retract();
    }
    let (AppendError::Undone(failure) | AppendError::InDoubt(failure)) = error;
    if in_doubt {
        failure.after_record()
    } else {
        failure.into()
    }
}

fn discard(scope: &Scope, plan: &Plan) {
    for document in &plan.documents {
        // What cannot be removed now is removed by the next commit.
        let _ = scope.disk.remove(&document.temporary);
    }
}

/// The same error for another member.
fn copy(error: &CommitError) -> CommitError {
    let again = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
    match error {
        CommitError::Io {
            action,
            path,
            source,
        } => CommitError::Io {
            action,
            path: path.clone(),
            source: again(source),
        },
        CommitError::RecoveryBlocked { path, source } => CommitError::RecoveryBlocked {
            path: path.clone(),
            source: again(source),
        },
        CommitError::ApplyIncomplete {
            action,
            path,
            source,
        } => CommitError::ApplyIncomplete {
            action,
            path: path.clone(),
            source: again(source),
        },
        other => CommitError::Group(other.to_string()),
    }
}
