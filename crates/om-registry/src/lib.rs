//! The fleet registry: which loops there are, and the policy for them.
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`evaluate()`] | every rule and every message, then the normalised registry | 05 §1.4, §1.5 |
//! | [`RegistryStage`] | what every other fleet command begins with: the file, or the hook | 05 §1.7, 06 §0.2 |
//! | [`edit`] | changes single values of the file and no other byte | decision D20 |
//! | [`file`](mod@file) | the file as it was read, so that an edit of something else is refused | decision D20 |
//! | [`last_look`](mod@last_look) | what the file forbids just before an action | decision D15 |
//! | [`change`] | the switches that people turn by command, and which of them narrow | decisions D14, D29 |
//! | [`starter`] | a registry to begin with | |
//!
//! The registry belongs to people: nothing here rewrites it, unknown members
//! survive every edit, and a lapsed review is a posture, not a crash
//! (decision D14).

pub mod change;
pub mod edit;
mod error;
mod evaluate;
mod evaluated;
pub mod file;
pub mod last_look;
mod member;
mod normalize;
mod rules;
mod spans;
mod stage;
pub mod starter;
mod unknown;

pub use error::Rejection;
pub use evaluate::{Evaluation, Violation, Warning, evaluate};
pub use evaluated::evaluated;
pub use last_look::last_look;
pub use member::{MemberPath, Step};
pub use stage::{HOOK_VARIABLE, Loaded, RegistryStage, StageFailure};
