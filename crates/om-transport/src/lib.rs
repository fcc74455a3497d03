//! Observing a loop: what state is it in, and what happened since last time?
//!
//! [`Observe`] is the one interface of a reconcile pass to its transports.
//! [`LocalTransport`] implements it over the runtime's files,
//! [`SpriteServiceTransport`] over HTTP. Nothing here interprets what was
//! observed: that is projection's work.
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`snapshot`] | artifacts → snapshot envelope, pure | 01 §4.3–§4.5 |
//! | [`event`] | a line of the log → event envelope, pure, at two speeds | 01 §5.4–§5.5 |
//! | [`cursor`] | cursor file → where to start, pure | 01 §5.3, D25 |
//! | [`log`] | the opened event log: extent, digest, identity | D8, D25 |
//! | [`local`] | one observation of one loop from its files | 01 §4–§5 |
//! | [`heartbeat`] | the heartbeat of a runtime that writes none | D26 |
//! | [`service_client`] | requests to a sprite service, with retries | 03 §3.3, D13 |
//! | [`sprite_service`] | one observation of one loop over HTTP | 02 §2.4 step 2 |
//!
//! A warm local observation costs what is new: the cursor carries a byte offset, a
//! saved SHA-256 state and the log's identity, so neither the snapshot's
//! digest nor the poll reads the old part of the log again. Memory is bounded
//! by the longest line.

pub mod cursor;
pub mod error;
pub mod event;
pub mod heartbeat;
pub mod local;
pub mod log;
pub mod observe;
pub mod service_client;
pub mod snapshot;
pub mod sprite_service;

mod runtime_file;
mod session;
mod text;
mod walk;

pub use error::{EventsError, ObserveError, ObserveStage};
pub use local::LocalTransport;
pub use observe::{EventsRequest, Observe, ObservedEvents, PollStart, SnapshotRequest};
pub use service_client::{
    Answer, Idempotent, ServiceClient, ServiceError, ServiceSettings, TypedRetry,
};
pub use snapshot::SnapshotContext;
pub use sprite_service::SpriteServiceTransport;
