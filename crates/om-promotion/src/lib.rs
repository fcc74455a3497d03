//! Promotion: may autonomy be widened, and doing so, governed and audited.
//!
//! Five commands form one pipeline; each is a pure evaluation and a shell
//! around it (chapter 07):
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`gates`] | five gates over the evidence: `promote` or `hold` | 07 §1, D18, D19 |
//! | [`ci`] | the same in a pipeline, with files and a summary | 07 §2, D21 |
//! | [`apply`] | expand, resume or roll back, with an audit row in the same commit | 07 §3, D14, D20 |
//! | [`orchestrate`] | check, then preview, apply or roll back | 07 §4, D20, D21 |
//! | [`controller`] | the recurring run: limits, verification, rollback | 07 §5, D19 |
//! | [`history`] | who changed the rollout, and what the controller did | 07 §3.5, §5.5 |
//!
//! Whoever starts them brings a [`Pipeline`]: the hooks, the clock, and the
//! built-in fleet status. Each command takes a request (flags as typed) and
//! returns what it printed, or a [`PromotionError`].

pub mod apply;
mod check;
pub mod ci;
pub mod controller;
mod document;
mod error;
mod evaluator;
pub mod gates;
pub mod history;
pub mod orchestrate;
mod paths;
mod stage;

pub use error::{Cause, PromotionError};
pub use evaluator::{Overrides, ThresholdTexts};
pub use stage::{Hooks, Pipeline, Printed};
