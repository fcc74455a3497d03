//! Looking through the outbox: what is taken, and what is left for later.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::HorizonError;

/// How long an unfinished last line is waited for (decision D8).
const PATIENCE: Duration = Duration::from_secs(60);

/// What a file name ends with in the outbox.
const SUFFIX: &[u8] = b".jsonl";

/// A file, read to its end.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    modified: SystemTime,
}

impl Content {
    /// Reads the file from `offset` on; `None` if it is not there, or no file.
    pub(crate) fn read(path: &Path, offset: u64) -> Result<Option<Self>, HorizonError> {
        let read = || -> io::Result<Option<Self>> {
            if !fs::symlink_metadata(path)?.is_file() {
                return Ok(None);
            }
            let mut file = File::open(path)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let modified = file.metadata()?.modified()?;
            Ok(Some(Self { bytes, modified }))
        };
        match read() {
            Err(error) if is_absence(&error) => Ok(None),
            result => result.map_err(failed(path)),
        }
    }

    /// Whether its last line is a line at `now`: it has its newline, or nobody
    /// has added one for a minute. A file from the future is not waited for:
    /// a clock has jumped, and nobody is writing with that time now.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let is_whole = self.bytes.last().is_none_or(|byte| *byte == b'\n');
        let age = now.duration_since(self.modified);
        is_whole || age.unwrap_or_else(|ahead| ahead.duration()) >= PATIENCE
    }
}

/// Every outbox file below `outbox`, relative to it, in the order of their
/// bytes. A link in the place of the folder, or of a file, is none.
pub(crate) fn outbox_files(outbox: &Path) -> Result<Vec<PathBuf>, HorizonError> {
    regular_files(outbox, &|name| name.as_encoded_bytes().ends_with(SUFFIX))
}

/// Regular files below `folder` by name, sorted by the bytes of their paths.
pub(crate) fn regular_files(
    folder: &Path,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Vec<PathBuf>, HorizonError> {
    let mut found = Vec::new();
    match fs::symlink_metadata(folder) {
        Ok(info) if info.is_dir() => collect(folder, Path::new(""), wanted, &mut found)?,
        Ok(_) => {}
        Err(error) if is_absence(&error) => {}
        Err(error) => return Err(failed(folder)(error)),
    }
    let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
    found.sort_by_cached_key(bytes);
    Ok(found)
}

fn collect(
    folder: &Path,
    relative: &Path,
    wanted: &dyn Fn(&OsStr) -> bool,
    found: &mut Vec<PathBuf>,
) -> Result<(), HorizonError> {
    let entries = match fs::read_dir(folder) {
        // Gone meanwhile.
        Err(error) if is_absence(&error) => return Ok(()),
        entries => entries.map_err(failed(folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(failed(folder))?;
        let kind = match entry.file_type() {
            Err(error) if is_absence(&error) => continue,
            kind => kind.map_err(failed(&entry.path()))?,
        };
        let path = relative.join(entry.file_name());
        if kind.is_dir() {
            collect(&entry.path(), &path, wanted, found)?;
        } else if kind.is_file() && wanted(&entry.file_name()) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file can be renamed from one folder into the other.
#[cfg(target_os = "linux")]
pub(crate) fn can_rename(from: &Path, to: &Path) -> Result<bool, HorizonError> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    // One file system may be mounted twice, and then nothing can be renamed
    // from one mount to the other.
    let mount = |path: &Path| {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let found = statx(CWD, path, AtFlags::empty(), wanted);
        let found = found.map_err(|error| failed(path)(error.into()))?;
        let device = (found.stx_dev_major, found.stx_dev_minor);
        Ok::<_, HorizonError>((device, found.stx_mnt_id))
    };
    Ok(mount(from)? == mount(to)?)
}

/// Whether a file can be renamed from one folder into the other.
#[cfg(not(target_os = "linux"))]
pub(crate) fn can_rename(from: &Path, to: &Path) -> Result<bool, HorizonError> {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| {
        let found = fs::metadata(path).map_err(failed(path))?;
        Ok::<_, HorizonError>(found.dev())
    };
    Ok(device(from)? == device(to)?)
}

pub(crate) fn failed(path: &Path) -> impl FnOnce(io::Error) -> HorizonError {
    move |source| HorizonError::Scan {
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
