//! The pipeline on real trees, with real hooks.

#![expect(
    clippy::expect_used,
    reason = "what a test sets up works, or the test fails"
)]

mod apply;
mod ci;
mod controller;
mod controller_hooks;
mod controller_recovery;
mod gates;
mod histories;
mod orchestrate;
mod place;
mod properties;
