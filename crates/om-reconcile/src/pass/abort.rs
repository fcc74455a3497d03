//! Why a pass stops without a result.

use om_model::json::WrongType;

use crate::drift::DriftError;
use crate::health::HealthError;
use crate::heartbeat::HeartbeatError;
use crate::sequence::SequenceError;
use crate::transport_health::TransportHealthError;

/// A hard abort: nothing on stdout, exit 1. Before and in the health stage
/// nothing is committed; later, what came before it is (decision D7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HardAbort {
    /// The previous health document has a type that cannot be used.
    #[error("invalid health JSON: {file}: {cause}; repair or remove the file")]
    PreviousHealth {
        /// Path of `health.json`.
        file: String,
        /// The member and what stands there.
        cause: WrongType,
    },
    /// The transport health document cannot be used.
    #[error(transparent)]
    TransportHealth(#[from] TransportHealthError),
    /// The heartbeat in the snapshot cannot be used.
    #[error(transparent)]
    Heartbeat(#[from] HeartbeatError),
    /// The previous sequence state cannot be used.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// Health could not be evaluated.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A health stage printed something that is no health document.
    #[error("health stage printed an unusable document: {0}")]
    HealthStage(WrongType),
    /// An existing state cannot take up this pass's results.
    #[error("invalid state JSON: {file}: {cause}; repair or remove the file")]
    State {
        /// Path of `state.json`.
        file: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A telemetry summary stage printed something that is no summary.
    #[error("telemetry summary stage printed an unusable document: {0}")]
    SummaryStage(WrongType),
    /// Drift could not be evaluated.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// A drift stage printed something that is no drift document.
    #[error("profile drift stage printed an unusable document: {0}")]
    DriftStage(WrongType),
}
