//! Fleet policy: what is wrong in a fleet, what somebody should do about it,
//! and what the manager may do by itself (chapter 06 §1).
//!
//! [`evaluate()`] is the decision: a pure function from [`PolicyInputs`] to a
//! [`PolicyEvaluation`], made of small rules in the order of the chapter:
//!
//! | module | rule | contract |
//! |---|---|---|
//! | [`fleet`] | what the fleet state says | §1.3 |
//! | [`candidates`] | what is wrong | §1.4.1 |
//! | [`suppression`] | what nobody wants to hear of | §1.4.2 |
//! | [`rollout`] | for which loops autonomy is on | §1.4.3 |
//! | [`pause`] | whether it is paused, by a person or by bad outcomes | §1.4.4, D18 |
//! | [`gates`] | what opens the way | §1.4.5 A, D14, D27 |
//! | [`rails`] | what holds back nevertheless | §1.4.5 B |
//! | [`summary`] | counters and reason codes | §1.4.6, §1.7 |
//! | [`audit`] | what changed since the previous evaluation | §1.5.4, D29 |
//!
//! Questions over whole journals are answered by folds, [`HistoryFold`] and
//! [`HandoffFold`], so that the cost of an evaluation does not grow with the
//! journals. [`run()`] gathers, evaluates and commits.

pub mod audit;
pub mod candidates;
mod error;
pub mod evaluate;
pub mod fleet;
pub mod gates;
mod handoff_fold;
mod history_fold;
pub mod pause;
pub mod rails;
pub mod retention;
pub mod rollout;
mod row;
mod run;
pub mod summary;
pub mod suppression;

pub use error::PolicyError;
pub use evaluate::{PolicyContext, PolicyEvaluation, PolicyInputs, PolicyPaths, evaluate};
pub use handoff_fold::{Backlog, Execution, HandoffFold, RING, read_handoff};
pub use history_fold::{HistoryFold, Sightings};
pub use row::BadRow;
pub use run::{PolicyRequest, run};
