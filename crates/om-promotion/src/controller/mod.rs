//! The recurring run: observe, evaluate, decide, propose or apply, verify,
//! and roll back if need be (chapter 07 §5, decision D19).
//!
//! ```text
//! evaluate ─▶ fresh? budget? ─▶ commit pending ─▶ apply ─▶ verify ─▶ commit row
//!                                    │                        └▶ roll back ─┘
//!                                    └─ killed ─▶ the next run writes the row
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `request` | flags and their messages, what the stages are told |
//! | `freshness` | how old the decision is; pure |
//! | `freeze` | times in which nothing is promoted; pure |
//! | `history` | what earlier runs did; pure but for reading |
//! | `budget` | what may still be done; pure |
//! | `verification` | whether a change was right; pure |
//! | `outcome` | the document of a run; pure |
//! | `pending` | runs that were killed |

mod budget;
mod freeze;
mod freshness;
mod history;
mod outcome;
mod pending;
mod request;
mod run;
mod stages;
mod verification;

pub use request::{ControllerRequest, FileTexts, LimitTexts};
pub use run::run;
