//! The steps that change files, for commits and recovery alike.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::digest::{Sha256Digest, digest};
use crate::disk::{Disk, FileKind, Identity, OpenJournal, ignore_absence};
use crate::documents::DEFAULT_MODE;
use crate::error::Failure;
use crate::journal::is_absence;

/// Prefix of temporaries in the store folder.
const TEMPORARY: &str = "tmp-";
/// Lists temporaries that lie beside their targets, NUL-separated.
const BESIDE: &str = "beside";
/// Attempts to put a foreign edit back that came in between.
const EXCHANGES: usize = 3;

/// What a document is believed to be before it is replaced or removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    pub(crate) digest: Sha256Digest,
    /// Saves reading it again, if it was looked at in this process.
    pub(crate) identity: Option<Identity>,
}

/// Whether a step found what it expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Done,
    /// Someone else's edit came in between; it was left in place.
    Foreign,
}

/// Puts `temporary` in the place of `target`, which should be `before`
/// (`None`: no file). The temporary is gone afterwards.
pub(crate) fn install(
    disk: &dyn Disk,
    temporary: &Path,
    target: &Path,
    before: Option<&Before>,
) -> Result<Step, Failure> {
    let failed = || Failure::at("replace", target);
    if let Some(before) = before {
        match disk.exchange(temporary, target) {
            Ok(()) => return settle_exchange(disk, temporary, target, before),
            // Removed meanwhile: the same as if it had not been there.
            Err(error) if is_absence(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return replace_plainly(disk, temporary, target, before);
            }
            Err(error) => return Err(failed()(error)),
        }
    }
    match disk.rename_new(temporary, target) {
        Ok(()) => Ok(Step::Done),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(temporary)
                .map_err(Failure::at("remove", temporary))?;
            Ok(Step::Foreign)
        }
        Err(error) => Err(failed()(error)),
    }
}

/// After an exchange: what came out must be `before`, else it goes back.
fn settle_exchange(
    disk: &dyn Disk,
    temporary: &Path,
    target: &Path,
    before: &Before,
) -> Result<Step, Failure> {
    let mut step = Step::Done;
    let mut ours = None;
    for _ in 0..EXCHANGES {
        let expected = ours.unwrap_or(*before);
        if is_still(disk, temporary, &expected).map_err(Failure::at("read", temporary))? {
            break;
        }
        let installed = disk.read(target).map_err(Failure::at("read", target))?;
        disk.exchange(temporary, target)
            .map_err(Failure::at("replace", target))?;
        ours = Some(Before {
            digest: digest(&installed),
            identity: None,
        });
        step = Step::Foreign;
    }
    disk.remove(temporary)
        .map_err(Failure::at("remove", temporary))?;
    Ok(step)
}

/// Without an atomic exchange: look, then rename over it.
fn replace_plainly(
    disk: &dyn Disk,
    temporary: &Path,
    target: &Path,
    before: &Before,
) -> Result<Step, Failure> {
    if is_still(disk, target, before).map_err(Failure::at("read", target))? {
        disk.rename(temporary, target)
            .map_err(Failure::at("replace", target))?;
        return Ok(Step::Done);
    }
    disk.remove(temporary)
        .map_err(Failure::at("remove", temporary))?;
    Ok(Step::Foreign)
}

/// Whether the file at `path` is what was seen before.
fn is_still(disk: &dyn Disk, path: &Path, before: &Before) -> io::Result<bool> {
    let found = disk.info(path)?;
    if before.identity.is_some() && found.map(|f| f.identity) == before.identity {
        return Ok(true);
    }
    let is_file = found.is_some_and(|f| f.kind == FileKind::Regular);
    Ok(is_file && digest(&disk.read(path)?) == before.digest)
}

/// Removes the file at `path` if it is still `before`.
pub(crate) fn remove(disk: &dyn Disk, path: &Path, before: &Before) -> Result<Step, Failure> {
    if disk
        .info(path)
        .map_err(Failure::at("look at", path))?
        .is_none()
    {
        return Ok(Step::Done);
    }
    if !is_still(disk, path, before).map_err(Failure::at("read", path))? {
        return Ok(Step::Foreign);
    }
    ignore_absence(disk.remove(path)).map_err(Failure::at("remove", path))?;
    Ok(Step::Done)
}

/// Appends `rows[done..]` to a journal that was `length` bytes long and ends
/// with `rows[..done]`.
///
/// Others append too, without any lock. If they split a row of ours, or ours
/// is stuck to a line that they did not finish, that row (the others are
/// lines of their own) is appended again as a whole line: at most twice, then
/// with a newline of its own in front.
pub(crate) fn append_rows(
    disk: &dyn Disk,
    journal: &OpenJournal,
    length: u64,
    rows: &[u8],
    done: usize,
) -> Result<(), Failure> {
    let path = &journal.path;
    let append = |bytes: &[u8]| {
        disk.append(journal, bytes, DEFAULT_MODE)
            .map_err(Failure::at("append to", path))
    };
    let line = memchr::memrchr(b'\n', &rows[..done]).map_or(0, |at| at + 1);
    let appended = append(&rows[done..])?;
    let is_whole = if line == done {
        appended.at_line_start
    } else {
        appended.start == length
    };
    if is_whole {
        return Ok(());
    }
    let end = memchr::memchr(b'\n', &rows[line..]).map_or(rows.len(), |at| line + at + 1);
    let row = &rows[line..end];
    // What is unfinished is ended, not cut off: whoever is writing right now
    // would lose what they write meanwhile.
    let on_new_line = [b"\n", row].concat();
    let is_ended = ends_with_a_line(disk, path).map_err(Failure::at("read", path))?;
    if is_ended && append(row)?.at_line_start {
        return Ok(());
    }
    // If it is stuck again: rather a blank line than a third time.
    append(&on_new_line).map(|_| ())
}

fn ends_with_a_line(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    let length = disk.info(path)?.map_or(0, |found| found.identity.length);
    let Some(last) = length.checked_sub(1) else {
        return Ok(true);
    };
    Ok(disk.read_range(path, last, 1)? == b"\n")
}

/// Moves an unterminated tail, `row` without its final newline, from
/// `length` on in `journal` to the end of `torn`.
pub(crate) fn cut_torn_tail(
    disk: &dyn Disk,
    journal: &Path,
    length: u64,
    torn: &Path,
    row: &[u8],
) -> Result<(), Failure> {
    disk.append(&OpenJournal::at(torn), row, DEFAULT_MODE)
        .map_err(Failure::at("append to", torn))?;
    let tail = &row[..row.len().saturating_sub(1)];
    change_region(disk, journal, length, tail, b"")
}

/// Makes the bytes from `keep` to the end of a file, which are `old`, be
/// `new`, without ever touching bytes that someone adds meanwhile.
pub(crate) fn change_region(
    disk: &dyn Disk,
    path: &Path,
    keep: u64,
    old: &[u8],
    new: &[u8],
) -> Result<(), Failure> {
    let shared = old.len().min(new.len());
    let mut common = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    if common < shared && is_torn_version(&old[..shared], &new[..shared]) {
        // Only lost sectors differ: filled in place.
        let at = keep + common as u64;
        disk.write_at(path, at, &new[common..shared])
            .map_err(Failure::at("write", path))?;
        common = shared;
    }
    if common < old.len() {
        let found = disk.info(path).map_err(Failure::at("look at", path))?;
        let length = found.map_or(0, |f| f.identity.length);
        if length == keep + old.len() as u64 {
            disk.truncate(path, keep + common as u64)
                .map_err(Failure::at("cut", path))?;
        }
    }
    if common < new.len() {
        let journal = OpenJournal::at(path);
        append_rows(disk, &journal, keep + common as u64, new, common)?;
    }
    Ok(())
}

/// Whether `found` is what a power loss can leave of `whole`: a beginning of
/// it, in which some bytes are zero.
pub(crate) fn is_torn_version(found: &[u8], whole: &[u8]) -> bool {
    found.len() <= whole.len() && found.iter().zip(whole).all(|(f, w)| f == w || *f == 0)
}

/// Makes `folder` and those above it, as far as they are missing.
pub(crate) fn make_folders(disk: &dyn Disk, folder: &Path) -> Result<(), Failure> {
    const FOLDER_MODE: u32 = 0o755;
    let missing = |path: &&Path| !matches!(disk.info(path), Ok(Some(_)));
    let mut needed: Vec<&Path> = folder.ancestors().take_while(missing).collect();
    while let Some(path) = needed.pop() {
        disk.create_folder(path, FOLDER_MODE)
            .map_err(Failure::at("create", path))?;
    }
    Ok(())
}

/// New contents waiting to be installed: in the store folder where that is
/// the same file system, else beside their targets. The store folder lists
/// those, so that the next commit can clean up after a kill.
#[derive(Debug)]
pub(crate) struct Temporaries<'a> {
    disk: &'a dyn Disk,
    store_dir: &'a Path,
    name: u128,
    made: Vec<PathBuf>,
    devices: BTreeMap<PathBuf, Option<u64>>,
}

impl<'a> Temporaries<'a> {
    /// None so far. Names are never used twice, so that a power loss that
    /// undoes some renames but not others cannot mix documents up.
    pub(crate) fn new(disk: &'a dyn Disk, store_dir: &'a Path) -> Self {
        Self {
            disk,
            store_dir,
            name: disk.random_id(),
            made: Vec::new(),
            devices: BTreeMap::new(),
        }
    }

    /// Writes the new content of `target`.
    pub(crate) fn create(
        &mut self,
        target: &Path,
        bytes: &[u8],
        mode: u32,
    ) -> Result<PathBuf, Failure> {
        let folder = target.parent().unwrap_or(Path::new("/"));
        let path = if self.device(folder)? == self.device(self.store_dir)? {
            self.store_dir
                .join(format!("{TEMPORARY}{:032x}-{}", self.name, self.made.len()))
        } else {
            self.beside(target)?
        };
        self.made.push(path.clone());
        self.disk
            .create(&path, bytes, mode)
            .map_err(Failure::at("write", &path))?;
        Ok(path)
    }

    fn device(&mut self, folder: &Path) -> Result<Option<u64>, Failure> {
        if let Some(known) = self.devices.get(folder) {
            return Ok(*known);
        }
        // Links are followed: what counts is where the files would lie.
        let found = self
            .disk
            .resolve(folder)
            .and_then(|folder| self.disk.info(&folder));
        let device = found
            .map_err(Failure::at("look at", folder))?
            .map(|info| info.device);
        self.devices.insert(folder.to_owned(), device);
        Ok(device)
    }

    fn beside(&self, target: &Path) -> Result<PathBuf, Failure> {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(
            ".om-{TEMPORARY}{:032x}-{}",
            self.name,
            self.made.len()
        ));
        let path = target.with_file_name(name);
        let list = self.store_dir.join(BESIDE);
        let mut entry = path.as_os_str().as_bytes().to_vec();
        entry.push(0);
        self.disk
            .append(&OpenJournal::at(&list), &entry, 0o600)
            .map_err(Failure::at("append to", &list))?;
        Ok(path)
    }

    /// Removes what was not installed.
    pub(crate) fn discard(self) {
        for path in self.made {
            // What cannot be removed now is removed by the next commit.
            let _ = self.disk.remove(&path);
        }
    }
}

/// Removes temporaries that a killed process left.
pub(crate) fn sweep(disk: &dyn Disk, store_dir: &Path) -> Result<(), Failure> {
    for name in disk
        .list(store_dir)
        .map_err(Failure::at("list", store_dir))?
    {
        let path = store_dir.join(&name);
        if name.as_bytes().starts_with(TEMPORARY.as_bytes()) {
            ignore_absence(disk.remove(&path)).map_err(Failure::at("remove", &path))?;
        } else if name == BESIDE {
            let list = disk.read(&path).map_err(Failure::at("read", &path))?;
            for entry in list
                .split(|byte| *byte == 0)
                .filter(|entry| !entry.is_empty())
            {
                let temporary = PathBuf::from(OsString::from_vec(entry.to_vec()));
                ignore_absence(disk.remove(&temporary))
                    .map_err(Failure::at("remove", &temporary))?;
            }
            ignore_absence(disk.remove(&path)).map_err(Failure::at("remove", &path))?;
        }
    }
    Ok(())
}
