//! Acting on a loop: one control intent, executed, confirmed and recorded.
//!
//! [`run`] is the whole story (chapter 03 §3.1, decisions D7, D13, D23):
//!
//! ```text
//! commit the intent ─▶ act ─▶ confirm ─▶ commit three rows, forget the intent
//!       │                                      ▲
//!       └── the process dies ──▶ recover_pending: ambiguous, never repeated
//! ```
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`runtime`] | finds and runs the loop runtime | 03 §3.1.4 A, 01 §3 |
//! | [`target`] | would `cancel` hit another loop? pure | D23 |
//! | [`service`] | the request to a sprite service, its answer, pure | 03 §3.1.4 B |
//! | [`confirm`] | is the effect visible? | 03 §3.2 |
//! | [`outcome`] | what happened, as one value; the decision table | 03 §3.1.4 |
//! | [`rows`] | the three rows of an outcome, pure | 03 §3.1.5 |
//! | [`pending`] | intents without an outcome | D7 |
//! | [`quote`] | command lines as a shell reads them | 03 §3.1.4 |

mod clock;
pub mod confirm;
mod error;
mod ledger;
pub mod outcome;
pub mod owner;
pub mod pending;
pub mod quote;
pub mod rows;
mod run;
pub mod runtime;
pub mod service;
pub mod target;

pub use clock::{Clock, SystemClock};
pub use error::ControlError;
pub use ledger::recover_pending;
pub use run::{
    ControlOutcome, ControlRequest, LocalControl, Progress, Record, Transport, TypedNumbers, run,
    run_with, service_token,
};
