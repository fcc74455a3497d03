//! Policy, rule by rule, as whole evaluations, and on real files.

#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "helpers take literals and stop at the first surprise"
)]

mod audit;
mod candidates;
mod documents;
mod folds;
mod gates;
mod pauses;
mod properties;
mod rails;
mod reason_codes;
mod retention;
mod rollout;
mod runs;
mod support;
mod suppression;
