//! Documents of other stages as they are read: with a name for messages.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use om_model::Artifact;
use om_model::json;
use om_store::read_artifact;
use serde_json::{Map, Value};

use crate::error::{Cause, PromotionError};

/// What a document is called in messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    /// In `… not found: <path>`.
    pub(crate) file: &'static str,
    /// In `invalid … JSON: <path>`.
    pub(crate) json: &'static str,
}

impl Name {
    /// The document at `path`: one JSON document of any type.
    pub(crate) fn read(self, path: &str) -> Result<Value, PromotionError> {
        match read_artifact(Path::new(path))? {
            Artifact::Absent => Err(PromotionError::NotFound {
                what: self.file,
                path: path.to_owned(),
            }),
            Artifact::Broken(cause) => Err(self.invalid(path, cause)),
            Artifact::Document(document) => Ok(document),
        }
    }

    /// The document at `path`, which has to be an object; `null` is an empty
    /// one.
    pub(crate) fn read_object(self, path: &str) -> Result<Map<String, Value>, PromotionError> {
        let document = self.read(path)?;
        match json::root_object(&document) {
            Ok(object) => Ok(object.into_owned()),
            Err(cause) => Err(self.invalid(path, cause)),
        }
    }

    /// The document at `path` is not what it has to be.
    pub(crate) fn invalid(self, path: &str, cause: impl Into<Cause>) -> PromotionError {
        PromotionError::Document {
            what: self.json,
            path: path.to_owned(),
            cause: cause.into(),
        }
    }
}

/// Which file stands at a path, as far as that tells whether it was written
/// since. Stamps in a document are no proof of that (decision D19).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(Option<[i64; 6]>);

impl Identity {
    /// The identity of what is at `path` now.
    pub(crate) fn of(path: &str) -> Self {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file);
        Self(found.map(|found| {
            [
                found.dev().cast_signed(),
                found.ino().cast_signed(),
                found.size().cast_signed(),
                found.mtime(),
                found.mtime_nsec(),
                found.ctime_nsec(),
            ]
        }))
    }

    /// Whether a file is at `path` that is another one, or was written since.
    pub(crate) fn has_been_written(&self, path: &str) -> bool {
        let now = Self::of(path);
        now.0.is_some() && now != *self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_when_it_is_new_or_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        let text = path.to_str().expect("UTF-8");
        let before = Identity::of(text);
        assert!(!before.has_been_written(text));
        fs::write(&path, "1").expect("written");
        assert!(before.has_been_written(text));
        let old = Identity::of(text);
        assert!(!old.has_been_written(text));
        fs::write(folder.path().join("g"), "1").expect("written");
        fs::rename(folder.path().join("g"), &path).expect("renamed");
        assert!(old.has_been_written(text));
        fs::remove_file(&path).expect("removed");
        assert!(!old.has_been_written(text));
    }
}
