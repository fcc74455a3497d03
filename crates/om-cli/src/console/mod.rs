//! What a person sees on a terminal.

pub mod confirm;
pub mod demo;
pub mod drill;
pub mod fleet;
pub mod progress;
mod scratch;
pub mod status_page;
pub mod style;
pub mod words;
