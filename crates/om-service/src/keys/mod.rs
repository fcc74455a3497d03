//! One execution per idempotency key (decision D12).
//!
//! `service-idempotency.json` of a loop holds the answer of every key. A key
//! is committed as *in progress* before anything is executed, and its answer
//! in the same commit as the control's rows. Within this process, [`Flights`]
//! lets repetitions wait for the execution they repeat.

mod document;
mod flights;
mod store;

pub(crate) use document::{Begun, Found, Keys, Stored};
pub(crate) use flights::{Boarding, Flight, Flights};
pub(crate) use store::{KeyStore, StoreError};
