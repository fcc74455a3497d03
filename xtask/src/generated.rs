//! Files that are generated and committed: written, or checked for drift.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A directory in which every file with the given suffix is generated.
pub(crate) struct GeneratedFiles {
    directory: PathBuf,
    suffix: &'static str,
    files: BTreeMap<String, String>,
}

/// What [`GeneratedFiles::check_or_write`] did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Files there are now.
    pub(crate) total: usize,
    /// Names of new and changed files.
    pub(crate) written: Vec<String>,
    /// Names of files that nothing generates any more.
    pub(crate) removed: Vec<String>,
}

/// How a file on disk is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Difference {
    Missing,
    Changed,
    /// Nothing generates it any more.
    Orphaned,
}

impl Difference {
    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::Changed => "differs",
            Self::Orphaned => "is not generated any more",
        }
    }
}

impl GeneratedFiles {
    /// `files` by name, all of them directly in `directory`.
    pub(crate) fn new(
        directory: PathBuf,
        suffix: &'static str,
        files: BTreeMap<String, String>,
    ) -> Self {
        Self {
            directory,
            suffix,
            files,
        }
    }

    /// With `check`, fails if anything on disk differs, naming `command` as
    /// the cure; otherwise makes the directory what it should be.
    pub(crate) fn check_or_write(
        &self,
        check: bool,
        command: &'static str,
    ) -> Result<Outcome, Error> {
        let differences = self.differences()?;
        if check && !differences.is_empty() {
            let directory = self.directory.file_name().unwrap_or_default().display();
            let line = |(name, difference): &(String, Difference)| {
                format!("{directory}/{name} {}", difference.as_str())
            };
            let files = differences.iter().map(line).collect();
            return Err(Error::Drift { command, files });
        }
        let mut outcome = Outcome {
            total: self.files.len(),
            ..Outcome::default()
        };
        for (name, _) in differences {
            let path = self.directory.join(&name);
            if let Some(content) = self.files.get(&name) {
                fs::create_dir_all(&self.directory)
                    .map_err(Error::file("create", &self.directory))?;
                fs::write(&path, content).map_err(Error::file("write", &path))?;
                outcome.written.push(name);
            } else {
                fs::remove_file(&path).map_err(Error::file("remove", &path))?;
                outcome.removed.push(name);
            }
        }
        Ok(outcome)
    }

    /// What is not as it should be, by file name.
    fn differences(&self) -> Result<Vec<(String, Difference)>, Error> {
        let mut differences = Vec::new();
        for (name, content) in &self.files {
            let path = self.directory.join(name);
            match fs::read(&path) {
                Ok(found) if found == content.as_bytes() => {}
                Ok(_) => differences.push((name.clone(), Difference::Changed)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    differences.push((name.clone(), Difference::Missing));
                }
                Err(error) => return Err(Error::file("read", &path)(error)),
            }
        }
        for name in names_in(&self.directory)? {
            if name.ends_with(self.suffix) && !self.files.contains_key(&name) {
                differences.push((name, Difference::Orphaned));
            }
        }
        Ok(differences)
    }
}

/// Names of the entries of a directory, sorted; none if it does not exist.
pub(crate) fn names_in(directory: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", directory)(error)),
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::file("read", directory))?;
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(directory: &Path, files: &[(&str, &str)]) -> GeneratedFiles {
        let files = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), (*content).to_owned()))
            .collect();
        GeneratedFiles::new(directory.to_owned(), ".md", files)
    }

    #[test]
    fn what_was_written_passes_the_check() {
        let directory = tempfile::tempdir().unwrap();
        let generated = files(directory.path(), &[("a.md", "A\n"), ("b.md", "B\n")]);
        let outcome = generated.check_or_write(false, "x").unwrap();
        assert_eq!(outcome.written, ["a.md", "b.md"]);
        let outcome = generated.check_or_write(true, "x").unwrap();
        assert_eq!(outcome.total, 2);
    }

    #[test]
    fn the_check_lists_every_difference_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("a.md", "old"), ("gone.md", "x"), ("kept.txt", "x")] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let generated = files(directory.path(), &[("a.md", "A\n"), ("b.md", "B\n")]);
        let error = generated
            .check_or_write(true, "make")
            .unwrap_err()
            .to_string();
        for expected in [
            "run `make`",
            "a.md differs",
            "b.md is missing",
            "gone.md is not generated any more",
        ] {
            assert!(error.contains(expected), "{expected:?} in {error}");
        }
        assert!(!error.contains("kept.txt"));
        assert_eq!(fs::read(directory.path().join("a.md")).unwrap(), b"old");
    }

    #[test]
    fn files_that_nothing_generates_are_removed_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["gone.md", "kept.txt"] {
            fs::write(directory.path().join(name), "x").unwrap();
        }
        let outcome = files(directory.path(), &[("a.md", "A\n")])
            .check_or_write(false, "x")
            .unwrap();
        assert_eq!(outcome.removed, ["gone.md"]);
        assert_eq!(names_in(directory.path()).unwrap(), ["a.md", "kept.txt"]);
    }
}
