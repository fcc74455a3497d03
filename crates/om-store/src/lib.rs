//! The `.superloop` tree on disk.
//!
//! Bytes, paths, durability and locks; what a document means is decided
//! elsewhere. The parts:
//!
//! - [`RepoLayout`]: logical name → path.
//! - [`read_artifact`], [`last_rows`], [`LineReader`], [`read_fold`]: reading.
//! - [`Commit`], [`Scope`], [`commit_group`]: many changes as one, with one
//!   durable write, recovered after a kill or a power loss.
//! - [`View`]: reading without locks while others commit.
//! - [`RunLock`], [`DirLock`]: one run at a time.

mod apply;
mod archive;
mod chain;
mod commit;
mod digest;
#[doc(hidden)]
pub mod disk;
mod documents;
mod error;
mod fold;
mod frame;
mod group;
mod journal;
mod layout;
mod lines;
mod lock;
mod log;
mod open;
mod perform;
mod plan;
mod record;
mod replay;
mod rows;
mod scope;
mod view;

pub use commit::{
    Commit, DocumentOptions, DocumentWrite, Expect, FileMove, ForeignEdit, GroupResult, MAX_GROUP,
    Receipt, Recovery, RowAppend,
};
pub use digest::{DigestError, ResumableSha256, Sha256Digest, digest};
pub use documents::{read_artifact, read_bytes, replace_document};
pub use error::{CommitError, LockError, ReadError, WriteError};
pub use fold::{Fold, read_fold};
pub use group::commit_group;
pub use journal::{Row, last_row, last_rows, line_number_of};
pub use layout::{FleetFile, FleetLayout, LoopFile, LoopLayout, RepoLayout, RuntimeLayout};
pub use lines::{Line, LineReader};
pub use lock::{DirLock, RUN_LOCK_WAIT, RunLock};
pub use scope::Scope;
pub use view::View;
