//! The real binaries, end to end, on real trees.

mod bad_input;
mod commands;
mod harness;
mod reconcile;
mod status;
