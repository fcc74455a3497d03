//! Applying a recorded commit: directly after it was recorded, or later by
//! recovery.

use std::path::Path;

use crate::commit::ForeignEdit;
use crate::digest::digest;
use crate::disk::{Disk, ignore_absence};
use crate::error::Failure;
use crate::perform::{
    Before, Step, Temporaries, append_rows, change_region, cut_torn_tail, install, make_folders,
    remove,
};
use crate::plan::{Plan, Planned};
use crate::record::{DocumentEntry, torn_path};
use crate::replay::{Content, Replay, Virtual};

/// Applies a commit that was just recorded: rows, documents, renames,
/// removals, and the documents marked `last`.
pub(crate) fn apply_plan(
    disk: &dyn Disk,
    scope_dir: &Path,
    plan: &Plan,
) -> Result<Vec<ForeignEdit>, Failure> {
    let mut foreign = Vec::new();
    apply_rows(disk, plan)?;
    install_documents(disk, plan, |entry| !entry.last, &mut foreign)?;
    for entry in &plan.pass.moves {
        let (from, to) = (entry.from.under(scope_dir), entry.to.under(scope_dir));
        disk.rename(&from, &to)
            .map_err(Failure::at("rename", &from))?;
    }
    for Planned { target, before, .. } in &plan.removals {
        if let Some(before) = before
            && remove(disk, target, before)? == Step::Foreign
        {
            foreign.push(slipped_in(target));
        }
    }
    install_documents(disk, plan, |entry| entry.last, &mut foreign)?;
    Ok(foreign)
}

fn apply_rows(disk: &dyn Disk, plan: &Plan) -> Result<(), Failure> {
    let pass = &plan.pass;
    for (entry, journal) in pass.journals.iter().zip(&plan.journals) {
        if let Some(torn) = &entry.torn {
            cut_torn_tail(
                disk,
                &journal.path,
                entry.length,
                &torn_path(&journal.path),
                pass.bytes(torn.row),
            )?;
        }
        append_rows(disk, journal, entry.length, pass.bytes(entry.rows), 0)?;
    }
    Ok(())
}

fn install_documents(
    disk: &dyn Disk,
    plan: &Plan,
    which: impl Fn(&DocumentEntry) -> bool,
    foreign: &mut Vec<ForeignEdit>,
) -> Result<(), Failure> {
    for (entry, planned) in plan.pass.documents.iter().zip(&plan.documents) {
        if which(entry)
            && install(
                disk,
                &planned.temporary,
                &planned.target,
                planned.before.as_ref(),
            )? == Step::Foreign
        {
            foreign.push(slipped_in(&planned.target));
        }
    }
    Ok(())
}

fn slipped_in(path: &Path) -> ForeignEdit {
    ForeignEdit {
        path: path.to_owned(),
        what: "it was edited at the moment of a commit; the edit stays",
    }
}

/// Performs what a replay found missing.
pub(crate) fn repair(
    disk: &dyn Disk,
    store_dir: &Path,
    replay: &Replay,
) -> Result<Vec<ForeignEdit>, Failure> {
    let mut foreign = replay.foreign();
    for (from, to) in &replay.moves {
        // Not there any more: someone was faster, and their edit counts.
        ignore_absence(disk.rename(from, to)).map_err(Failure::at("rename", from))?;
    }
    let mut temporaries = Temporaries::new(disk, store_dir);
    // `.torn` files first: what is cut off elsewhere has to be there.
    let is_torn = |path: &Path| {
        path.extension()
            .is_some_and(|extension| extension == "torn")
    };
    let (torn, others): (Vec<_>, Vec<_>) = replay
        .files
        .iter()
        .filter(|(_, file)| file.now != file.on_disk)
        .partition(|(path, _)| is_torn(path));
    for (path, file) in torn.into_iter().chain(others) {
        if repair_file(disk, path, file, &mut temporaries)? == Step::Foreign {
            foreign.push(slipped_in(path));
        }
    }
    Ok(foreign)
}

fn repair_file(
    disk: &dyn Disk,
    path: &Path,
    file: &Virtual,
    temporaries: &mut Temporaries<'_>,
) -> Result<Step, Failure> {
    if let Some(folder) = path.parent() {
        make_folders(disk, folder)?;
    }
    let before = match &file.on_disk {
        Content::Bytes(region) => Some(Before {
            digest: digest(&region.bytes),
            identity: None,
        }),
        Content::Absent | Content::Opaque => None,
    };
    match (&file.on_disk, &file.now) {
        (_, Content::Opaque) => Ok(Step::Done),
        (_, Content::Absent) => before.map_or(Ok(Step::Done), |before| remove(disk, path, &before)),
        (Content::Bytes(old), Content::Bytes(new)) if file.is_journal && old.keep == new.keep => {
            change_region(disk, path, old.keep, &old.bytes, &new.bytes)?;
            Ok(Step::Done)
        }
        (Content::Absent, Content::Bytes(new)) if file.is_journal => {
            change_region(disk, path, 0, b"", &new.bytes)?;
            Ok(Step::Done)
        }
        (_, Content::Bytes(new)) => {
            let temporary = temporaries.create(path, &new.bytes, file.mode)?;
            install(disk, &temporary, path, before.as_ref())
        }
    }
}
