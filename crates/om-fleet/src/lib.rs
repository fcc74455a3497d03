//! The fleet: bounded fan-out over loops, rollup, and fleet status.
//!
//! | module | what it holds | contract |
//! |---|---|---|
//! | [`outcome`] | what became of one loop's pass, as tables | 05 §2.4 rows 1–5, D11 |
//! | [`rollup()`] | what that makes of the fleet | 05 §2.4 rollup, §2.5 |
//! | [`fanout`] | many passes at a time, committed in groups | 05 §2.4 order, D7, D11 |
//! | [`pass`] | one loop's stage: built in, or a hook | 05 §2.6 |
//! | [`reconcile`] | all of that: one fan-out over a fleet | 05 §2 |
//! | [`status`] | the operator's report | 05 §3 |

pub mod fanout;
pub mod outcome;
pub mod pass;
pub mod reconcile;
pub mod status;

mod rollup;

pub use rollup::{FanOut, rollup};
