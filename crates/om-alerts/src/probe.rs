//! Can a file be written? Found out without writing it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use om_store::CommitError;

use crate::error::DispatchError;

/// Fails if no row could be appended to `path`. The file is not touched, and
/// not created if it is not there.
pub(crate) fn appendable(path: &Path) -> Result<(), DispatchError> {
    let probed = match fs::metadata(path) {
        // Opening a FIFO would wait.
        Ok(found) if !found.is_file() => {
            let path = path.to_owned();
            return Err(CommitError::NotAFile { path }.into());
        }
        Ok(_) => OpenOptions::new().append(true).open(path).map(drop),
        Err(error) if error.kind() == io::ErrorKind::NotFound => creatable(path),
        Err(error) => Err(error),
    };
    probed.map_err(DispatchError::io("append to", path))
}

/// Fails if there can be no new file beside `path`.
fn creatable(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let probe = path.with_file_name(format!(".{name}.om-{}-probe", std::process::id()));
    // What a killed process left behind is as good.
    match OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&probe)
    {
        Ok(_) => fs::remove_file(&probe),
        Err(error) => Err(error),
    }
}
