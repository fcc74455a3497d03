//! The gates in a pipeline: the decision as a file, and a summary for people
//! (chapter 07 §2, decision D21).

mod run;
mod summary;

pub(crate) use run::stage;
pub use run::{CiRequest, run};
