//! A promotion decision becomes a governed change of the rollout: expand,
//! resume, roll back (chapter 07 §3, decisions D14, D20).
//!
//! [`prepare`] reads and decides, [`run`] commits: the registry, the record
//! and its row in the audit trail change together or not at all.
//!
//! | module | what it does |
//! |---|---|
//! | `request` | flags and their messages |
//! | `decision` | whether the promotion decision allows it; pure |
//! | `change` | which members of the registry change, and the record of it; pure |
//! | `replay` | the answer to a key that was used before |

mod change;
mod decision;
mod registry;
mod replay;
mod request;
mod run;

pub(crate) use request::split_refs;
pub use request::{ApplyRequest, Governance};
pub use run::{Change, Prepared, prepare, run, run_as_seen};
pub(crate) use run::{StateFile, stage};
