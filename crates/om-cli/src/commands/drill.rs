//! `ops-manager drill`: the runbook's incident drills.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use om_model::promotion::gates::Drill as Which;

use crate::args::{environment, given, resolve_repo};
use crate::command::{CommandLine, Logging, output_error, print_document};
use crate::console::drill::{self, Original, Outcome, Record};
use crate::console::style::Look;
use crate::error::CliError;

/// Arguments of `ops-manager drill`.
#[derive(Args, Debug)]
pub struct Drill {
    /// kill-switch, sprite-outage or retry-guard
    #[arg(value_name = "DRILL")]
    which: Option<String>,
    /// Play on a copy of this repository's fleet: its registry, its loops as
    /// the last fan-out found them [default: a made-up fleet]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Write down how it ended in the repository's
    /// fleet/drills/promotion.v1.json, which the promotion gates read
    #[arg(long)]
    record: bool,
    /// Who plays it [default: $USER, else unknown]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Folder to play it in; must not exist yet
    /// [default: a new folder in the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    into: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// The same, indented by two spaces
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Drill {
    const NAME: &'static str = "ops-manager-drill";
    const SUMMARY: &'static str = "Rehearse an incident on a scratch copy of the fleet";
    const ABOUT: &'static str = "Rehearse an incident on a scratch copy of the fleet, with the \
        real commands, and see whether the safety nets hold.";
    const DETAILS: &'static str = "\
Drills:
  kill-switch     the kill switch halts what happens by itself, even what was
                  eligible a moment ago; a person can still confirm it
  sprite-outage   services die: their loops are unreachable, the others go on,
                  autonomy pauses itself, people are told why; then it recovers
  retry-guard     an outcome that nobody knows is not tried again by itself
                  until a person resolves it

Nothing real is touched: the copy reaches no configured service, sink, hook or
SUPERLOOP_BIN, and its children get none of the environment's settings. In the
copy every gate is open for the loops that something happens to, and the
runtime is a stand-in. The folder is kept: it holds all evidence.

--record writes the outcome, failed or passed, of this drill and keeps the
other entries.

Examples:
  ops-manager drill kill-switch
  ops-manager drill sprite-outage --repo . --record --by dana
  ops-manager drill retry-guard --json | jq '.steps[] | {name, status}'

Exit codes: 0 passed; 1 failed (the report says where), or it could not begin
(error: line on stderr, nothing recorded); 129, 130 or 143 after a signal.";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let which = self.wanted()?;
        let repo = given(self.repo.as_ref()).map(resolve_repo).transpose()?;
        let record = match (&repo, self.record) {
            (_, false) => None,
            (Some(repo), true) => Some(Record::of(repo)?),
            (None, true) => return Err(CliError::new("--record requires --repo")),
        };
        let original = repo.as_deref().map(Original::read).transpose()?;
        let original = original.unwrap_or_else(Original::made_up);
        let root = self.root()?;
        let mut report = drill::run(which, original, &root, &self.somebody())?;
        if let Some(record) = record {
            record.write(&mut report)?;
        }
        if self.json || self.pretty {
            print_document(out, &report, self.pretty)?;
        } else {
            out.write_all(report.page(Look::stdout()).as_bytes())
                .map_err(|error| output_error(&error))?;
        }
        Ok(u8::from(report.status != Outcome::Pass))
    }
}

impl Drill {
    fn wanted(&self) -> Result<Which, CliError> {
        let names = Which::REQUIRED.map(drill::name).join(", ");
        let typed = given(self.which.as_ref());
        let found = Which::REQUIRED
            .into_iter()
            .find(|which| typed == Some(drill::name(*which)));
        found.ok_or_else(|| CliError::new(format!("drill must be one of: {names}")))
    }

    fn somebody(&self) -> String {
        let by = given(self.by.as_ref()).map(str::to_owned);
        by.or_else(|| environment("USER"))
            .unwrap_or_else(|| "unknown".to_owned())
    }

    /// A new folder: a drill never mixes with something that is already
    /// there.
    fn root(&self) -> Result<PathBuf, CliError> {
        let Some(path) = given(self.into.as_ref()) else {
            let folder = tempfile::Builder::new()
                .prefix("ops-manager-drill-")
                .tempdir()?;
            return Ok(folder.keep());
        };
        let path = crate::args::absolute(path)?;
        std::fs::create_dir(&path).map_err(|error| CliError::at(&path, error))?;
        Ok(path)
    }
}
