//! `ops-manager-confirm-intent` (chapter 03 §3.2).

use std::io::Write;

use clap::Args;
use om_control::SystemClock;
use om_control::confirm::{self, ConfirmRequest};
use om_model::control::Intent;
use om_model::json;
use om_stage::Hook;
use om_store::RepoLayout;

use crate::args::{Target, required};
use crate::command::{CommandLine, Logging, print_document};
use crate::error::CliError;

/// Default of `--timeout-seconds`.
pub(crate) const DEFAULT_TIMEOUT: u64 = 30;
/// Default of `--interval-seconds`.
pub(crate) const DEFAULT_INTERVAL: u64 = 2;

/// Arguments of `ops-manager-confirm-intent`.
#[derive(Args, Debug)]
pub struct ConfirmIntent {
    #[command(flatten)]
    target: Target,
    /// Whose effect to look for: cancel, approve or reject [required]
    #[arg(long, value_name = "INTENT")]
    intent: Option<String>,
    /// Look for this long, 0 for once [default: 30]
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<String>,
    /// Pause between two looks; 0 acts as 1 [default: 2]
    #[arg(long, value_name = "N")]
    interval_seconds: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for ConfirmIntent {
    const NAME: &'static str = "ops-manager-confirm-intent";
    const SUMMARY: &'static str = "Look whether an intent's effect is visible";
    const ABOUT: &'static str = "Look at a loop again and again until an intent's effect is \
        visible or the time is over, and print the verdict. Executes and writes nothing.";
    const DETAILS: &'static str = "\
An effect is visible when:
  cancel   nothing is active, and the loop is not running
  approve  the loop completed
  reject   the rejection, or a decision, is recorded

OPS_MANAGER_SNAPSHOT_SCRIPT replaces the snapshot.

Examples:
  ops-manager-confirm-intent --repo . --loop nightly --intent cancel
  ops-manager-confirm-intent --repo . --loop nightly --intent reject --timeout-seconds 0

Exit codes: 0 confirmed; 1 not confirmed (the verdict says what was seen last),
or a flag is invalid (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        self.target.check_given()?;
        let intent = parsed_intent(self.intent.as_ref())?;
        let (timeout_seconds, interval_seconds) = patience(
            self.timeout_seconds.as_ref(),
            self.interval_seconds.as_ref(),
        )?;
        let (repo, loop_id) = self.target.resolve()?;
        let request = ConfirmRequest {
            layout: RepoLayout::new(repo),
            loop_id,
            intent,
            timeout_seconds,
            interval_seconds,
            snapshot_hook: Hook::from_env("OPS_MANAGER_SNAPSHOT_SCRIPT"),
        };
        let verdict = confirm::confirm(&request, &SystemClock::default(), &mut |_, _| {});
        print_document(out, &verdict, false)?;
        Ok(u8::from(!verdict.confirmed))
    }
}

/// `--intent`, which is required.
pub(crate) fn parsed_intent(flag: Option<&String>) -> Result<Intent, CliError> {
    let text = required("--intent", flag)?;
    Intent::parse(text)
        .ok_or_else(|| CliError::new("intent must be one of: cancel, approve, reject"))
}

/// `--timeout-seconds` and `--interval-seconds`, which share a message.
pub(crate) fn patience(
    timeout: Option<&String>,
    interval: Option<&String>,
) -> Result<(u64, u64), CliError> {
    let number = |flag: Option<&String>, default| match flag {
        None => Some(default),
        Some(text) => json::digits_text(text),
    };
    number(timeout, DEFAULT_TIMEOUT)
        .zip(number(interval, DEFAULT_INTERVAL))
        .ok_or_else(|| CliError::new("timeout and interval must be non-negative integers"))
}
