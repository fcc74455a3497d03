//! The whole pass of one loop, as pure functions.
//!
//! Everything here is synchronous and deterministic: no file, no clock, no
//! randomness, no environment. Inputs are gathered by the caller; results are
//! documents, rows and an [`om_store::Commit`] that names where they go.
//!
//! | module | what it decides | contract |
//! |---|---|---|
//! | [`thresholds`] | which profile, which six values | 02 §4, §2.2 |
//! | [`projection`] | lifecycle state and divergence | 01 §6 |
//! | [`heartbeat`], [`sequence`], [`transport_health`] | freshness, order, reachability | 02 §2.4.1, §2.4.2, §2.6.3 |
//! | [`health`] | status with reason codes | 02 §3 |
//! | [`telemetry`] | what the last passes say, and the profile that fits | 02 §5 |
//! | [`drift`] | whether the applied profile still fits | 02 §6 |
//! | [`escalation`] | what a person has to hear about | 02 §2.4.3, §2.6.8 |
//! | [`pass`] | the steps of a pass, chained with hooks as barriers | 02 §2.4 |
//! | [`status`] | the operator's report | 03 §3.5 |

pub mod drift;
pub mod escalation;
pub mod health;
pub mod heartbeat;
pub mod pass;
pub mod projection;

mod read;
pub mod runner;
pub mod sequence;
pub mod status;
pub mod telemetry;
pub mod thresholds;
pub mod transport_health;
