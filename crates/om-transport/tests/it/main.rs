//! How a loop is observed, as a specification.

#![allow(
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]

mod bad_input;
mod cursor;
mod event;
mod identity;
mod polling;
mod properties;
mod samples;
mod snapshot;
mod support;
