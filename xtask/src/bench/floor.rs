//! What the same writing costs without anything around it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::Error;

/// What one pass wrote: sizes, by what was done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Whole documents.
    pub(super) documents: Vec<usize>,
    /// Bytes appended to each journal.
    pub(super) appended: Vec<usize>,
}

/// The files below a directory with their content, without `.store/`.
pub(super) struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    /// Reads all of them.
    pub(super) fn take(directory: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut waiting = vec![directory.to_owned()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(&directory).map_err(Error::file("read", &directory))? {
                let path = entry.map_err(Error::file("read", &directory))?.path();
                if path.file_name().is_some_and(|name| name == ".store") {
                    continue;
                }
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let content = fs::read(&path).map_err(Error::file("read", &path))?;
                    files.insert(path, content);
                }
            }
        }
        Ok(Self(files))
    }

    /// What was written between `before` and this: a file that grew was
    /// appended to, any other change is a new document.
    pub(super) fn since(&self, before: &Self) -> Written {
        let mut written = Written::default();
        for (path, content) in &self.0 {
            written.add(path, content, before);
        }
        written
    }

    /// The same for each folder directly below `root`, if anything was
    /// written there.
    pub(super) fn since_by_folder(&self, before: &Self, root: &Path) -> Vec<Written> {
        let mut folders: BTreeMap<&Path, Written> = BTreeMap::new();
        for (path, content) in &self.0 {
            let below = path.strip_prefix(root).unwrap_or(path);
            let folder = below.iter().next().map_or(below, Path::new);
            let written = folders.entry(folder).or_default();
            written.add(path, content, before);
        }
        let all = folders.into_values();
        all.filter(|written| *written != Written::default())
            .collect()
    }
}

impl Written {
    /// What was written, by its sizes.
    pub(super) fn of(documents: Vec<usize>, appended: Vec<usize>) -> Self {
        Self {
            documents,
            appended,
        }
    }

    fn add(&mut self, path: &Path, content: &[u8], before: &Snapshot) {
        match before.0.get(path) {
            Some(old) if old == content => {}
            Some(old) if is_journal(path) && content.starts_with(old) => {
                self.appended.push(content.len() - old.len());
            }
            None if is_journal(path) => self.appended.push(content.len()),
            _ => self.documents.push(content.len()),
        }
    }

    /// All of its bytes.
    pub(super) fn size(&self) -> usize {
        self.documents.iter().chain(&self.appended).sum()
    }
}

fn is_journal(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "jsonl")
}

/// A bare loop that writes as much as a pass did, as durably.
pub(super) struct Floor {
    directory: PathBuf,
    written: Written,
    /// Durable writes that the design needs.
    commits: usize,
    log: File,
    /// Everything that a pass writes, once.
    bytes: Vec<u8>,
}

/// How long a bare loop took.
#[derive(Clone, Copy)]
pub(super) struct FloorTime {
    /// All of it.
    pub(super) total: Duration,
    /// The durable part: one `fdatasync` of the log per commit.
    pub(super) sync: Duration,
}

impl Floor {
    /// Prepares the files that the loop replaces and extends, so that it
    /// finds what a warm pass finds.
    pub(super) fn prepare(
        directory: &Path,
        written: Written,
        commits: usize,
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(Error::file("create", directory))?;
        let path = directory.join("log");
        let bytes = vec![b'x'; written.size()];
        let log = || -> io::Result<File> {
            let mut log = File::create(&path)?;
            log.write_all(&bytes)?;
            log.sync_all()?;
            Ok(log)
        };
        let floor = Self {
            directory: directory.to_owned(),
            log: log().map_err(Error::file("write", &path))?,
            written,
            commits,
            bytes,
        };
        floor.write()?;
        Ok(floor)
    }

    /// Durable writes of everything to a log that has its blocks already, as
    /// many as there are commits, then every row and document in its place,
    /// without another sync.
    pub(super) fn write(&self) -> Result<FloorTime, Error> {
        let start = Instant::now();
        let sync = self
            .write_all()
            .map_err(Error::file("write to", &self.directory))?;
        Ok(FloorTime {
            total: start.elapsed(),
            sync,
        })
    }

    fn write_all(&self) -> io::Result<Duration> {
        let mut sync = Duration::ZERO;
        let part = self.bytes.len().div_ceil(self.commits).max(1);
        let mut offset = 0;
        for part in self.bytes.chunks(part) {
            self.log.write_all_at(part, offset)?;
            offset += part.len() as u64;
            let start = Instant::now();
            self.log.sync_data()?;
            sync += start.elapsed();
        }
        for (number, size) in self.written.appended.iter().enumerate() {
            let path = self.directory.join(format!("rows-{number}"));
            let mut journal = OpenOptions::new().append(true).create(true).open(path)?;
            journal.write_all(&self.bytes[..*size])?;
        }
        let temporary = self.directory.join("temporary");
        for (number, size) in self.written.documents.iter().enumerate() {
            let mut document = File::create(&temporary)?;
            document.write_all(&self.bytes[..*size])?;
            drop(document);
            fs::rename(
                &temporary,
                self.directory.join(format!("document-{number}")),
            )?;
        }
        Ok(sync)
    }

    /// What is written, for people.
    pub(super) fn describe(&self) -> String {
        format!(
            "{} documents, {} journals, {} bytes, {} commits",
            self.written.documents.len(),
            self.written.appended.len(),
            self.bytes.len(),
            self.commits
        )
    }
}

/// How long it takes to read some files once, in blocks.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Duration, Error> {
    let start = Instant::now();
    for path in paths {
        let copy = || io::copy(&mut File::open(path)?, &mut io::sink());
        copy().map_err(Error::file("read", path))?;
    }
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        let file = |(path, text): &(&str, &str)| (PathBuf::from(path), text.as_bytes().to_vec());
        Snapshot(files.iter().map(file).collect())
    }

    #[test]
    fn what_a_pass_wrote_is_seen_from_the_files() {
        let before = snapshot(&[("a.json", "1"), ("b.json", "2"), ("r.jsonl", "x\n")]);
        let after = snapshot(&[
            ("a.json", "1"),
            ("b.json", "22"),
            ("new.json", "333"),
            ("new.jsonl", "4444"),
            ("r.jsonl", "x\ny\nz\n"),
        ]);
        let written = Written {
            documents: vec![2, 3],
            appended: vec![4, 4],
        };
        assert_eq!(after.since(&before), written);
    }

    #[test]
    fn what_was_written_is_told_apart_by_folder() {
        let before = snapshot(&[
            ("r/a/x.json", "1"),
            ("r/b/x.json", "1"),
            ("r/c/x.json", "1"),
        ]);
        let after = snapshot(&[
            ("r/a/x.json", "22"),
            ("r/b/x.json", "1"),
            ("r/c/t/x.json", "333"),
        ]);
        let written = after.since_by_folder(&before, Path::new("r"));
        assert_eq!(
            written,
            [Written::of(vec![2], vec![]), Written::of(vec![3], vec![])]
        );
    }

    #[test]
    fn the_bare_loop_writes_the_same_bytes_to_the_same_number_of_files() {
        let directory = tempfile::tempdir().unwrap();
        let written = Written {
            documents: vec![2, 3],
            appended: vec![4],
        };
        let floor = Floor::prepare(directory.path(), written, 2).unwrap();
        floor.write().unwrap();
        let size = |name: &str| fs::metadata(directory.path().join(name)).unwrap().len();
        assert_eq!((size("document-0"), size("document-1")), (2, 3));
        assert_eq!(size("rows-0"), 8, "appended twice");
        assert_eq!(size("log"), 9);
    }
}
