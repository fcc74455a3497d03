//! The commands of the ops manager.
//!
//! One module per command under [`commands`], named as the user types it,
//! each with its argument struct and a `run` that wires gather → evaluate →
//! commit. [`console`] is what a person sees. Decisions live in the planes'
//! crates, never here.

pub mod args;
pub mod command;
pub mod commands;
pub mod config;
pub mod console;
pub mod error;
pub mod promotion;
pub mod stop;
pub mod thresholds;

pub use command::CommandLine;
pub use error::CliError;
