//! A scope: one folder whose files change by commits (a loop's, the fleet's).

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use crate::apply::{apply_plan, repair};
use crate::chain::{Chain, REDO, chain};
use crate::commit::{Commit, ForeignEdit, Receipt, Recovery};
use crate::disk::{Disk, FileKind, Held, RealDisk};
use crate::error::{CommitError, Failure, LockError};
use crate::lock::{RUN_LOCK_WAIT, RunLock};
use crate::log::{AppendError, Extent, Found, Log};
use crate::perform::{Temporaries, make_folders, sweep};
use crate::plan::{Plan, plan};
use crate::record::Pass;
use crate::replay::Replay;

/// Name of a scope's private folder: records, locks, folds.
pub(crate) const STORE_DIR: &str = ".store";

/// Longest wait for another process's commit in the same scope.
pub(crate) const STORE_LOCK_WAIT: Duration = Duration::from_secs(60);

/// Names of what is kept of damaged records: this and a number.
const DAMAGED: &str = "damaged-";

/// Journals of one commit that stay open while it is recorded.
const OPEN_JOURNALS: usize = 64;

/// From this many bytes of records on, a checkpoint is made.
const CHECKPOINT_BYTES: u64 = 1024 * 1024;

/// One folder whose files change by commits.
///
/// Cheap to open: nothing is locked or recovered until [`Scope::commit`] or
/// [`Scope::recover`].
#[derive(Clone, Debug)]
pub struct Scope {
    dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) checkpoint_bytes: u64,
}

impl Scope {
    /// Opens the scope of `scope_dir`; makes it and its private folder
    /// `.store` (mode 0700) if needed.
    pub fn open(scope_dir: impl Into<PathBuf>) -> Result<Self, CommitError> {
        Self::open_on(scope_dir, Arc::new(RealDisk), CHECKPOINT_BYTES)
    }

    /// [`Self::open`] on another disk and with other checkpoints, for tests.
    #[doc(hidden)]
    pub fn open_on(
        scope_dir: impl Into<PathBuf>,
        disk: Arc<dyn Disk>,
        checkpoint_bytes: u64,
    ) -> Result<Self, CommitError> {
        let dir = scope_dir.into();
        let dir = std::path::absolute(&dir).map_err(Failure::at("find", &dir))?;
        let scope = Self {
            dir,
            disk,
            checkpoint_bytes,
        };
        make_store_dir(&*scope.disk, &scope.dir)?;
        Ok(scope)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The private folder.
    pub(crate) fn store_dir(&self) -> PathBuf {
        self.dir.join(STORE_DIR)
    }

    /// Locks `command` on this scope for a run, waiting up to
    /// [`RUN_LOCK_WAIT`].
    pub fn run_lock(&self, command: &str) -> Result<RunLock, LockError> {
        RunLock::acquire(&self.dir, command, RUN_LOCK_WAIT)
    }

    /// Completes what a killed process left unfinished. Commits do so too;
    /// commands that write call this first, so that they read what is true.
    pub fn recover(&self) -> Result<Recovery, CommitError> {
        let mut session = Session::open(self)?;
        // Under the lock nobody else has temporaries.
        sweep(&*self.disk, &self.store_dir())?;
        settle(&mut [&mut session])?;
        Ok(Recovery {
            examined: session.examined,
            foreign: session.foreign,
        })
    }

    /// Applies `commit` wholly or not at all, with one durable write.
    ///
    /// Fails with nothing written if a precondition does not hold or the disk
    /// refuses, or if an earlier commit cannot be completed
    /// ([`CommitError::RecoveryBlocked`]). [`CommitError::ApplyIncomplete`]
    /// means that the commit is recorded and the next writing command
    /// completes it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a commit is spent by committing it"
    )]
    pub fn commit(&self, commit: Commit) -> Result<Receipt, CommitError> {
        let mut session = Session::open(self)?;
        session.make_room()?;
        settle(&mut [&mut session])?;
        if commit.is_empty() {
            return Ok(Receipt {
                foreign: session.foreign,
            });
        }
        let store_dir = self.store_dir();
        let mut temporaries = Temporaries::new(&*self.disk, &store_dir);
        let planned = plan(
            &*self.disk,
            &self.dir,
            &commit,
            &mut temporaries,
            OPEN_JOURNALS,
        );
        let recorded = planned.and_then(|plan| {
            let record = session.log.encode_next(&plan.pass.index(), &plan.pass.body);
            session.log.append(record, true)?;
            Ok(plan)
        });
        match recorded {
            Ok(plan) => session.apply(&plan),
            Err(error) => {
                temporaries.discard();
                Err(error)
            }
        }
    }

    /// Fails as [`Self::commit`] would, and changes nothing but that folders
    /// are made: for whoever has to know that what is going to be done can be
    /// told, before it is done.
    pub fn check(&self, commit: &Commit) -> Result<(), CommitError> {
        let mut session = Session::open(self)?;
        settle(&mut [&mut session])?;
        let store_dir = self.store_dir();
        let mut temporaries = Temporaries::new(&*self.disk, &store_dir);
        let planned = plan(&*self.disk, &self.dir, commit, &mut temporaries, 0);
        temporaries.discard();
        planned.map(drop)
    }
}

impl From<AppendError> for CommitError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Undone(failure) => failure.into(),
            AppendError::InDoubt(failure) => failure.after_record(),
        }
    }
}

/// A scope under its store lock, recovered.
pub(crate) struct Session<'a> {
    pub(crate) scope: &'a Scope,
    _held: Held,
    pub(crate) log: Log,
    pub(crate) foreign: Vec<ForeignEdit>,
    examined: usize,
    /// What has to be durable before the log may be used.
    unsynced: Vec<PathBuf>,
    /// Whether syncing that is a checkpoint, and up to which sequence.
    checkpoint: Option<u64>,
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("scope", &self.scope.dir)
            .finish_non_exhaustive()
    }
}

impl<'a> Session<'a> {
    /// Locks the scope and repairs what is unfinished. [`settle`] has to
    /// follow before anything is recorded.
    pub(crate) fn open(scope: &'a Scope) -> Result<Self, CommitError> {
        let (disk, store_dir) = (&scope.disk, scope.store_dir());
        make_store_dir(&**disk, &scope.dir)?;
        let held = disk.lock(&store_dir.join("store.lock"), STORE_LOCK_WAIT)?;
        let (log, found) = match Log::open(disk, &store_dir, REDO)? {
            Some(opened) => opened,
            None => (Log::create(disk, &store_dir, REDO)?, Found::Unknown),
        };
        let mut session = Self {
            scope,
            _held: held,
            log,
            foreign: Vec::new(),
            examined: 0,
            unsynced: Vec::new(),
            checkpoint: None,
        };
        session.recover(found)?;
        Ok(session)
    }

    fn recover(&mut self, found: Found) -> Result<(), CommitError> {
        let scope = self.scope;
        let single = match &found {
            Found::Clean => return Ok(()),
            Found::Unapplied(record) => Some(record.header.padded_length()),
            Found::Damaged | Found::Unknown => None,
        };
        let is_damaged = matches!(found, Found::Damaged);
        let chain = chain(&scope.disk, &scope.dir, &self.log, found)?;
        if let Some(range) = &chain.damaged {
            self.keep_damaged(range)?;
        }
        if is_damaged {
            self.log.forget_damaged();
            return Ok(());
        }
        // What is built on has to be durable first: the process that wrote
        // the record may have died before it was.
        self.log
            .sync_data()
            .map_err(Failure::at("sync", self.log.path()))?;
        self.examined = chain.passes.len();
        let replay = Replay::run(&*scope.disk, &scope.dir, &chain).map_err(Failure::in_recovery)?;
        let foreign =
            repair(&*scope.disk, &scope.store_dir(), &replay).map_err(Failure::in_recovery)?;
        for edit in foreign {
            self.report(edit);
        }
        match single {
            Some(padded) => self.log.mark_found_applied(padded),
            None => self.checkpoint_after(&chain),
        }
        Ok(())
    }

    /// Puts the bytes of damaged records aside, as evidence, and says so.
    fn keep_damaged(&mut self, range: &Range<u64>) -> Result<(), Failure> {
        let (disk, store_dir) = (&*self.scope.disk, self.scope.store_dir());
        let names = disk
            .list(&store_dir)
            .map_err(Failure::at("list", &store_dir))?;
        let numbers = names
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix(DAMAGED)?.parse::<u64>().ok());
        let number = numbers.max().unwrap_or(0);
        let kept = |number| store_dir.join(format!("{DAMAGED}{number}"));
        let bytes = self.log.read_bytes(range)?;
        // Kept already if recovery was interrupted after this.
        if !disk.read(&kept(number)).is_ok_and(|known| known == bytes) {
            let path = kept(number + 1);
            disk.create(&path, &bytes, 0o600)
                .map_err(Failure::at("write", &path))?;
        }
        let what = "a commit recorded in it is damaged and cannot be completed; its bytes are kept beside it as damaged-<n>, compare the files of the last pass";
        self.report(ForeignEdit {
            path: self.log.path().to_owned(),
            what,
        });
        Ok(())
    }

    fn report(&mut self, edit: ForeignEdit) {
        tracing::warn!(path = %edit.path.display(), "recovery: {}", edit.what);
        self.foreign.push(edit);
    }

    /// After the whole log was examined everything is made durable, its own
    /// existence included.
    fn checkpoint_after(&mut self, chain: &Chain) {
        let scope_dir = &self.scope.dir;
        self.unsynced = chain
            .passes
            .iter()
            .flat_map(|(_, pass)| pass.touched(scope_dir))
            .collect();
        self.unsynced.push(self.log.path().to_owned());
        self.unsynced.push(self.scope.store_dir());
        // The scope may be new, down from the repository.
        self.unsynced
            .extend(scope_dir.ancestors().take(4).map(Path::to_owned));
        self.checkpoint = Some(chain.sequence);
    }

    /// Plans a checkpoint if the log is full.
    pub(crate) fn make_room(&mut self) -> Result<(), CommitError> {
        if self.log.is_full(self.scope.checkpoint_bytes) {
            self.plan_checkpoint()?;
        }
        Ok(())
    }

    /// Plans a checkpoint, unless one is planned.
    pub(crate) fn plan_checkpoint(&mut self) -> Result<(), CommitError> {
        if self.checkpoint.is_none() {
            let records = self.log.all_records(Extent::IndexOnly)?;
            if let Some(range) = &records.damaged {
                self.keep_damaged(range)?;
            }
            for record in records.whole {
                if let Some(pass) = Pass::parse(&record.index, Vec::new()) {
                    self.unsynced.extend(pass.touched(&self.scope.dir));
                }
            }
            // The temporaries' names too: all exchanges are over.
            self.unsynced.push(self.scope.store_dir());
            self.checkpoint = Some(self.log.head().sequence);
        }
        Ok(())
    }

    /// Applies what was just recorded.
    pub(crate) fn apply(mut self, plan: &Plan) -> Result<Receipt, CommitError> {
        self.log.mark_recorded();
        let applied = apply_plan(&*self.scope.disk, &self.scope.dir, plan);
        self.foreign.extend(applied.map_err(Failure::after_record)?);
        self.log.mark_applied();
        Ok(Receipt {
            foreign: self.foreign,
        })
    }
}

/// Makes durable what the sessions need before they record anything, all of
/// them at once, and starts their logs anew where a checkpoint is due.
pub(crate) fn settle(sessions: &mut [&mut Session<'_>]) -> Result<(), CommitError> {
    let due = || Failure::at("sync", Path::new("the files of earlier commits"));
    let mut paths: Vec<PathBuf> = sessions
        .iter_mut()
        .flat_map(|s| std::mem::take(&mut s.unsynced))
        .collect();
    let Some(disk) = sessions.first().map(|s| Arc::clone(&s.scope.disk)) else {
        return Ok(());
    };
    paths.sort_unstable();
    paths.dedup();
    if !paths.is_empty() {
        disk.sync_all(&paths).map_err(due())?;
    }
    let mut recycled = Vec::new();
    for session in sessions {
        if let Some(sequence) = session.checkpoint.take() {
            session.log.recycle(sequence)?;
            recycled.push(&mut session.log);
        }
    }
    if !recycled.is_empty() {
        let heads: Vec<_> = recycled
            .iter()
            .map(|log| log.head_path().to_owned())
            .collect();
        disk.sync_all(&heads).map_err(due())?;
    }
    for log in recycled {
        log.shrink();
    }
    Ok(())
}

/// Makes a scope's folder and its private folder, if they are missing.
fn make_store_dir(disk: &dyn Disk, scope_dir: &Path) -> Result<(), Failure> {
    const PRIVATE: u32 = 0o700;
    let store_dir = scope_dir.join(STORE_DIR);
    match disk
        .info(&store_dir)
        .map_err(Failure::at("look at", &store_dir))?
        .map(|found| found.kind)
    {
        Some(FileKind::Directory) => Ok(()),
        Some(_) => {
            let what = "it is not a folder; move it away";
            Err(Failure {
                action: "use",
                path: store_dir,
                source: io::Error::new(io::ErrorKind::NotADirectory, what),
            })
        }
        None => {
            make_folders(disk, scope_dir)?;
            disk.create_folder(&store_dir, PRIVATE)
                .map_err(Failure::at("create", &store_dir))
        }
    }
}

/// [`make_store_dir`] on the real disk, for run locks.
pub(crate) fn prepare_store_dir(scope_dir: &Path) -> Result<(), Failure> {
    make_store_dir(&RealDisk, scope_dir)
}
