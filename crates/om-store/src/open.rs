//! Opening files in whose place there may be something else.
//!
//! A FIFO would keep its opener waiting, a device can be read without end,
//! and a link leads to someone else's file. None of them is ever waited for,
//! read or followed here: they are refused.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::journal::is_absence;

/// Why something that exists was not opened.
#[derive(Debug, thiserror::Error)]
#[error("it is not a regular file; move it away")]
struct NotRegular;

/// The refusal of what is not a regular file.
pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, NotRegular)
}

/// Whether an error is [`not_regular`].
pub(crate) fn is_not_regular(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn Error + Send + Sync>::is::<NotRegular>)
}

/// Opens the regular file at `path`; anything else, a link included, is
/// refused without waiting for it.
pub(crate) fn open_plain(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match options.custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => Err(not_regular()),
        // Links, folders, sockets and FIFOs fail in ways of their own.
        Err(error) => Err(match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => not_regular(),
            _ => error,
        }),
    }
}

/// Opens the file or folder at `path` to sync it, links followed; `None` for
/// anything that has no content of its own.
pub(crate) fn open_to_sync(path: &Path) -> io::Result<Option<File>> {
    let has_content = |found: &fs::Metadata| found.is_file() || found.is_dir();
    if !has_content(&fs::metadata(path)?) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    Ok(has_content(&file.metadata()?).then_some(file))
}

/// A journal that rows are going to be appended to.
#[derive(Debug)]
pub struct OpenJournal {
    /// Where it is.
    pub path: PathBuf,
    file: Option<File>,
}

impl OpenJournal {
    /// A journal to be opened, or made, when it is appended to.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
        }
    }

    /// Opens an existing journal, so that appending to it cannot be refused
    /// any more.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: Some(open_plain(
                path,
                OpenOptions::new().read(true).append(true),
            )?),
        })
    }

    /// Appends with one write, see [`crate::disk::Disk::append`].
    pub(crate) fn append(&self, bytes: &[u8], mode: u32) -> io::Result<Appended> {
        match &self.file {
            Some(file) if is_still_at(file, &self.path)? => append_once(file, bytes),
            _ => append_once(&self.open_or_create(mode)?, bytes),
        }
    }

    fn open_or_create(&self, mode: u32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).append(true);
        match open_plain(&self.path, &mut options) {
            Err(error) if is_absence(&error) => {
                let file = open_plain(&self.path, options.create(true).mode(mode))?;
                file.set_permissions(fs::Permissions::from_mode(mode))?;
                Ok(file)
            }
            opened => opened,
        }
    }
}

/// Where bytes were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first of them.
    pub start: u64,
    /// Whether a line begins there.
    pub at_line_start: bool,
}

/// Whether `path` still names the open `file`: it may have been put aside or
/// replaced since.
fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    Ok(fs::symlink_metadata(path)
        .is_ok_and(|found| (found.dev(), found.ino()) == (opened.dev(), opened.ino())))
}

fn append_once(mut file: &File, bytes: &[u8]) -> io::Result<Appended> {
    let written = loop {
        match file.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    let start = file.stream_position()?.saturating_sub(written as u64);
    if written < bytes.len() {
        // The disk is full, most likely: then this says so.
        file.write_all(&bytes[written..])?;
        if file.stream_position()? != start + bytes.len() as u64 {
            return Err(io::Error::other("others wrote into the middle of a row"));
        }
    }
    let mut last = [b'\n'];
    if let Some(before) = start.checked_sub(1) {
        file.read_exact_at(&mut last, before)?;
    }
    Ok(Appended {
        start,
        at_line_start: last == *b"\n",
    })
}

/// Fails if the file at `path` is protected against being replaced, renamed
/// or removed, which permissions do not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn check_replaceable(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    use rustix::io::Errno;
    let protected = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(found) if found.stx_attributes.intersects(protected) => Err(Errno::PERM.into()),
        Ok(_) | Err(Errno::NOSYS | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn check_replaceable(_: &Path) -> io::Result<()> {
    Ok(())
}
