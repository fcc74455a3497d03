//! Observing a loop: what state is it in, and what happened since last time?
//!
//! [`Observe`] is the one interface of a reconcile pass to its transports.
//! [`LocalTransport`] implements it over the runtime's files. Nothing here
//! interprets what was observed: that is projection's work.
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | [`snapshot`] | artifacts → snapshot envelope, pure | 01 §4.3–§4.5 |
//! | [`event`] | a line of the log → event envelope, pure, at two speeds | 01 §5.4–§5.5 |
//! | [`cursor`] | cursor file → where to start, pure | 01 §5.3, D25 |
//! | [`log`] | the opened event log: extent, digest, identity | D8, D25 |
//! | [`local`] | one observation of one loop from its files | 01 §4–§5 |
//!
//! A warm observation costs what is new: the cursor carries a byte offset, a
//! saved SHA-256 state and the log's identity, so neither the snapshot's
//! digest nor the poll reads the old part of the log again. Memory is bounded
//! by the longest line.

pub mod cursor;
pub mod error;
pub mod event;
pub mod local;
pub mod log;
pub mod observe;
pub mod snapshot;

mod runtime_file;
mod session;
mod text;
mod walk;

pub use error::{EventsError, ObserveError};
pub use local::LocalTransport;
pub use observe::{EventsRequest, Observe, ObservedEvents, PollStart, SnapshotRequest};
pub use snapshot::SnapshotContext;
