//! `ops-manager promotion`: how far autonomy reaches, for people.
//!
//! One module per subcommand; what a person sees is in `page`, the reasons in
//! words are in `words`.

mod apply;
mod diff;
mod history;
mod page;
mod status;
mod words;

use std::io::Write;

use clap::{Args, Subcommand};

use crate::command::CommandLine;
use crate::error::CliError;

/// Arguments of `ops-manager promotion`.
#[derive(Args, Debug)]
pub struct Promotion {
    #[command(subcommand)]
    action: Action,
}

/// What can be done about the rollout.
#[derive(Subcommand, Debug)]
enum Action {
    /// Show the five gates with their evidence, and what is missing
    #[command(before_help = status::ABOUT, after_help = status::DETAILS)]
    Status(Box<status::Status>),
    /// Expand, resume or roll back, after a look at what changes
    #[command(before_help = apply::ABOUT, after_help = apply::DETAILS)]
    Apply(Box<apply::Apply>),
    /// Show who changed the rollout, when, why, and until when
    #[command(before_help = history::ABOUT, after_help = history::DETAILS)]
    History(history::Show),
}

impl CommandLine for Promotion {
    const NAME: &'static str = "ops-manager-promotion";
    const SUMMARY: &'static str = "Show how far autonomy reaches, and change it";
    const ABOUT: &'static str = "How far autonomy reaches: whether the evidence allows more, what \
        is missing, who changed it, and a careful way to change it.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager promotion status --repo .
  ops-manager promotion apply rollback --repo . --by kim --approval-ref INC-7 \\
    --rationale incident --review-by 2031-05-01T00:00:00Z
  ops-manager promotion history --repo . --json | jq '.entries[0]'

Exit codes: 0 done; 1 not done.";

    fn log_filter(&self) -> Option<&str> {
        match &self.action {
            Action::Status(status) => status.logging.log.as_deref(),
            Action::Apply(apply) => apply.logging.log.as_deref(),
            Action::History(show) => show.logging.log.as_deref(),
        }
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        match &self.action {
            Action::Status(status) => status.run(out),
            Action::Apply(apply) => apply.run(out),
            Action::History(show) => show.run(out),
        }
    }
}
