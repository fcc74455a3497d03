//! Whole-file documents: reading them, and replacing a single one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use om_model::Artifact;

use crate::error::{ReadError, WriteError};
use crate::journal::{is_absence, open_and_look};

/// Mode of new files, whatever the umask says (common rules).
pub(crate) const DEFAULT_MODE: u32 = 0o644;

/// The document at `path`, links followed; anything but a regular file is
/// [`Artifact::Absent`].
pub fn read_artifact(path: &Path) -> Result<Artifact, ReadError> {
    Ok(read_bytes(path)?.map_or(Artifact::Absent, |bytes| Artifact::parse(&bytes)))
}

/// The bytes at `path`, links followed; `None` if it is not a regular file.
pub fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    let failed = |source| ReadError::new(path, source);
    let Some((file, found)) = open_and_look(path).map_err(failed)? else {
        return Ok(None);
    };
    let length = usize::try_from(found.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length + 1);
    // The length is known already; a plain `File` would ask for it again.
    let mut rest = file.take(u64::MAX);
    rest.read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Replaces one document outside of any commit: atomic and durable.
///
/// Missing folders are created; a symlink is kept and its target replaced.
/// The existing file's mode stays unless `mode` is given; new files get 0644
/// whatever the umask. What exists and is not a regular file (a folder, a
/// device, a FIFO, a socket) is refused. Files that are part of a scope's
/// commits should be written by [`crate::Scope::commit`], whose recovery
/// knows them.
pub fn replace_document(path: &Path, bytes: &[u8], mode: Option<u32>) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io {
        path: path.to_owned(),
        source,
    };
    let target = resolve(path).map_err(failed)?;
    let mode = match fs::symlink_metadata(&target) {
        Ok(found) if found.is_dir() => return Err(WriteError::Directory(path.to_owned())),
        Ok(found) if !found.is_file() => return Err(WriteError::NotAFile(path.to_owned())),
        Ok(found) => mode.unwrap_or(found.permissions().mode() & 0o7777),
        Err(error) if is_absence(&error) => mode.unwrap_or(DEFAULT_MODE),
        Err(error) => return Err(failed(error)),
    };
    let folder = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let temporary = temporary_beside(&target);
    let written = write_new(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, &target))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // Gone already if the rename was the part that worked.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

/// A name of ours that no operator would choose, unique in this process.
fn temporary_beside(target: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    target.with_file_name(format!(".{name}.om-{}-{count}", std::process::id()))
}

/// The file that writing to `path` is about: the end of a chain of symlinks
/// (which need not exist), or `path` itself.
pub(crate) fn resolve(path: &Path) -> io::Result<PathBuf> {
    const LONGEST_CHAIN: usize = 40;
    let mut at = std::path::absolute(path)?;
    for _ in 0..LONGEST_CHAIN {
        match fs::read_link(&at) {
            Ok(target) => at = at.parent().unwrap_or(Path::new("/")).join(target),
            // Not a link (EINVAL), or nothing there: this is the file.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput || is_absence(&error) => {
                return Ok(at);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).expect("exists").permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_not_a_regular_file_is_absent() {
        let folder = folder();
        assert_eq!(
            read_artifact(folder.path()).expect("no error"),
            Artifact::Absent
        );
        let missing = folder.path().join("a/b.json");
        assert_eq!(read_bytes(&missing).expect("no error"), None);
        fs::write(folder.path().join("file"), "").expect("written");
        let below = folder.path().join("file/b.json");
        assert_eq!(read_bytes(&below).expect("no error"), None);
    }

    #[test]
    fn a_new_document_is_readable_by_all_and_its_folders_are_made() {
        let folder = folder();
        let path = folder.path().join("deep/er/a.json");
        replace_document(&path, b"{}", None).expect("written");
        assert_eq!(
            read_bytes(&path).expect("readable").as_deref(),
            Some(&b"{}"[..])
        );
        assert_eq!(mode_of(&path), 0o644);
    }

    #[test]
    fn an_existing_mode_stays_unless_another_is_asked_for() {
        let folder = folder();
        let path = folder.path().join("a.json");
        replace_document(&path, b"1", Some(0o600)).expect("written");
        replace_document(&path, b"2", None).expect("written");
        assert_eq!(mode_of(&path), 0o600);
        replace_document(&path, b"3", Some(0o640)).expect("written");
        assert_eq!(mode_of(&path), 0o640);
    }

    #[test]
    fn a_symlink_is_kept_and_its_target_replaced() {
        let folder = folder();
        let (link, target) = (
            folder.path().join("link.json"),
            folder.path().join("target.json"),
        );
        symlink("target.json", &link).expect("linked");
        replace_document(&link, b"1", None).expect("written through a dangling link");
        replace_document(&link, b"2", None).expect("written");
        assert!(fs::symlink_metadata(&link).expect("exists").is_symlink());
        assert_eq!(fs::read(&target).expect("readable"), b"2");
    }

    #[test]
    fn a_directory_in_the_way_is_an_error_and_nothing_is_left_behind() {
        let folder = folder();
        let path = folder.path().join("a.json");
        fs::create_dir(&path).expect("made");
        let error = replace_document(&path, b"1", None).expect_err("a directory");
        assert!(error.to_string().contains("is a directory"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }
}
