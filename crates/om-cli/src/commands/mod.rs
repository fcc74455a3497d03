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
pub mod drill;
pub mod fleet;
pub mod fleet_handoff;
pub mod fleet_policy;
pub mod fleet_reconcile;
pub mod fleet_registry;
pub mod fleet_status;
pub mod health;
pub mod heartbeat;
pub mod horizon;
pub mod horizon_bridge;
pub mod loop_run_snapshot;
pub mod poll_events;
pub mod profile_drift;
pub mod project_state;
pub mod promotion;
pub mod promotion_apply;
pub mod promotion_ci;
pub mod promotion_controller;
pub mod promotion_gates;
pub mod promotion_orchestrate;
pub mod reconcile;
pub mod service_client;
pub mod sprite_service;
pub mod status;
pub mod telemetry_summary;
pub mod threshold_profile;
