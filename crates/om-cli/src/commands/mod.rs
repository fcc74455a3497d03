//! One module per command, named as the user types it.

pub mod demo;
pub mod health;
pub mod heartbeat;
pub mod loop_run_snapshot;
pub mod poll_events;
pub mod profile_drift;
pub mod project_state;
pub mod reconcile;
pub mod status;
pub mod telemetry_summary;
pub mod threshold_profile;
