//! Reading one runtime document together with the evidence of what was read.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use memchr::memchr_iter;
use om_model::Artifact;
use om_model::envelope::ArtifactRef;
use om_store::digest;

use crate::error::ObserveError;
use crate::snapshot::RuntimeFile;

/// How long a half-written document is given to become whole.
///
/// The runtime truncates `state.json` and rewrites it in place, which takes
/// it a few milliseconds.
const REWRITE_PAUSE: Duration = Duration::from_millis(20);

/// Reads the document at `path`, named `relative` in the envelope.
pub(crate) fn read(path: &Path, relative: String) -> Result<RuntimeFile, ObserveError> {
    read_settled(path, relative, || thread::sleep(REWRITE_PAUSE))
}

/// [`read`]; a document that does not parse is read once more after `pause`.
fn read_settled(
    path: &Path,
    relative: String,
    pause: impl FnOnce(),
) -> Result<RuntimeFile, ObserveError> {
    let mut found = read_once(path)?;
    if matches!(found.artifact, Artifact::Broken(_)) {
        pause();
        found = read_once(path)?;
    }
    Ok(RuntimeFile {
        path: path.to_owned(),
        reference: ArtifactRef {
            path: relative,
            ..found.reference
        },
        artifact: found.artifact,
    })
}

/// One reading; the reference has no path yet.
#[derive(Default)]
struct Reading {
    artifact: Artifact,
    reference: ArtifactRef,
}

fn read_once(path: &Path) -> Result<Reading, ObserveError> {
    let Some(mut file) = open_regular(path)? else {
        return Ok(Reading::default());
    };
    let mut bytes = Vec::new();
    let mtime = file
        .metadata()
        .and_then(|metadata| file.read_to_end(&mut bytes).map(|_| metadata.mtime()))
        .map_err(|cause| unreadable(path, cause))?;
    Ok(Reading {
        artifact: Artifact::parse_runtime(&bytes),
        reference: ArtifactRef {
            path: String::new(),
            exists: true,
            size_bytes: bytes.len() as u64,
            line_count: memchr_iter(b'\n', &bytes).count() as u64,
            sha256: Some(digest(&bytes).to_string()),
            mtime_epoch: Some(mtime),
        },
    })
}

/// Opens `path` if it is a regular file or a symlink to one; `None` if
/// something else, or nothing, is there.
pub(crate) fn open_regular(path: &Path) -> Result<Option<File>, ObserveError> {
    // Looked at before it is opened: opening a FIFO would wait for a writer.
    let opened = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => File::open(path),
        Ok(_) => return Ok(None),
        Err(cause) => Err(cause),
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(cause) if is_absence(&cause) => Ok(None),
        Err(cause) => Err(unreadable(path, cause)),
    }
}

fn is_absence(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

pub(crate) fn unreadable(path: &Path, cause: io::Error) -> ObserveError {
    ObserveError::Unreadable {
        path: path.to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_while(before: &str, pause: impl FnOnce(&Path)) -> RuntimeFile {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("state.json");
        fs::write(&path, before).expect("written");
        read_settled(&path, "state.json".into(), || pause(&path)).expect("readable")
    }

    #[test]
    fn a_document_caught_while_it_is_rewritten_is_read_once_more() {
        for half in ["", "{\"active\": tr"] {
            let file = read_while(half, |path| {
                fs::write(path, "{\"active\": true}\n").expect("rewritten");
            });
            assert_eq!(file.artifact, Artifact::Document(json!({"active": true})));
            assert_eq!(
                (file.reference.size_bytes, file.reference.line_count),
                (17, 1)
            );
        }
    }

    #[test]
    fn a_document_removed_meanwhile_is_absent() {
        let file = read_while("", |path| fs::remove_file(path).expect("removed"));
        assert!(file.artifact.is_absent() && !file.reference.exists);
    }

    #[test]
    fn a_document_that_stays_broken_is_reported_as_it_is() {
        let file = read_while("{", |_| {});
        assert!(matches!(file.artifact, Artifact::Broken(_)));
        assert_eq!(file.reference.size_bytes, 1);
    }

    #[test]
    fn a_whole_document_is_read_once() {
        let file = read_while("{}", |_| panic!("nothing to wait for"));
        assert_eq!(file.artifact, Artifact::Document(json!({})));
    }
}
