//! The real binaries, end to end, on real trees.

#![expect(
    clippy::expect_used,
    reason = "what a test sets up works, or the test fails"
)]

mod bad_input;
mod barriers;
mod commands;
mod control;
mod crash;
mod demo;
mod drift;
mod drill;
mod escalations;
mod evaluations;
mod failures;
mod fleet_console;
mod fleet_handoff;
mod fleet_policy;
mod fleet_policy_set;
mod fleet_reconcile;
mod fleet_registry;
mod fleet_stages;
mod fleet_status;
mod harness;
mod heartbeat;
mod hook_failures;
mod hook_start;
mod hooks;
mod horizon;
mod horizon_queue;
mod observation;
mod observed_heartbeat;
mod parity;
mod promotion;
mod promotion_console;
mod promotion_kills;
mod promotion_walk;
mod promotion_workflows;
mod reconcile;
mod recovery;
mod samples;
mod schemas;
mod scrub;
#[path = "../../../om-http/tests/it/server.rs"]
mod server;
mod service_client;
mod service_process;
mod service_reconcile;
mod sprite_service;
mod status;
mod status_sources;
mod thresholds;
mod tls_server;
mod validation;
mod validation_inputs;
