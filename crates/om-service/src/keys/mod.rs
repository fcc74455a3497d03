//! One execution per idempotency key (decision D12).
//!
//! `service-idempotency.json` of a loop holds the answer of every key. A key
//! is committed as *in progress* together with its pending intent, before
//! anything is executed, and its answer together with the control's rows. Within this process, [`Flights`]
//! lets repetitions wait for the execution they repeat.

mod document;
mod flights;
mod store;

pub(crate) use document::{Begun, Found, Keys, Stored};
pub(crate) use flights::{Boarding, Flight, Flights};
pub(crate) use store::{KeyStore, StoreError};
