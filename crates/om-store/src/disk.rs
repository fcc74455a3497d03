//! The file operations of a commit, behind a trait.
//!
//! The one production implementation is [`RealDisk`]. The seam exists for
//! the fault tests: they run the same commit and recovery on a disk that
//! kills the process at the n-th operation, fails it, or loses power.
//! Paths are absolute and already resolved: a symlink in the last component
//! is followed for syncing only, and what is not a regular file is never
//! opened.

use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::documents;
use crate::error::LockError;
use crate::journal::is_absence;
use crate::lock::acquire_store_lock;
pub use crate::open::{Appended, OpenJournal};
use crate::open::{check_replaceable, open_plain, open_to_sync};

/// What `lstat` says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// What is there.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Device number.
    pub device: u64,
    /// Which file it is, and in which version.
    pub identity: Identity,
}

/// Which file it is, and in which version: unchanged by a rename, changed by
/// any replacement or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub length: u64,
    /// Modification time: seconds and nanoseconds.
    pub modified: (i64, i64),
}

/// Kinds of files that make a difference here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Anything else, a symlink included.
    Other,
}

/// How much of a file has to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncKind {
    /// Content and length.
    Data,
    /// Content and all metadata; entries, for a directory.
    Everything,
}

/// Keeps a lock until dropped.
#[derive(Debug)]
pub struct Held {
    _file: Option<File>,
}

impl Held {
    /// Keeps `file` (and the lock on it) open.
    pub fn new(file: Option<File>) -> Self {
        Self { _file: file }
    }
}

/// File operations of commit and recovery.
pub trait Disk: Send + Sync + Debug {
    /// The file behind a chain of symlinks, which need not exist.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf>;
    /// What is at `path`, `None` for nothing.
    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>>;
    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Up to `length` bytes from `offset`; fewer at the end of the file.
    fn read_range(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>>;
    /// Names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Fails if files cannot be created or replaced in `folder`.
    fn check_writable(&self, folder: &Path) -> io::Result<()>;
    /// Fails if the file at `path` itself cannot be replaced or removed.
    fn check_replaceable(&self, path: &Path) -> io::Result<()>;
    /// Opens an existing file for appending.
    fn open_journal(&self, path: &Path) -> io::Result<OpenJournal>;
    /// Makes one folder; fine if it exists.
    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes a file that must not exist; `mode` holds whatever the umask.
    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// Appends with one write to what is now at the journal's path, making
    /// the file with `mode` if needed.
    fn append(&self, journal: &OpenJournal, bytes: &[u8], mode: u32) -> io::Result<Appended>;
    /// Allocates space without changing the length, where supported.
    fn reserve(&self, path: &Path, offset: u64, length: u64) -> io::Result<()>;
    /// Writes into an existing file, extending it if needed.
    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts (or extends) a file.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Swaps two existing files; `Unsupported` if the file system cannot.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Renames, replacing what is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames unless there is something at `to` (`AlreadyExists`).
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes a file or folder durable.
    fn sync(&self, path: &Path, kind: SyncKind) -> io::Result<()>;
    /// Makes many files and folders durable; what is missing is skipped.
    fn sync_all(&self, paths: &[PathBuf]) -> io::Result<()> {
        for path in paths {
            ignore_absence(self.sync(path, SyncKind::Everything))?;
        }
        Ok(())
    }
    /// Takes the store lock at `path`.
    fn lock(&self, path: &Path, wait: Duration) -> Result<Held, LockError>;
    /// Identifies this boot of the machine; `None` if that is unknown.
    fn boot_id(&self) -> Option<u128>;
    /// A number that nobody had before.
    fn random_id(&self) -> u128;
}

/// `Ok` for an error that says that there is nothing.
pub(crate) fn ignore_absence(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| {
        if is_absence(&error) {
            Ok(())
        } else {
            Err(error)
        }
    })
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Files synced at the same time share the file system's journal commits:
/// a thousand take a tenth of the time that they take one by one.
const SYNC_THREADS: usize = 16;
/// Too few files to start a thread for.
const FEW_FILES: usize = 8;

impl Disk for RealDisk {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        documents::resolve(path)
    }

    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        match fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(file_info(&found))),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        open_plain(path, OpenOptions::new().read(true))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_range(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        // Small ranges are read in one call, without asking for the length.
        const SMALL: u64 = 64 * 1024;
        let file = open_plain(path, OpenOptions::new().read(true))?;
        let there = if length > SMALL {
            file.metadata()?.len().saturating_sub(offset)
        } else {
            SMALL
        };
        let wanted = usize::try_from(length.min(there)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; wanted];
        let mut filled = 0;
        while filled < wanted {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    }

    fn check_writable(&self, folder: &Path) -> io::Result<()> {
        use rustix::fs::Access;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
        check_replaceable(folder)
    }

    fn check_replaceable(&self, path: &Path) -> io::Result<()> {
        check_replaceable(path)
    }

    fn open_journal(&self, path: &Path) -> io::Result<OpenJournal> {
        OpenJournal::open(path)
    }

    fn create_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        match DirBuilder::new().mode(mode).create(path) {
            // The mode is given whatever the umask, like that of files.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        if mode != 0o600 {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        file.write_all(bytes)
    }

    fn append(&self, journal: &OpenJournal, bytes: &[u8], mode: u32) -> io::Result<Appended> {
        journal.append(bytes, mode)
    }

    fn reserve(&self, path: &Path, offset: u64, length: u64) -> io::Result<()> {
        let file = open_plain(path, OpenOptions::new().write(true))?;
        reserve_space(&file, offset, length)
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        open_plain(path, OpenOptions::new().write(true))?.write_all_at(bytes, offset)
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        open_plain(path, OpenOptions::new().write(true))?.set_len(length)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        rename_with(one, other, RenameHow::Exchange)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rename_with(from, to, RenameHow::New) {
            // Without the kernel's help: link fails if the name is taken.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                fs::hard_link(from, to).and_then(|()| fs::remove_file(from))
            }
            result => result,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync(&self, path: &Path, kind: SyncKind) -> io::Result<()> {
        match kind {
            SyncKind::Data => open_plain(path, OpenOptions::new().read(true))?.sync_data(),
            // Folders may be reached through links, and files may have been
            // replaced by links since they were written.
            SyncKind::Everything => open_to_sync(path)?.map_or(Ok(()), |file| file.sync_all()),
        }
    }

    fn sync_all(&self, paths: &[PathBuf]) -> io::Result<()> {
        let sync_some = |paths: &[PathBuf]| {
            let mut each = paths
                .iter()
                .map(|path| self.sync(path, SyncKind::Everything));
            each.try_for_each(ignore_absence)
        };
        let share = paths.len().div_ceil(SYNC_THREADS).max(FEW_FILES);
        thread::scope(|scope| {
            let mut shares = paths.chunks(share);
            let own = shares.next().unwrap_or_default();
            let others: Vec<_> = shares
                .map(|paths| scope.spawn(move || sync_some(paths)))
                .collect();
            let lost = |_| Err(io::Error::other("a thread that syncs files died"));
            others.into_iter().fold(sync_some(own), |result, other| {
                result.and(other.join().unwrap_or_else(lost))
            })
        })
    }

    fn lock(&self, path: &Path, wait: Duration) -> Result<Held, LockError> {
        Ok(Held::new(Some(acquire_store_lock(path, wait)?)))
    }

    fn boot_id(&self) -> Option<u128> {
        static BOOT: OnceLock<Option<u128>> = OnceLock::new();
        *BOOT.get_or_init(|| {
            let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
            u128::from_str_radix(&text.trim().replace('-', ""), 16).ok()
        })
    }
    fn random_id(&self) -> u128 {
        // Made from the keys that the standard library gets from the system.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        half() << 64 | half()
    }
}

pub(crate) fn file_info(found: &fs::Metadata) -> FileInfo {
    let kind = match found.file_type() {
        kind if kind.is_file() => FileKind::Regular,
        kind if kind.is_dir() => FileKind::Directory,
        _ => FileKind::Other,
    };
    FileInfo {
        kind,
        mode: found.mode() & 0o7777,
        device: found.dev(),
        identity: Identity {
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        },
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve_space(file: &File, offset: u64, length: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, length) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        result => Ok(result?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve_space(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
}

/// Flags of `renameat2` that are used here.
#[derive(Clone, Copy)]
enum RenameHow {
    Exchange,
    New,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn rename_with(from: &Path, to: &Path, how: RenameHow) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let flags = match how {
        RenameHow::Exchange => RenameFlags::EXCHANGE,
        RenameHow::New => RenameFlags::NOREPLACE,
    };
    match renameat_with(CWD, from, CWD, to, flags) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            Err(io::ErrorKind::Unsupported.into())
        }
        result => Ok(result?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn rename_with(_: &Path, _: &Path, _: RenameHow) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
