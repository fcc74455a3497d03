//! The bridge and what people decide, on real files.

#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "helpers take literals and stop at the first surprise"
)]

mod claims;
mod decisions;
mod documents;
#[path = "../../../om-store/tests/store/hooked.rs"]
#[allow(dead_code, reason = "not every fate is needed here")]
mod hooked;
mod kills;
mod late;
mod properties;
mod refusals;
mod support;
