//! The Horizon bridge: envelopes from an outbox become pending intents, exactly
//! once; and what a person decides about them (chapter 08 part I).
//!
//! ```text
//! outbox, queue, state ─▶ evaluate ─▶ ONE commit: files moved, queue, state, rows
//! queue entry ─▶ ambiguous, begun ─▶ control ─▶ its outcome, and a row
//! ```
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`envelope`] | a line against the envelope contract, pure | §1.1, §2.4 step 5 |
//! | [`previous`] | the queue and the state of the run before, pure | §2.3 |
//! | [`evaluate()`] | queue, state, rows, what becomes of each file, pure | §2.4–§2.5 |
//! | [`merge`] | the queue's order and identity, pure | §2.4 step 7 |
//! | [`run()`] | all of it, in one commit | D7, D8 |
//! | [`decision`] | which entry, and may it be decided about, pure | issue: `horizon queue` |
//! | [`decide`] | intent committed, control called, outcome committed | D7 |

pub mod decide;
pub mod decision;
pub mod envelope;
mod error;
mod evaluate;
mod gather;
mod leftovers;
pub mod merge;
pub mod previous;
mod run;
mod take;

pub use error::{DocumentError, HorizonError};
pub use evaluate::{Claim, Context, Evaluation, Fault, Inputs, Places, evaluate};
pub use run::{Bridge, Start, run, run_in};
