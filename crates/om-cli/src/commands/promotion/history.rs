//! `ops-manager promotion history`: who changed the rollout.

use std::io::Write;

use clap::Args;
use om_promotion::history::read;

use super::page;
use crate::args::{at_least_one, given, resolve_repo};
use crate::command::{Logging, now, output_error, print_document};
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;
use crate::promotion::failed;

/// What it is for.
pub(super) const ABOUT: &str = "Who changed the rollout, when, why, from what to what and until \
when; and what the controller decided besides. Newest first.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
On a terminal: a page. With --json, or into a pipe or file: JSON, entries[]
(and warnings[] for rows that cannot be read).

Files, under .superloop/ops-manager/fleet/telemetry/: promotion-apply.jsonl,
promotion-controller.jsonl. Switches turned with ops-manager fleet policy set
are in policy-governance.jsonl.

Examples:
  ops-manager promotion history --repo .
  ops-manager promotion history --repo . --last 3 --json | jq '.entries[].actor'

Exit codes: 0 shown; 1 a file cannot be read.";

/// Arguments of `ops-manager promotion history`.
#[derive(Args, Debug)]
pub(super) struct Show {
    /// Repository whose fleet it is [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Most entries to show [default: 20]
    #[arg(long, value_name = "N")]
    last: Option<String>,
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    /// Indent the JSON by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl Show {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let last = at_least_one("--last", self.last.as_ref(), 20)?;
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let last = usize::try_from(last).unwrap_or(usize::MAX);
        let history = read(&repo, last).map_err(|error| failed(&error))?;
        if self.json || !stdout_is_terminal() {
            print_document(out, &history, self.pretty)?;
            return Ok(0);
        }
        let page = page::history(&history, now(), Look::stdout());
        out.write_all(page.as_bytes())
            .map_err(|error| output_error(&error))?;
        Ok(0)
    }
}
