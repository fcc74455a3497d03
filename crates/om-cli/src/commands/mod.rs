//! One module per command, named as the user types it.

#![allow(
    clippy::doc_markdown,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    reason = "comments on arguments are printed as help, where markup would show"
)]

pub mod alert_dispatch;
pub mod alert_sink_config;
pub mod alerts;
pub mod confirm_intent;
pub mod control;
pub mod demo;
pub mod health;
pub mod heartbeat;
pub mod loop_run_snapshot;
pub mod poll_events;
pub mod profile_drift;
pub mod project_state;
pub mod reconcile;
pub mod service_client;
pub mod sprite_service;
pub mod status;
pub mod telemetry_summary;
pub mod threshold_profile;
