//! The fleet plane: what a fan-out decides and does, and the report on it.

#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "helpers take literals and stop at the first surprise"
)]

mod fan_out;
mod outcome;
mod properties;
mod rollup;
mod status;
mod status_gates;
mod status_sources;
mod support;
