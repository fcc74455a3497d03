//! `ops-manager fleet prune`: old rows of journals to archives.

use std::io::Write;
use std::path::Path;

use clap::Args;
use om_handoff::prune::{Prune as Work, Pruned, prune};
use om_model::{Timestamp, json};
use om_registry::RegistryStage;
use om_store::RepoLayout;
use serde_json::json;

use super::init::folders;
use crate::args::{given, resolve_repo};
use crate::command::{Logging, now, output_error};
use crate::console::style::printable;
use crate::error::CliError;

/// What it is for.
pub(super) const ABOUT: &str = "Move old rows of the journals to archives beside them. Nothing is \
deleted, and nothing that is decided changes.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
Journals, under .superloop/ops-manager/: fleet/telemetry/ reconcile, policy,
policy-history, handoff and promotion, fleet/handoff-dispatch.jsonl, and
<loop>/telemetry/ reconcile, control, heartbeat, sequence, profile-drift and
alerts. Rows go to <journal>.archive-<time>.jsonl; every row is in exactly one
of both files, whatever happens.

Whatever its age, this stays: the last row, and 1,000 rows of each of a loop's
journals; of every candidate the rows that cooldowns depend on; the last 1,024
autonomous executions and plans (more, if the registry's auto-pause looks back
further); dispatches whose idempotency keys are remembered; rows without a time.

Left alone are journals of which every row counts (policy-governance,
promotion-apply, promotion-controller, horizon-bridge, control-invocations) and
those that others read by position (events, escalations, intents).

Examples:
  ops-manager fleet prune --keep-days 30 --dry-run
  ops-manager fleet prune --keep-days 30

Exit codes: 0 done, or nothing to do; 1 some journal was left alone because of
what is named, or nothing was done (error: line on stderr).";

/// Seconds of a day.
const DAY: u64 = 86_400;

/// Arguments of `ops-manager fleet prune`.
#[derive(Args, Debug)]
pub struct Prune {
    /// Repository whose journals they are [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Rows of the last N days stay; 0 for none [required]
    #[arg(long, value_name = "N")]
    keep_days: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Show what would be done, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl Prune {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let days = self.keep_days.as_ref();
        let days = days.ok_or_else(|| CliError::new("--keep-days is required"))?;
        let days = json::digits_text(days)
            .ok_or_else(|| CliError::new("--keep-days must be a non-negative integer"))?;
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let layout = RepoLayout::new(repo.clone());
        let root = layout.ops_root();
        if !root.is_dir() {
            let message = format!("nothing to prune: {} is not there", root.display());
            return Err(CliError::new(message));
        }
        let mut loops = folders(&root)?;
        loops.sort();
        let at = now();
        let before =
            at.epoch_seconds() - i64::try_from(days.saturating_mul(DAY)).unwrap_or(i64::MAX);
        let work = Work {
            loops,
            before: Timestamp::from_epoch_seconds(before.max(0)),
            label: at.to_string().replace([':', '-'], ""),
            lookback: self.lookback(&layout, at),
            dry_run: self.dry_run,
            layout,
        };
        let mut told = Ok(());
        let all = prune(&work, &mut |pruned| {
            if !self.json && told.is_ok() {
                told = self.tell(out, pruned, &repo);
            }
        })?;
        told?;
        if self.json {
            let report = json!({"schemaVersion": "v1", "before": work.before,
                "dryRun": self.dry_run, "journals": all});
            say(out, &json::compact(&report))?;
        } else {
            say(out, &self.conclusion(&all))?;
        }
        Ok(u8::from(all.iter().any(|pruned| pruned.error.is_some())))
    }

    /// How far auto-pause looks back; a registry that cannot be read leaves
    /// the default, which is within what stays anyway.
    fn lookback(&self, layout: &RepoLayout, at: Timestamp) -> u64 {
        let stage = RegistryStage::new(layout.repo(), given(self.registry_file.as_ref()));
        let loaded = stage.load(at).ok();
        loaded.map_or(0, |loaded| {
            let rollout = loaded.registry.policy.autonomous.rollout;
            rollout.auto_pause.lookback_executions
        })
    }

    fn tell(&self, out: &mut dyn Write, pruned: &Pruned, repo: &Path) -> Result<(), CliError> {
        let short = |path: &Path| {
            let path = path.strip_prefix(repo).unwrap_or(path);
            printable(&path.display().to_string())
        };
        let journal = short(&pruned.journal);
        let text = match (&pruned.error, &pruned.archive) {
            (Some(error), _) => format!("{journal}: LEFT ALONE: {}", printable(error)),
            (None, Some(archive)) => {
                let verb = if self.dry_run { "would go" } else { "moved" };
                let needed = match pruned.needed {
                    0 => String::new(),
                    needed => format!(", {needed} old ones are needed and stay"),
                };
                format!(
                    "{journal}: {} of {} rows {verb} to {}{needed}",
                    pruned.archived,
                    pruned.rows,
                    short(archive)
                )
            }
            // Nothing to say about most journals of most loops.
            (None, None) => return Ok(()),
        };
        say(out, &text)
    }

    fn conclusion(&self, all: &[Pruned]) -> String {
        let rows: u64 = all.iter().map(|pruned| pruned.archived).sum();
        let journals = all.iter().filter(|pruned| pruned.archived > 0).count();
        match (rows, self.dry_run) {
            (0, _) => format!("No old rows in {} journals.", all.len()),
            (_, true) => format!("{rows} rows of {journals} journals would be archived."),
            (_, false) => format!("{rows} rows of {journals} journals archived."),
        }
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), CliError> {
    let said = writeln!(out, "{text}").and_then(|()| out.flush());
    said.map_err(|error| output_error(&error))
}
