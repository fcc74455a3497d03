//! The sprite service: the loops of one repository, observed and controlled
//! over HTTP (chapter 03 §3.4; decisions D4, D6, D8, D12, D13, D26, D32).
//!
//! ```text
//! socket ─▶ server: limits, time-outs ─▶ app: token, routes ─▶ observe │ control
//!                                                                 │         │
//!                                                 seen: unchanged files    keys: one execution
//!                                                 are not read again       per idempotency key
//! ```
//!
//! [`serve`] runs the whole service on a listener; [`router`] is the part of
//! it that answers requests, to be embedded elsewhere. Stages are function
//! calls in this process, or the three scripts of a folder ([`Scripts`]).
//!
//! | module | what it does | contract |
//! |---|---|---|
//! | `app`, `routes`, `query`, `reply` | from a request to an answer | 03 §3.4.4 |
//! | `observe`, `seen` | snapshot and events, at the cost of a few `stat`s | 03 §3.4.4 |
//! | `control`, `execution`, `keys` | one intent, executed once per key | 03 §3.4.4, D12, D13 |
//! | `scripts` | stages by executable | 03 §3.4.6 |
//! | `heartbeat` | says that a runtime is alive | D26 |
//! | `server` | connections: limits, time-outs, shutdown | D32 |
//!
//! Never: a lock or a recovery for a GET, an unbounded read, a secret in a
//! log or an answer.

mod access_log;
mod app;
mod config;
mod control;
mod execution;
mod heartbeat;
mod inbox;
mod keys;
mod observe;
mod query;
mod reply;
mod routes;
mod scripts;
mod seen;
mod server;
mod signals;

pub use access_log::AccessLog;
pub use app::router;
pub use config::{ConfigError, Limits, ServiceConfig};
pub use inbox::Inbox;
pub use scripts::{Scripts, ScriptsError};
pub use server::serve;
pub use signals::asked_to_end;
