//! The service as an operator runs it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod command_line;
mod ending;
mod harness;
mod kills;
mod serving;
