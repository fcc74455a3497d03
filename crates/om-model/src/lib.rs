//! What the ops manager reads and writes, as types.
//!
//! Every envelope, document, journal row and config of the contract, plus the
//! identifiers, timestamps, statuses and reason codes in them. No I/O here:
//! this crate only says what things look like.
//!
//! | module | what it holds | contract |
//! |---|---|---|
//! | [`ids`], [`timestamp`], [`json`], [`artifact`] | validated ids, UTC seconds, tolerant reading | README common rules, 01 §1 |
//! | [`envelope`] | snapshot and event envelopes, the cursor | 01 §4–§5 |
//! | [`state`] | the projection, reconcile and escalation rows | 01 §6, 02 §2.6 |
//! | [`observation`] | transport, heartbeat and sequence documents | 02 §2.6.3–§2.6.6 |
//! | [`thresholds`], [`health`], [`drift`] | profiles, health, telemetry summary, drift | 02 §3–§6 |
//! | [`status`] | the operator's report on one loop | 03 §3.5 |
//! | [`fleet`] | the registry, fleet state and status, policy and handoff | 05, 06 |
//! | [`promotion`], [`horizon`] | promotion evidence, decisions and audit; the bridge | 07, 08 part I |
//! | [`service`] | the HTTP API of the sprite service | 03 §3.4.4 |

pub mod alerts;
pub mod artifact;
pub mod control;
pub mod drift;
pub mod envelope;
pub mod fleet;
pub mod health;
pub mod horizon;
pub mod identity;
pub mod ids;
pub mod json;
pub mod observation;
pub mod promotion;
pub mod service;
pub mod state;
pub mod status;
pub mod thresholds;
pub mod timestamp;

pub use artifact::Artifact;
pub use ids::{LoopId, LoopIdError, TraceId};
pub use timestamp::Timestamp;
