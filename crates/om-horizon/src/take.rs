//! Taking files: from the outbox, or left by earlier runs, into the claims.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use om_model::horizon::{FileStatus, WatchedClaim};
use om_store::{Commit, Expect};

use crate::error::HorizonError;
use crate::evaluate::{Claim, claim_target};
use crate::gather::{Content, can_rename, outbox_files};
use crate::leftovers::{Watched, look_at, stale_claims};
use crate::run::{Bridge, Start};

/// Where claims are while nothing is decided about them.
pub(crate) const INFLIGHT: &str = "inflight";
/// All folders of claims.
pub(crate) const FOLDERS: [&str; 3] = [INFLIGHT, "processed", "rejected"];

/// What a run takes.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// For the evaluation.
    pub(crate) claims: Vec<Claim>,
    /// Where each comes from.
    origins: Vec<Origin>,
    /// What is left for later.
    pub(crate) deferred: Vec<String>,
    /// Files that are watched on.
    pub(crate) watched: Vec<WatchedClaim>,
}

/// Where a claim comes from.
#[derive(Debug)]
struct Origin {
    /// `<rel>.claim.<ns>.<pid>` as a path.
    claim: PathBuf,
    means: Means,
}

/// How its bytes get into the claims folder.
#[derive(Debug)]
enum Means {
    /// By renaming the file.
    Rename(PathBuf),
    /// By copying and removing it: it is on another file system.
    Copy(PathBuf),
    /// By writing them: they are the late part of a watched file.
    Write,
}

impl Taken {
    /// Looks at everything there is, in order: claims left behind, late parts
    /// of watched files, the outbox without `busy`.
    pub(crate) fn gather(
        bridge: &Bridge,
        start: &Start,
        watched: &[WatchedClaim],
        busy: &BTreeSet<PathBuf>,
    ) -> Result<Self, HorizonError> {
        let mut taker = Taker {
            bridge,
            start,
            taken: Self::default(),
        };
        taker.left_behind()?;
        taker.late(watched)?;
        taker.outbox(busy)?;
        Ok(taker.taken)
    }

    /// Adds to `commit` what puts a claim into its folder.
    pub(crate) fn settle(
        &self,
        commit: Commit,
        claims_dir: &Path,
        position: usize,
        status: FileStatus,
    ) -> Commit {
        let folder = claim_target(status, "");
        self.put(commit, &claims_dir.join(folder), position)
    }

    /// Adds to `commit` what sets a claim aside; where that is.
    pub(crate) fn set_aside(
        &self,
        commit: Commit,
        claims_dir: &Path,
        position: usize,
    ) -> (Commit, PathBuf) {
        let folder = claims_dir.join(INFLIGHT);
        let target = folder.join(&self.origins[position].claim);
        (self.put(commit, &folder, position), target)
    }

    fn put(&self, commit: Commit, folder: &Path, position: usize) -> Commit {
        let origin = &self.origins[position];
        let bytes = &self.claims[position].bytes;
        let target = folder.join(&origin.claim);
        match &origin.means {
            Means::Rename(from) => commit.rename(from, target),
            Means::Copy(from) => commit
                .document(target, bytes.clone())
                .removal_of(from, Expect::found(Some(bytes))),
            Means::Write => commit.document(target, bytes.clone()),
        }
    }

    /// The file that a claim comes from, for messages.
    pub(crate) fn source(&self, position: usize) -> &Path {
        let origin = &self.origins[position];
        match &origin.means {
            Means::Rename(from) | Means::Copy(from) => from,
            Means::Write => &origin.claim,
        }
    }
}

struct Taker<'a> {
    bridge: &'a Bridge,
    start: &'a Start,
    taken: Taken,
}

impl Taker<'_> {
    fn left_behind(&mut self) -> Result<(), HorizonError> {
        let inflight = self.bridge.claims_dir.join(INFLIGHT);
        for claim in stale_claims(&inflight, self.start)? {
            if self.is_full() {
                break;
            }
            let path = inflight.join(&claim);
            if let Some(bytes) = self.settled(&path, &claim)? {
                self.take(claim, Means::Rename(path), bytes, Kind::Known);
            }
        }
        Ok(())
    }

    fn late(&mut self, watched: &[WatchedClaim]) -> Result<(), HorizonError> {
        let claims = &self.bridge.claims_dir;
        let now = self.start.now();
        for entry in watched {
            let mut entry = entry.clone();
            let looked = look_at(&entry, claims, now, self.start.clock)?;
            match looked {
                Watched::Gone => continue,
                Watched::Grown(bytes) if !self.is_full() => {
                    entry.bytes += bytes.len() as u64;
                    let name = entry.file.split_once('/').map_or("", |(_, name)| name);
                    let claim = self.claim_of(Path::new(name));
                    self.take(claim, Means::Write, bytes, Kind::Late);
                }
                Watched::Unsettled => self.taken.deferred.push(entry.file.clone()),
                Watched::Still | Watched::Grown(_) => {}
            }
            self.taken.watched.push(entry);
        }
        Ok(())
    }

    fn outbox(&mut self, busy: &BTreeSet<PathBuf>) -> Result<(), HorizonError> {
        let outbox = &self.bridge.outbox_dir;
        let processed = self.bridge.claims_dir.join(FOLDERS[1]);
        for relative in outbox_files(outbox)? {
            if self.is_full() {
                break;
            }
            let path = outbox.join(&relative);
            if busy.contains(&path) {
                self.taken.deferred.push(relative.display().to_string());
                continue;
            }
            let Some(bytes) = self.settled(&path, &relative)? else {
                continue;
            };
            let folder = path.parent().unwrap_or(outbox);
            let means = if can_rename(folder, &processed)? {
                Means::Rename(path)
            } else {
                Means::Copy(path)
            };
            self.take(self.claim_of(&relative), means, bytes, Kind::New);
        }
        Ok(())
    }

    /// The bytes of a file, unless it is gone or left for later.
    fn settled(&mut self, path: &Path, relative: &Path) -> Result<Option<Vec<u8>>, HorizonError> {
        let Some(content) = Content::read(path, 0)? else {
            return Ok(None);
        };
        if content.is_settled(self.start.clock) {
            return Ok(Some(content.bytes));
        }
        self.taken.deferred.push(relative.display().to_string());
        Ok(None)
    }

    /// `<rel>.claim.<nanoseconds>.<process>`
    fn claim_of(&self, relative: &Path) -> PathBuf {
        let mut name = OsString::from(relative);
        name.push(format!(
            ".claim.{}.{}",
            self.start.nanoseconds, self.start.pid
        ));
        name.into()
    }

    fn is_full(&self) -> bool {
        let most = self.bridge.max_files;
        most > 0 && self.taken.claims.len() as u64 >= most
    }

    fn take(&mut self, claim: PathBuf, means: Means, bytes: Vec<u8>, kind: Kind) {
        self.taken.claims.push(Claim {
            name: claim.display().to_string(),
            bytes,
            faults_stop: kind == Kind::New,
            is_watched: matches!(means, Means::Rename(_)),
        });
        self.taken.origins.push(Origin { claim, means });
    }
}

/// Whether anybody has been told about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It comes from the outbox.
    New,
    /// An earlier run took it, and did not get to its end.
    Known,
    /// It is the late part of a file that an earlier run took.
    Late,
}
