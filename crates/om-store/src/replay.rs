//! What recorded commits still have to change, given what is on disk.
//!
//! The chain is played over the files as they are found, in memory, and the
//! differences are what has to be repaired. Writers perform them; readers
//! look through them. A document is only ever replaced if it is something
//! that the chain explains: the recorded *before* or *after* of a commit,
//! missing, empty, or (after a reboot) a torn version of an *after*. A row is
//! only added if it is not there at or after its place. Anything else is
//! someone else's edit and stays.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::chain::Chain;
use crate::commit::ForeignEdit;
use crate::digest::{Sha256Digest, digest};
use crate::disk::{Disk, FileKind, Identity};
use crate::documents::DEFAULT_MODE;
use crate::error::Failure;
use crate::open::not_regular;
use crate::perform::is_torn_version;
use crate::record::{DocumentEntry, JournalEntry, MoveEntry, Pass, RemovalEntry, torn_path};
use crate::rows::Region;

/// Content of a file as far as the chain is concerned with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// No file.
    Absent,
    /// Something that is only renamed, or not a regular file.
    Opaque,
    /// Its bytes, from some offset on.
    Bytes(Region),
}

/// One file under replay.
#[derive(Clone, Debug)]
pub(crate) struct Virtual {
    pub(crate) on_disk: Content,
    pub(crate) now: Content,
    pub(crate) mode: u32,
    /// Whether it is only appended to.
    pub(crate) is_journal: bool,
    identity: Option<Identity>,
    /// Every content that the chain knows of.
    seen: Vec<Sha256Digest>,
    /// Whether the name was durable before the chain began.
    name_durable: bool,
    /// Whether `now` was made by the chain.
    ours: bool,
    /// Offsets of the rows found or added so far.
    claimed: BTreeSet<u64>,
    foreign: Option<&'static str>,
}

/// The result of a replay.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Every file of the chain.
    pub(crate) files: BTreeMap<PathBuf, Virtual>,
    /// Renames to perform before anything else.
    pub(crate) moves: Vec<(PathBuf, PathBuf)>,
}

/// How the chain uses a path; decides how much of the file is read.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The whole content matters.
    document: bool,
    /// Rows begin here.
    rows_from: Option<u64>,
}

impl Replay {
    /// Plays `chain` over what is on disk.
    pub(crate) fn run(disk: &dyn Disk, scope_dir: &Path, chain: &Chain) -> Result<Self, Failure> {
        let mut player = Player {
            disk,
            scope_dir,
            chain,
            uses: uses(scope_dir, chain),
            replay: Self::default(),
        };
        for (position, (sequence, pass)) in chain.passes.iter().enumerate() {
            player.play(position, *sequence, pass)?;
        }
        Ok(player.replay)
    }

    /// Edits that kept a commit from being applied.
    pub(crate) fn foreign(&self) -> Vec<ForeignEdit> {
        let edits = self
            .files
            .iter()
            .filter_map(|(path, file)| Some((path, file.foreign?)));
        edits
            .map(|(path, what)| ForeignEdit {
                path: path.clone(),
                what,
            })
            .collect()
    }
}

fn uses(scope_dir: &Path, chain: &Chain) -> BTreeMap<PathBuf, Use> {
    let mut uses: BTreeMap<PathBuf, Use> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (_, pass) in &chain.passes {
        let documents = pass.documents.iter().map(|entry| &entry.path);
        for path in documents.chain(pass.removals.iter().map(|entry| &entry.path)) {
            uses.entry(path.under(scope_dir)).or_default().document = true;
        }
        for entry in &pass.journals {
            let path = entry.path.under(scope_dir);
            let torn = entry
                .torn
                .as_ref()
                .map(|torn| (torn_path(&path), torn.length));
            for (path, from) in torn.into_iter().chain([(path, entry.length)]) {
                let known = uses.entry(path).or_default();
                known.rows_from = Some(known.rows_from.unwrap_or(from).min(from));
            }
        }
        pairs.extend(
            pass.moves
                .iter()
                .map(|m| (m.from.under(scope_dir), m.to.under(scope_dir))),
        );
    }
    // What is renamed is read if either name is written too. Backwards, so
    // that a need at the end of a row of renames reaches its beginning.
    for (from, to) in pairs.iter().rev().chain(&pairs) {
        let is_read = |path| {
            uses.get(path)
                .is_some_and(|u| u.document || u.rows_from.is_some())
        };
        let document = is_read(from) || is_read(to);
        uses.entry(from.clone()).or_default().document |= document;
        uses.entry(to.clone()).or_default().document |= document;
    }
    uses
}

struct Player<'a> {
    disk: &'a dyn Disk,
    scope_dir: &'a Path,
    chain: &'a Chain,
    uses: BTreeMap<PathBuf, Use>,
    replay: Replay,
}

impl Player<'_> {
    fn play(&mut self, position: usize, sequence: u64, pass: &Pass) -> Result<(), Failure> {
        let known = sequence <= self.chain.known_applied;
        for entry in &pass.journals {
            self.journal(position, known, pass, entry)?;
        }
        for entry in pass.documents.iter().filter(|entry| !entry.last) {
            self.document(known, pass, entry)?;
        }
        for entry in &pass.moves {
            self.rename(known, entry)?;
        }
        for entry in &pass.removals {
            self.removal(known, entry)?;
        }
        for entry in pass.documents.iter().filter(|entry| entry.last) {
            self.document(known, pass, entry)?;
        }
        Ok(())
    }

    fn document(&mut self, known: bool, pass: &Pass, entry: &DocumentEntry) -> Result<(), Failure> {
        let rebooted = self.chain.rebooted;
        let bytes = pass.bytes(entry.content);
        let file = self.file(&entry.path.under(self.scope_dir), entry.before.is_some())?;
        file.seen.extend(entry.before);
        let replace = match &file.now {
            // The name cannot have been lost, so someone removed the file
            // after it was written.
            Content::Absent => !(known && file.name_durable && file.on_disk == Content::Absent),
            Content::Opaque => false,
            Content::Bytes(region) => {
                let found = digest(&region.bytes);
                let torn = rebooted && is_torn_version(&region.bytes, bytes);
                found == entry.after
                    || region.bytes.is_empty()
                    || torn
                    || file.seen.contains(&found)
            }
        };
        file.seen.push(entry.after);
        if replace {
            file.now = Content::Bytes(Region {
                keep: 0,
                bytes: bytes.to_vec(),
            });
            file.mode = entry.mode;
            file.ours = true;
            file.foreign = None;
        } else {
            file.note(known, "it was edited while a commit was not finished; the edit stays, the commit's version is not written");
        }
        Ok(())
    }

    fn removal(&mut self, known: bool, entry: &RemovalEntry) -> Result<(), Failure> {
        let file = self.file(&entry.path.under(self.scope_dir), true)?;
        file.seen.push(entry.before);
        let remove = match &file.now {
            Content::Absent => true,
            Content::Opaque => false,
            Content::Bytes(r) => {
                file.ours || r.bytes.is_empty() || file.seen.contains(&digest(&r.bytes))
            }
        };
        if remove {
            file.now = Content::Absent;
            file.ours = true;
            file.name_durable = false;
            file.foreign = None;
        } else {
            file.note(
                known,
                "it was edited while a commit that removes it was not finished; it stays",
            );
        }
        Ok(())
    }

    fn rename(&mut self, known: bool, entry: &MoveEntry) -> Result<(), Failure> {
        let (from, to) = (
            entry.from.under(self.scope_dir),
            entry.to.under(self.scope_dir),
        );
        let source = self.file(&from, true)?.clone();
        let target = self.file(&to, entry.replaced.is_some())?.clone();
        let is_it = |file: &Virtual| {
            file.on_disk != Content::Absent && file.identity == Some(entry.identity)
        };
        let gone = Virtual {
            on_disk: Content::Absent,
            now: Content::Absent,
            identity: None,
            ours: true,
            name_durable: false,
            foreign: None,
            ..source.clone()
        };
        if is_it(&target) {
            // Done already. A source that the chain only made up goes again.
            if source.on_disk == Content::Absent {
                self.replay.files.insert(from, gone);
            }
            return Ok(());
        }
        let may_replace =
            target.now == Content::Absent || target.ours || target.identity == entry.replaced;
        if is_it(&source) && may_replace {
            self.replay.moves.push((from.clone(), to.clone()));
            self.replay.files.insert(from, gone);
            self.replay.files.insert(
                to,
                Virtual {
                    ours: true,
                    name_durable: false,
                    foreign: None,
                    ..source
                },
            );
            return Ok(());
        }
        if source.ours && source.on_disk == Content::Absent {
            self.replay.files.insert(from.clone(), gone);
        }
        self.file(&from, true)?.note(
            known,
            "it was edited while a commit that renames it was not finished; it stays",
        );
        Ok(())
    }

    fn journal(
        &mut self,
        position: usize,
        known: bool,
        pass: &Pass,
        entry: &JournalEntry,
    ) -> Result<(), Failure> {
        let path = entry.path.under(self.scope_dir);
        if let Some(torn) = &entry.torn {
            let row = pass.bytes(torn.row);
            self.rows(&torn_path(&path), torn.length, row, known)?;
            self.file(&path, true)?
                .cut(entry.length, &row[..row.len().saturating_sub(1)]);
        }
        if known && self.was_rotated_later(position, entry) {
            return Ok(());
        }
        self.rows(&path, entry.length, pass.bytes(entry.rows), known)
    }

    /// Whether a later commit met the journal shorter than this one left it:
    /// someone put it aside in between, with this commit's rows.
    fn was_rotated_later(&self, position: usize, entry: &JournalEntry) -> bool {
        let end = entry.length + entry.rows.length as u64;
        let later = self.chain.passes[position + 1..]
            .iter()
            .flat_map(|(_, pass)| &pass.journals);
        later
            .filter(|other| other.path == entry.path)
            .any(|other| other.length < end)
    }

    /// Makes sure that `rows` are in the journal, at or after `length`.
    fn rows(&mut self, path: &Path, length: u64, rows: &[u8], known: bool) -> Result<(), Failure> {
        let rebooted = self.chain.rebooted;
        let durable_length = self.uses.get(path).and_then(|u| u.rows_from).unwrap_or(0);
        let file = self.file(path, length > 0)?;
        if file.now == Content::Absent {
            file.now = Content::Bytes(Region::default());
        }
        let Content::Bytes(region) = &mut file.now else {
            file.note(
                known,
                "it is not a regular file; rows of a commit are missing",
            );
            return Ok(());
        };
        // Shorter than it durably was: put aside or cut by someone after the
        // rows were in.
        if known && !file.ours && region.end() < durable_length {
            if file.on_disk == Content::Absent {
                file.now = Content::Absent;
            }
            return Ok(());
        }
        if let Some(tail) = region.insert_rows(length, &mut file.claimed, rows, rebooted) {
            self.put_aside(path, &tail)?;
        }
        Ok(())
    }

    /// Someone's unterminated line that was in the way of our rows goes to
    /// the `.torn` file, once.
    fn put_aside(&mut self, path: &Path, tail: &[u8]) -> Result<(), Failure> {
        let torn = torn_path(path);
        self.uses
            .entry(torn.clone())
            .or_default()
            .rows_from
            .get_or_insert(0);
        let row = [tail, b"\n"].concat();
        let file = self.file(&torn, false)?;
        if file.now == Content::Absent {
            file.now = Content::Bytes(Region::default());
        }
        match &mut file.now {
            Content::Bytes(region) if region.bytes.ends_with(&row) => Ok(()),
            Content::Bytes(region) => {
                region.bytes.extend_from_slice(&row);
                Ok(())
            }
            Content::Absent | Content::Opaque => {
                Err(Failure::at("append to", &torn)(not_regular()))
            }
        }
    }

    /// The file at `path`, read on first use.
    fn file(&mut self, path: &Path, name_durable: bool) -> Result<&mut Virtual, Failure> {
        if !self.replay.files.contains_key(path) {
            let wanted = self.uses.get(path).copied().unwrap_or_default();
            let file = load(self.disk, path, wanted, name_durable)?;
            self.replay.files.insert(path.to_owned(), file);
        }
        Ok(self
            .replay
            .files
            .entry(path.to_owned())
            .or_insert_with(Virtual::absent))
    }
}

fn load(disk: &dyn Disk, path: &Path, wanted: Use, name_durable: bool) -> Result<Virtual, Failure> {
    let info = disk.info(path).map_err(Failure::at("look at", path))?;
    let content = match info {
        None => Content::Absent,
        Some(found) if found.kind != FileKind::Regular => Content::Opaque,
        Some(_) if !wanted.document && wanted.rows_from.is_none() => Content::Opaque,
        Some(found) => {
            let from = if wanted.document {
                0
            } else {
                wanted.rows_from.unwrap_or(0)
            };
            let keep = if found.identity.length >= from {
                from
            } else {
                0
            };
            let bytes = disk.read_range(path, keep, u64::MAX - keep);
            Content::Bytes(Region {
                keep,
                bytes: bytes.map_err(Failure::at("read", path))?,
            })
        }
    };
    Ok(Virtual {
        on_disk: content.clone(),
        now: content,
        mode: info.map_or(DEFAULT_MODE, |found| found.mode),
        is_journal: !wanted.document,
        identity: info.map(|found| found.identity),
        name_durable,
        ..Virtual::absent()
    })
}

impl Virtual {
    fn absent() -> Self {
        Self {
            on_disk: Content::Absent,
            now: Content::Absent,
            mode: DEFAULT_MODE,
            is_journal: false,
            identity: None,
            seen: Vec::new(),
            name_durable: false,
            ours: false,
            claimed: BTreeSet::new(),
            foreign: None,
        }
    }

    /// Remembers someone else's edit, unless the commit was applied before:
    /// then it is simply a later edit.
    fn note(&mut self, known: bool, what: &'static str) {
        self.foreign = if known { None } else { Some(what) };
    }

    /// Cuts off what is left of the unterminated `tail` at `length`.
    fn cut(&mut self, length: u64, tail: &[u8]) {
        if let Content::Bytes(region) = &mut self.now {
            region.cut(length, tail);
        }
    }
}
