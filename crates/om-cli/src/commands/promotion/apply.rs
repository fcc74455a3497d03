//! `ops-manager promotion apply`: a change of the rollout, seen before it is
//! made.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use om_model::json;
use om_model::promotion::ApplyIntent;
use om_promotion::apply::{ApplyRequest, Prepared, prepare, run_as_seen};
use om_store::{RepoLayout, Scope};
use serde_json::{Value, json};

use super::diff::differences;
use super::page;
use crate::args::{given, resolve_repo};
use crate::command::{Logging, output_error, print_document};
use crate::console::confirm;
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;
use crate::promotion::{ContextFlags, GovernanceFlags, failed, text, with_pipeline};

/// What it is for.
pub(super) const ABOUT: &str = "Expand, resume or roll back the rollout of autonomy: shows what \
changes in the registry, asks, and makes exactly that change.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
expand widens the canary by --expand-step and lifts the manual pause; resume
lifts the pause; rollback sets it. Everything else is as with
ops-manager-promotion-apply: the governance flags, the decision that expand and
resume need, the audit row, the idempotency key.

On a terminal it shows the change and asks; --yes does not ask. Without a
terminal, expand and resume need --yes; a rollback is made at once. If the
registry is edited between the question and the answer, nothing is written.

Into a pipe or file, or with --json: the record. With --dry-run: dryRun,
changes[] (member, before, after) and the record that would be written.

Examples:
  ops-manager promotion apply expand --repo . --expand-step 25 --by kim \\
    --approval-ref CHG-88 --rationale 'calm week' --review-by 2031-05-01T00:00:00Z
  ops-manager promotion apply rollback --repo . --by kim --approval-ref INC-7 \\
    --rationale incident --review-by 2031-05-01T00:00:00Z --yes

Exit codes: 0 changed, or answered with the earlier record; 1 refused, or
nothing was written.";

/// Arguments of `ops-manager promotion apply`.
#[derive(Args, Debug)]
pub(super) struct Apply {
    /// expand, resume or rollback
    #[arg(value_name = "INTENT")]
    intent: Option<String>,
    /// Repository whose rollout is changed [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Fleet registry [default: <fleet>/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Promotion decision [default: <fleet>/promotion-state.json]
    #[arg(long, value_name = "FILE")]
    promotion_state_file: Option<String>,
    /// Percent points by which to expand, 1 to 100 [default: 25]
    #[arg(long, value_name = "POINTS")]
    expand_step: Option<String>,
    /// Refuse to expand or resume on an older decision [default: no limit]
    #[arg(long, value_name = "MINUTES")]
    max_decision_age_minutes: Option<String>,
    #[command(flatten)]
    context: ContextFlags,
    #[command(flatten)]
    governance: GovernanceFlags,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show the change, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) logging: Logging,
}

impl Apply {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let request = self.request(PathBuf::new());
        let intent = self.intent.as_deref().and_then(ApplyIntent::parse);
        let intent = intent
            .ok_or_else(|| CliError::new("INTENT must be one of expand, resume, rollback"))?;
        request.check().map_err(|error| failed(&error))?;
        let repo = resolve_repo(given(self.repo.as_ref()).unwrap_or("."))?;
        let request = self.request(repo);
        if !self.dry_run {
            // What an earlier command could not finish is finished first.
            let layout = RepoLayout::new(request.repo.clone());
            Scope::open(layout.fleet_scope_dir())?.recover()?;
        }
        let seen = with_pipeline(|pipeline| prepare(&request, pipeline))?;
        if self.dry_run {
            return self.preview(&seen, out);
        }
        if !self.is_wanted(intent, &seen, out)? {
            return Err(CliError::new("nothing was written"));
        }
        let printed = with_pipeline(|pipeline| run_as_seen(&request, &seen, pipeline))?;
        if self.is_for_people() {
            let page = page::applied(&printed.document, Look::stdout());
            out.write_all(page.as_bytes())
                .map_err(|error| output_error(&error))?;
        } else {
            print_document(out, &printed.document, false)?;
        }
        Ok(0)
    }

    fn is_for_people(&self) -> bool {
        !self.json && stdout_is_terminal()
    }

    /// Shows what would be done.
    fn preview(&self, seen: &Prepared, out: &mut dyn Write) -> Result<u8, CliError> {
        if self.is_for_people() {
            return say(out, &page::preview(&shown(seen), Look::stdout())).map(|()| 0);
        }
        let changes: Vec<Value> = shown(seen)
            .changes
            .iter()
            .map(|change| {
                json!({"member": change.member, "before": change.before, "after": change.after})
            })
            .collect();
        let record = match seen {
            Prepared::Replay(record) => record.clone(),
            Prepared::Change(change) => json::to_value(&change.record),
        };
        let document = json!({"dryRun": true, "changes": changes, "record": record});
        print_document(out, &document, false)?;
        Ok(0)
    }

    /// Whether somebody wants it: they said so, or nobody has to.
    fn is_wanted(
        &self,
        intent: ApplyIntent,
        seen: &Prepared,
        out: &mut dyn Write,
    ) -> Result<bool, CliError> {
        let is_replay = matches!(seen, Prepared::Replay(_));
        if self.yes || is_replay {
            return Ok(true);
        }
        if confirm::is_somebody_there() {
            let shown = shown(seen);
            if self.is_for_people() {
                say(out, &page::preview(&shown, Look::stdout()))?;
            } else {
                say(&mut io::stderr(), &page::preview(&shown, Look::PLAIN))?;
            }
            return confirm::ask("Write this?");
        }
        if !intent.widens() {
            return Ok(true);
        }
        let message = "this allows more to happen by itself; add --yes to write it";
        Err(CliError::new(message))
    }

    fn request(&self, repo: PathBuf) -> ApplyRequest {
        let context = &self.context;
        ApplyRequest {
            repo,
            registry_file: text(&self.registry_file),
            promotion_state_file: text(&self.promotion_state_file),
            apply_state_file: None,
            apply_telemetry_file: None,
            intent: self.intent.clone(),
            expand_step: self.expand_step.clone(),
            idempotency_key: text(&context.idempotency_key),
            trace_id: text(&context.trace_id),
            loop_id: text(&context.loop_id),
            horizon_ref: text(&context.horizon_ref),
            evidence_refs: context.evidence_ref.clone(),
            governance: self.governance.given(),
            max_decision_age_minutes: self.max_decision_age_minutes.clone(),
        }
    }
}

/// What a person is shown before they agree.
pub(super) struct Shown {
    /// In words, e.g. `expand`.
    pub(super) intent: String,
    /// The promotion decision behind it.
    pub(super) decision: String,
    /// The file.
    pub(super) registry_file: String,
    /// Its members that change; none for the answer to a known key.
    pub(super) changes: Vec<super::diff::Difference>,
}

fn shown(seen: &Prepared) -> Shown {
    match seen {
        Prepared::Replay(record) => {
            let text = |path| json::Lookup::new(record).text(path).ok().flatten();
            Shown {
                intent: text("intent").unwrap_or_default(),
                decision: text("decision").unwrap_or_default(),
                registry_file: text("files.registryFile").unwrap_or_default(),
                changes: Vec::new(),
            }
        }
        Prepared::Change(change) => {
            let document = |bytes: &[u8]| json::parse(bytes).unwrap_or_default();
            let file = &change.file;
            Shown {
                intent: change.record.intent.as_str().to_owned(),
                decision: change.record.decision.clone(),
                registry_file: file.name().to_owned(),
                changes: differences(&document(file.found()), &document(file.text.bytes())),
            }
        }
    }
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), CliError> {
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| output_error(&error))
}
