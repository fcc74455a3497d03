//! Handoff: what to do about a fleet's candidates, and doing it, with a
//! person's confirmation or inside the guardrails (chapter 06 §2).
//!
//! ```text
//! plan row, pending ─▶ last look ─▶ intent row ─▶ control ─▶ outcome row ─▶ … ─▶ execute row, state
//!       │                                  └── the process dies ──┘
//!       └────────────────▶ the next handoff records what was done; nothing is repeated
//! ```
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`policy_view`], [`previous`] | what is read, tolerantly | §2.3 |
//! | [`plan`] | which intents there are, and who may act on them | §2.4.1–§2.4.2, D16, D17, D28 |
//! | [`summary`] | counts and reason codes | §2.5.1, §2.7 |
//! | [`targets`] | what an execution is about | §2.4.3–§2.4.4, D28 |
//! | [`look`], [`fence`] | what is against a dispatch just now | D15, D23 |
//! | [`key`] | idempotency keys | §2.4.1, D28 |
//! | [`control`] | calls control, built in or the hook | §2.4.5, §2.6 |
//! | [`outcome`], [`execution`] | what came of it, and the state after it | §2.4.5, §2.5 |
//! | [`dispatch_fold`], [`resolve`] | dispatches whose run died | D7 |
//! | [`prune`] | moves old rows of the journals out of the way | |
//! | [`run()`] | all of it: gather, plan, act, record | |

pub mod control;
pub mod dispatch_fold;
mod error;
pub mod execution;
pub mod fence;
mod gather;
mod journal;
pub mod key;
pub mod look;
mod members;
pub mod outcome;
pub mod plan;
pub mod policy_view;
pub mod previous;
pub mod prune;
pub mod resolve;
mod run;
pub mod summary;
pub mod targets;

pub use control::{ControlStage, HOOK_VARIABLE, Seconds};
pub use error::{DocumentError, HandoffError};
pub use run::{Action, FailOn, Handoff, HandoffFiles, Order, Progress, run};
