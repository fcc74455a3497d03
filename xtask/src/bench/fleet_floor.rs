//! What the writing of a whole fleet's pass costs without anything around it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::floor::Written;
use crate::error::Error;

/// Loops whose writes share one durable write: as many as the product's
/// groups have at most.
const GROUP: usize = 256;

/// A bare loop that writes as much as a pass over a fleet did, as durably,
/// with the same way of replacing a file: a temporary one that is exchanged
/// with it and then removed.
pub(super) struct FleetFloor {
    directory: PathBuf,
    members: Vec<Written>,
    threads: usize,
    /// As much as the largest group writes.
    bytes: Vec<u8>,
}

impl FleetFloor {
    /// Prepares the files that the loop replaces and extends, so that it
    /// finds what a warm pass finds. `members`: what each loop writes.
    pub(super) fn prepare(
        directory: &Path,
        members: Vec<Written>,
        threads: usize,
    ) -> Result<Self, Error> {
        let group_sizes = members
            .chunks(GROUP)
            .map(|group| group.iter().map(Written::size).sum());
        let floor = Self {
            directory: directory.to_owned(),
            bytes: vec![b'x'; group_sizes.max().unwrap_or(0)],
            members,
            threads,
        };
        for number in 0..floor.members.len() {
            let folder = floor.folder(number);
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
            let made = floor.make(number);
            made.map_err(Error::file("write to", &folder))?;
        }
        // Once for the logs' blocks.
        floor.write()?;
        Ok(floor)
    }

    fn make(&self, number: usize) -> io::Result<()> {
        let folder = self.folder(number);
        for document in 0..self.members[number].documents.len() {
            fs::write(folder.join(format!("document-{document}")), "x")?;
        }
        for journal in 0..self.members[number].appended.len() {
            fs::write(folder.join(format!("rows-{journal}")), "x")?;
        }
        Ok(())
    }

    /// Writes everything once; how long that took.
    pub(super) fn write(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        let groups = self.members.len().div_ceil(GROUP);
        let next = AtomicUsize::new(0);
        let work = || -> io::Result<()> {
            loop {
                let group = next.fetch_add(1, Ordering::Relaxed);
                if group >= groups {
                    return Ok(());
                }
                self.write_group(group)?;
            }
        };
        let written = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err(io::Error::other("the floor panicked"));
            let ends = threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(panicked));
            ends.collect::<io::Result<Vec<()>>>()
        });
        written.map_err(Error::file("write to", &self.directory))?;
        Ok(start.elapsed())
    }

    /// Every loop's record into its own log, all of them durably into the
    /// group's, then every row and document in its place.
    fn write_group(&self, group: usize) -> io::Result<()> {
        let numbers = group * GROUP..self.members.len().min((group + 1) * GROUP);
        let mut size = 0;
        for number in numbers.clone() {
            let folder = self.folder(number);
            let member = &self.members[number];
            let bytes = &self.bytes[..member.size()];
            log(&folder.join("log"))?.write_all_at(bytes, 0)?;
            for (place, length) in member.documents.iter().enumerate() {
                fs::write(
                    folder.join(format!("temporary-{place}")),
                    &self.bytes[..*length],
                )?;
            }
            size += bytes.len();
        }
        let log = log(&self.directory.join(format!("log-{group}")))?;
        log.write_all_at(&self.bytes[..size], 0)?;
        log.sync_data()?;
        for number in numbers {
            self.apply(number)?;
        }
        Ok(())
    }

    fn apply(&self, number: usize) -> io::Result<()> {
        let folder = self.folder(number);
        let member = &self.members[number];
        for (place, length) in member.appended.iter().enumerate() {
            let path = folder.join(format!("rows-{place}"));
            let mut journal = OpenOptions::new().append(true).open(path)?;
            journal.write_all(&self.bytes[..*length])?;
        }
        for place in 0..member.documents.len() {
            let temporary = folder.join(format!("temporary-{place}"));
            let document = folder.join(format!("document-{place}"));
            renameat_with(CWD, &temporary, CWD, &document, RenameFlags::EXCHANGE)?;
            fs::remove_file(&temporary)?;
        }
        Ok(())
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// What is written, for people.
    pub(super) fn describe(&self) -> String {
        let sum = |of: fn(&Written) -> usize| self.members.iter().map(of).sum::<usize>();
        format!(
            "{} documents, {} journals, {} bytes, {} syncs, {} threads",
            sum(|member| member.documents.len()),
            sum(|member| member.appended.len()),
            sum(Written::size),
            self.members.len().div_ceil(GROUP),
            self.threads
        )
    }
}

fn log(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_gets_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let members = (0..300).map(|_| Written::of(vec![7], vec![3])).collect();
        let floor = FleetFloor::prepare(directory.path(), members, 2).unwrap();
        floor.write().unwrap();
        for number in ["0", "299"] {
            let folder = directory.path().join(number);
            let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
            assert_eq!(
                (size("document-0"), size("rows-0"), size("log")),
                (7, 7, 10)
            );
            assert!(!folder.join("temporary-0").exists());
        }
        assert!(
            floor
                .describe()
                .contains("300 documents, 300 journals, 3000 bytes, 2 syncs")
        );
    }
}
