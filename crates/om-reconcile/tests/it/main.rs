//! The decisions of a reconcile pass, chapter by chapter.

#![allow(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "helpers take literals and stop at the first surprise"
)]

mod drift;
mod escalation;
mod health;
mod health_reading;
mod heartbeat;
mod pass;
mod pass_failures;
mod projection;
mod properties;
mod sequence;
mod status;
mod support;
mod telemetry;
mod thresholds;
mod transport_health;
