//! What a person sees on a terminal.

pub mod confirm;
pub mod demo;
pub mod progress;
pub mod status_page;
pub mod style;
pub mod words;
