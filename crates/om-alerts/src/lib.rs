//! Alerts: who hears of an escalation, and what became of telling them
//! (contract chapter 04; decisions D1, D2, D10, D31).
//!
//! Reconcile appends to `escalations.jsonl`; [`dispatch()`] reads what is new,
//! asks a [`Resolver`] where each row goes, has a [`Courier`] tell the sinks,
//! and commits what became of it row by row. A delivery that fails is tried
//! again in later runs ([`retry`]).
//!
//! Pure: [`config`] and the documents made of it ([`SinkConfig::route`]),
//! [`escalation`], [`payload`], [`ledger`], [`rows`], [`retry`]. I/O:
//! [`resolver`] (only with a hook), [`courier`], [`mod@dispatch`], [`mod@quiet`].

pub mod config;
pub mod courier;
pub mod dispatch;
pub mod environment;
mod error;
pub mod escalation;
pub mod ledger;
pub mod payload;
mod probe;
pub mod quiet;
pub mod resolver;
pub mod retry;
pub mod rows;
pub mod sink;

mod route;
mod source;
mod text;

pub use config::{ConfigError, SinkConfig};
pub use courier::Courier;
pub use dispatch::{DispatchPaths, DispatchRequest, dispatch};
pub use environment::Environment;
pub use error::DispatchError;
pub use payload::{Alert, PAGERDUTY_URL};
pub use quiet::{Quiet, quiet};
pub use resolver::Resolver;
pub use retry::RetryMode;
pub use sink::Sink;
