//! A disk in memory that forgets what was not synced when it loses power.
//!
//! Sectors are written whole or not at all, in any order; lengths and
//! contents independently of each other; changes of folders up to some
//! point, or each on its own. What was synced stays.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use om_store::LockError;
use om_store::disk::{Appended, Disk, FileInfo, FileKind, Held, Identity, OpenJournal, SyncKind};

use crate::random::Random;

const SECTOR: usize = 512;

/// A file: its durable content, then every content since.
#[derive(Clone, Debug)]
struct Inode {
    versions: Vec<Vec<u8>>,
    mode: u32,
    modified: i64,
}

impl Inode {
    fn content(&self) -> &Vec<u8> {
        &self.versions[self.versions.len() - 1]
    }

    /// Every sector and the length from some version each.
    fn after_power_loss(&self, random: &mut Random) -> Vec<u8> {
        let length = random.choose(&self.versions).len();
        let mut bytes = vec![0; length];
        for (position, sector) in bytes.chunks_mut(SECTOR).enumerate() {
            let version = random.choose(&self.versions);
            let start = (position * SECTOR).min(version.len());
            let end = (start + sector.len()).min(version.len());
            sector[..end - start].copy_from_slice(&version[start..end]);
        }
        bytes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(u64),
}

type Names = BTreeMap<PathBuf, Entry>;

/// A change of folders.
#[derive(Clone, Debug)]
enum Change {
    Add(PathBuf, Entry),
    Exchange(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Change {
    fn concerns(&self, folder: &Path) -> bool {
        let is_in = |path: &PathBuf| path.parent() == Some(folder);
        match self {
            Self::Add(path, _) | Self::Remove(path) => is_in(path),
            Self::Exchange(one, other) | Self::Rename(one, other) => is_in(one) || is_in(other),
        }
    }

    /// Does it, if what it is about is there.
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(path, entry) => {
                if is_placeable(names, path) {
                    names.insert(path.clone(), *entry);
                }
            }
            Self::Exchange(one, other) => {
                if let (Some(first), Some(second)) =
                    (names.get(one).copied(), names.get(other).copied())
                {
                    names.insert(one.clone(), second);
                    names.insert(other.clone(), first);
                }
            }
            Self::Rename(from, to) => {
                if is_placeable(names, to)
                    && let Some(entry) = names.remove(from)
                {
                    names.insert(to.clone(), entry);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

/// Whether the folder that `path` belongs into is there.
fn is_placeable(names: &Names, path: &Path) -> bool {
    path.parent()
        .is_none_or(|folder| names.get(folder) == Some(&Entry::Folder))
}

#[derive(Debug)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    durable_names: Names,
    changes: Vec<Change>,
    clock: i64,
    next_inode: u64,
    boot: u128,
    /// Ids given out.
    ids: u128,
    /// Changing operations until the power fails.
    power: usize,
}

/// The disk.
#[derive(Debug)]
pub(crate) struct Simulated(Mutex<State>);

impl Simulated {
    pub(crate) fn new() -> Self {
        let root: Names = [(PathBuf::from("/"), Entry::Folder)].into();
        Self(Mutex::new(State {
            inodes: BTreeMap::new(),
            names: root.clone(),
            durable_names: root,
            changes: Vec::new(),
            clock: 0,
            next_inode: 1,
            boot: 1,
            ids: 0,
            power: usize::MAX,
        }))
    }

    /// Power fails after `operations` more changes.
    pub(crate) fn fail_after(&self, operations: usize) {
        self.state().power = operations;
    }

    /// Whether it is on.
    pub(crate) fn has_power(&self) -> bool {
        self.state().power > 0
    }

    /// Starts again as after a kill: nothing is lost.
    pub(crate) fn restart(&self) {
        self.state().power = usize::MAX;
    }

    /// Starts again with what the power loss left.
    pub(crate) fn reboot(&self, random: &mut Random) {
        let mut state = self.state();
        for inode in state.inodes.values_mut() {
            inode.versions = vec![inode.after_power_loss(random)];
        }
        let mut names = state.durable_names.clone();
        let changes = std::mem::take(&mut state.changes);
        let in_order = random.below(2) == 0;
        let kept = random.below(changes.len() + 1);
        for (position, change) in changes.iter().enumerate() {
            if if in_order {
                position < kept
            } else {
                random.below(2) == 0
            } {
                change.apply(&mut names);
            }
        }
        state.names = names.clone();
        state.durable_names = names;
        state.boot += 1;
        state.power = usize::MAX;
    }

    /// A whole file as a reader sees it.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        state
            .inode(path)
            .ok()
            .map(|inode| state.inodes[&inode].content().clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }

    /// One changing operation.
    fn change<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state();
        if state.power == 0 {
            return Err(io::Error::other("the power is off"));
        }
        state.power -= 1;
        state.clock += 1;
        let done = act(&mut state);
        if state.power == 0 {
            // It happened, but nobody was told.
            return Err(io::Error::other("the power went off"));
        }
        done
    }
}

impl State {
    fn inode(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(*inode),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn edit(&mut self, path: &Path, act: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let inode = self.inode(path)?;
        let clock = self.clock;
        let file = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
        let mut content = file.content().clone();
        act(&mut content);
        file.versions.push(content);
        file.modified = clock;
        Ok(())
    }

    fn alter(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn add(&mut self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        if self.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if path
            .parent()
            .is_some_and(|folder| !self.names.contains_key(folder))
        {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        let versions = vec![Vec::new(), bytes.to_vec()];
        self.inodes.insert(
            inode,
            Inode {
                versions,
                mode,
                modified: self.clock,
            },
        );
        self.alter(Change::Add(path.to_owned(), Entry::File(inode)));
        Ok(())
    }

    fn sync(&mut self, path: &Path) -> io::Result<()> {
        match self.names.get(path).copied() {
            Some(Entry::File(inode)) => {
                let file = self.inodes.get_mut(&inode).ok_or(io::ErrorKind::NotFound)?;
                file.versions.drain(..file.versions.len() - 1);
            }
            Some(Entry::Folder) => {
                let last = self
                    .changes
                    .iter()
                    .rposition(|change| change.concerns(path));
                for change in self.changes.drain(..last.map_or(0, |last| last + 1)) {
                    change.apply(&mut self.durable_names);
                }
            }
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }
}

impl Disk for Simulated {
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn info(&self, path: &Path) -> io::Result<Option<FileInfo>> {
        let state = self.state();
        Ok(state.names.get(path).map(|entry| match entry {
            Entry::Folder => FileInfo {
                kind: FileKind::Directory,
                mode: 0o755,
                device: 1,
                identity: Identity {
                    inode: 0,
                    length: 0,
                    modified: (0, 0),
                },
            },
            Entry::File(inode) => {
                let file = &state.inodes[inode];
                let length = file.content().len() as u64;
                let identity = Identity {
                    inode: *inode,
                    length,
                    modified: (file.modified, 0),
                };
                FileInfo {
                    kind: FileKind::Regular,
                    mode: file.mode,
                    device: 1,
                    identity,
                }
            }
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.content(path)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_range(&self, path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let content = self.read(path)?;
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Ok(content[start..].iter().take(length).copied().collect())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let state = self.state();
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|path| path.file_name().map(OsString::from))
            .collect())
    }

    fn check_writable(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn check_replaceable(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn open_journal(&self, path: &Path) -> io::Result<OpenJournal> {
        Ok(OpenJournal::at(path))
    }

    fn create_folder(&self, path: &Path, _: u32) -> io::Result<()> {
        self.change(|state| {
            if !state.names.contains_key(path) {
                state.alter(Change::Add(path.to_owned(), Entry::Folder));
            }
            Ok(())
        })
    }

    fn create(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.change(|state| state.add(path, bytes, mode))
    }

    fn append(&self, journal: &OpenJournal, bytes: &[u8], mode: u32) -> io::Result<Appended> {
        let path = &*journal.path;
        self.change(|state| {
            if state.inode(path).is_err() {
                state.add(path, &[], mode)?;
            }
            let before = state.inodes[&state.inode(path)?].content();
            let appended = Appended {
                start: before.len() as u64,
                at_line_start: before.last().is_none_or(|last| *last == b'\n'),
            };
            state.edit(path, |content| content.extend_from_slice(bytes))?;
            Ok(appended)
        })
    }

    fn reserve(&self, _: &Path, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn write_at(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(|state| {
            state.edit(path, |content| {
                let start = usize::try_from(offset).expect("small");
                content.resize(content.len().max(start + bytes.len()), 0);
                content[start..start + bytes.len()].copy_from_slice(bytes);
            })
        })
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        self.change(|state| {
            state.edit(path, |content| {
                content.resize(usize::try_from(length).expect("small"), 0);
            })
        })
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        self.change(|state| {
            state.inode(one).and(state.inode(other))?;
            state.alter(Change::Exchange(one.to_owned(), other.to_owned()));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            state.inode(from)?;
            state.alter(Change::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.state().names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.inode(path)?;
            state.alter(Change::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn sync(&self, path: &Path, _: SyncKind) -> io::Result<()> {
        self.change(|state| state.sync(path))
    }

    fn lock(&self, _: &Path, _: Duration) -> Result<Held, LockError> {
        Ok(Held::new(None))
    }

    fn boot_id(&self) -> Option<u128> {
        Some(self.state().boot)
    }
    fn random_id(&self) -> u128 {
        let mut state = self.state();
        state.ids += 1;
        state.ids
    }
}
