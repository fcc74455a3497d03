//! The real binaries, end to end, on real trees.

mod bad_input;
mod commands;
mod crash;
mod demo;
mod drift;
mod escalations;
mod failures;
mod harness;
mod heartbeat;
mod hook_failures;
mod hooks;
mod observed_heartbeat;
mod reconcile;
mod samples;
mod schemas;
mod scrub;
mod status;
mod status_sources;
mod thresholds;
mod validation;
