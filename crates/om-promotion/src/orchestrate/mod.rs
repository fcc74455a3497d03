//! One entry point: check, then preview, apply or roll back (chapter 07 §4,
//! decisions D19 to D21).
//!
//! | module | what it does |
//! |---|---|
//! | `request` | flags and their messages, what a hook is told |
//! | `outcome` | the document; pure |
//! | `summary` | the same in Markdown; pure |

mod outcome;
mod request;
mod run;
mod summary;

pub use request::OrchestrateRequest;
pub(crate) use request::apply_intent;
pub use run::run;
pub(crate) use run::stage;
