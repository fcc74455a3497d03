//! `ops-manager fleet policy set`: the switches of the registry (decisions
//! D14, D18, D27, D29).

use std::io::Write;

use clap::{Args, Subcommand};
use om_model::fleet::registry::{
    Category, EditEventType, EditSource, GovernanceCategory, PolicyEditRow, PolicyMode,
};
use om_model::{LoopId, Timestamp, json};
use om_registry::RegistryStage;
use om_registry::change::{Approval, Change, ChangeError, Changed, change};
use om_registry::file::{EDIT_LOCK, RegistryFile};
use om_store::{Commit, FleetFile, RepoLayout, Scope};

use crate::args::{self, given, resolve_repo};
use crate::command::{Logging, now, output_error};
use crate::commands::fleet_registry::refused;
use crate::console::confirm;
use crate::console::style::Look;
use crate::error::CliError;

/// What it is for.
pub(super) const ABOUT: &str = "Turn one switch in the fleet registry, checked, audited and \
without touching another byte.";

/// Examples, files and exit codes.
pub(super) const DETAILS: &str = "\
What takes autonomy away works at any time, even after the review deadline has
passed. What allows more to happen by itself, suppressions, and mode
guarded_auto need --by, --approval-ref, --rationale and --review-by; they are
written into the audit row, and into the registry if it is about suppressions or
the mode is guarded_auto.

On a terminal it shows the change and asks; --yes does not ask. Without a
terminal, what allows more needs --yes; a later review deadline allows more.

Files, under .superloop/ops-manager/fleet/: registry.v1.json, and a row in
telemetry/policy-governance.jsonl (autonomous_policy_edited), in one commit.

Examples:
  ops-manager fleet policy set kill-switch on
  ops-manager fleet policy set pause on --by kim --rationale 'incident 7'
  ops-manager fleet policy set freeze nightly on
  ops-manager fleet policy set canary 25 --by kim --approval-ref CH-7 \\
    --rationale 'calm week' --review-by 2031-06-01T00:00:00Z
  ops-manager fleet policy set suppress nightly health_degraded on --by kim \\
    --approval-ref INC-9 --rationale 'known noise' --review-by 2031-06-01T00:00:00Z

Exit codes: 0 written, or nothing to change; 1 refused, or nothing was written.";

/// Arguments of `ops-manager fleet policy set`.
#[derive(Args, Debug)]
pub struct PolicySet {
    #[command(subcommand)]
    switch: Turn,
}

/// The switches.
#[derive(Subcommand, Debug)]
enum Turn {
    /// Let nothing happen by itself: on or off
    KillSwitch(OnOff),
    /// Pause the rollout by hand: on or off
    Pause(OnOff),
    /// Lift the auto-pause: clear. Executions until now do not count any more
    Autopause(Word),
    /// Let nothing happen by itself on one loop: <loop> on or off
    Freeze(Freeze),
    /// Share of the loops in scope, 0 to 100
    Canary(Word),
    /// Loops that autonomy is for, or all
    Scope(Words),
    /// Do not report a category: <loop or *> <category> on or off
    Suppress(Suppress),
    /// advisory (people confirm everything) or guarded_auto
    Mode(Word),
}

#[derive(Args, Debug)]
struct OnOff {
    /// on or off
    #[arg(value_name = "on|off")]
    state: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Word {
    /// The new value
    #[arg(value_name = "VALUE")]
    value: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Words {
    /// Loop ids, or all
    #[arg(value_name = "LOOP")]
    values: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Freeze {
    /// Loop id
    #[arg(value_name = "LOOP")]
    loop_id: Option<String>,
    /// on or off
    #[arg(value_name = "on|off")]
    state: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Suppress {
    /// Loop id, or * for all
    #[arg(value_name = "LOOP")]
    scope: Option<String>,
    /// reconcile_failed, health_critical or health_degraded
    #[arg(value_name = "CATEGORY")]
    category: Option<String>,
    /// on or off
    #[arg(value_name = "on|off")]
    state: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What every switch takes.
#[derive(Args, Debug)]
struct Common {
    /// Repository whose fleet it is [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Registry [default: <repo>/.superloop/ops-manager/fleet/registry.v1.json]
    #[arg(long, value_name = "FILE")]
    registry_file: Option<String>,
    /// Who decides [default for what narrows: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// On whose approval: a change or incident
    #[arg(long, value_name = "REF")]
    approval_ref: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    rationale: Option<String>,
    /// Until when: YYYY-MM-DDTHH:MM:SSZ
    #[arg(long, value_name = "TIME")]
    review_by: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Show the change, write nothing
    #[arg(long)]
    dry_run: bool,
    /// Trace id to record [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl PolicySet {
    pub(super) fn log_filter(&self) -> Option<&str> {
        self.switch.parts().1.logging.log.as_deref()
    }

    pub(super) fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let (wanted, common) = self.switch.parts();
        let wanted = wanted?;
        let repo = resolve_repo(given(common.repo.as_ref()).unwrap_or("."))?;
        let layout = RepoLayout::new(repo.clone());
        let stage = RegistryStage::new(&repo, given(common.registry_file.as_ref()));
        let scope = Scope::open(layout.fleet_scope_dir())?;
        if !common.dry_run {
            scope.recover()?;
        }
        let approval = common.approval();
        let at = now();
        let turned = || -> Result<(RegistryFile, Changed), CliError> {
            let file = RegistryFile::read(&stage.file).map_err(refused)?;
            let changed = change(&file.text, file.name(), &wanted, &approval, at);
            Ok((file, changed.map_err(declined)?))
        };
        let (mut file, mut changed) = turned()?;
        let look = Look::stdout();
        let shown = described(&wanted, &changed, file.name(), look);
        say(out, &shown)?;
        if changed.is_empty() || common.dry_run {
            return Ok(0);
        }
        if !common.agreed(changed.narrowing)? {
            return Err(CliError::new("nothing was written"));
        }
        let _lock = scope.run_lock(EDIT_LOCK)?;
        if changed.narrowing {
            // Whoever turned another switch meanwhile does not keep this one
            // from taking autonomy away.
            (file, changed) = turned()?;
            let now_shown = described(&wanted, &changed, file.name(), look);
            if now_shown != shown {
                say(out, &now_shown)?;
            }
            if changed.is_empty() {
                return Ok(0);
            }
            if !changed.narrowing {
                let name = file.name();
                let message = format!("fleet registry changed while it was being edited: {name}");
                return Err(CliError::new(message));
            }
        }
        let row = common.row(&wanted, &changed, &layout, file.name(), at);
        file.text = changed.text;
        let journal = layout.fleet_files().path(FleetFile::PolicyGovernance);
        let commit = file.add_to(Commit::new().row(journal, json::compact(&row)));
        file.commit(&scope, commit)?;
        let next = super::registry_arguments(&repo, common.registry_file.as_ref());
        say(out, &written(&next))?;
        Ok(0)
    }
}

impl Turn {
    /// What is wanted, and how.
    fn parts(&self) -> (Result<Change, CliError>, &Common) {
        match self {
            Self::KillSwitch(args) => {
                let state = on_off("kill-switch", args.state.as_ref());
                (state.map(Change::KillSwitch), &args.common)
            }
            Self::Pause(args) => {
                let state = on_off("pause", args.state.as_ref());
                (state.map(Change::Pause), &args.common)
            }
            Self::Autopause(args) => (cleared(args.value.as_ref()), &args.common),
            Self::Freeze(args) => (args.wanted(), &args.common),
            Self::Canary(args) => (percent(args.value.as_ref()), &args.common),
            Self::Scope(args) => (scope(&args.values), &args.common),
            Self::Suppress(args) => (args.wanted(), &args.common),
            Self::Mode(args) => (mode(args.value.as_ref()), &args.common),
        }
    }
}

fn on_off(what: &str, state: Option<&String>) -> Result<bool, CliError> {
    match given(state) {
        Some("on") => Ok(true),
        Some("off") => Ok(false),
        _ => Err(CliError::new(format!("{what} must be on or off"))),
    }
}

fn cleared(value: Option<&String>) -> Result<Change, CliError> {
    match given(value) {
        Some("clear") => Ok(Change::ClearAutoPause),
        _ => Err(CliError::new(
            "autopause can only be cleared: autopause clear",
        )),
    }
}

fn percent(value: Option<&String>) -> Result<Change, CliError> {
    let percent = given(value).and_then(json::digits_text);
    let percent = percent.and_then(|percent| u8::try_from(percent).ok());
    let percent = percent.filter(|percent| *percent <= 100);
    percent
        .map(Change::Canary)
        .ok_or_else(|| CliError::new("canary must be an integer between 0 and 100"))
}

fn mode(value: Option<&String>) -> Result<Change, CliError> {
    given(value)
        .and_then(PolicyMode::parse)
        .map(Change::Mode)
        .ok_or_else(|| CliError::new("mode must be advisory or guarded_auto"))
}

fn scope(values: &[String]) -> Result<Change, CliError> {
    match values {
        [] => Err(CliError::new("scope must be one or more loops, or all")),
        [all] if all == "all" => Ok(Change::Scope(Vec::new())),
        ids => {
            let mut wanted: Vec<LoopId> = Vec::new();
            for id in ids {
                let id = LoopId::new(id.as_str())?;
                if !wanted.contains(&id) {
                    wanted.push(id);
                }
            }
            Ok(Change::Scope(wanted))
        }
    }
}

impl Freeze {
    fn wanted(&self) -> Result<Change, CliError> {
        let id = given(self.loop_id.as_ref()).unwrap_or_default();
        let id = LoopId::new(id)?;
        Ok(Change::Freeze(id, on_off("freeze", self.state.as_ref())?))
    }
}

impl Suppress {
    fn wanted(&self) -> Result<Change, CliError> {
        let id = match given(self.scope.as_ref()).unwrap_or_default() {
            "*" => None,
            id => Some(LoopId::new(id)?),
        };
        let category = given(self.category.as_ref()).and_then(Category::parse);
        let category = category.ok_or_else(|| {
            let names = Category::ALL.map(Category::as_str).join(", ");
            CliError::new(format!("suppress needs a category: {names}"))
        })?;
        let on = on_off("suppress", self.state.as_ref())?;
        Ok(Change::Suppress(id, category, on))
    }
}

impl Common {
    fn approval(&self) -> Approval {
        let text = |value: &Option<String>| given(value.as_ref()).map(str::to_owned);
        Approval {
            actor: text(&self.by),
            approval_ref: text(&self.approval_ref),
            rationale: text(&self.rationale),
            review_by: text(&self.review_by),
        }
    }

    /// Whether somebody wants it: they said so, or nobody has to.
    fn agreed(&self, narrowing: bool) -> Result<bool, CliError> {
        if self.yes {
            return Ok(true);
        }
        if confirm::is_somebody_there() {
            return confirm::ask("Write this?");
        }
        if narrowing {
            return Ok(true);
        }
        let message = "this allows more to happen by itself; add --yes to write it";
        Err(CliError::new(message))
    }

    fn row(
        &self,
        wanted: &Change,
        changed: &Changed,
        layout: &RepoLayout,
        registry_file: &str,
        at: Timestamp,
    ) -> PolicyEditRow {
        let journal = layout.fleet_files().path(FleetFile::PolicyGovernance);
        let actor = given(self.by.as_ref()).map(str::to_owned);
        PolicyEditRow {
            timestamp: at,
            category: GovernanceCategory::FleetPolicyGovernance,
            event_type: EditEventType::AutonomousPolicyEdited,
            fleet_id: changed.registry.fleet_id.clone(),
            trace_id: args::trace_id(self.trace_id.as_ref()),
            mode: changed.registry.policy.mode,
            actor: actor.unwrap_or_else(super::somebody),
            command: format!("ops-manager fleet policy set {wanted}"),
            narrowing: changed.narrowing,
            before: changed.before.clone(),
            after: changed.after.clone(),
            governance: self.approval().recorded(),
            source: EditSource {
                registry_file: registry_file.to_owned(),
                governance_audit_file: journal.display().to_string(),
            },
        }
    }
}

/// A change that is not made; a broken registry is a block of lines.
fn declined(error: ChangeError) -> CliError {
    match error {
        ChangeError::Rejected(rejection) => refused(rejection),
        other => other.into(),
    }
}

/// The change in words: one line per member.
fn described(wanted: &Change, changed: &Changed, file: &str, look: Look) -> String {
    if changed.is_empty() {
        return format!("{wanted}: {file} says so already, nothing to change.\n");
    }
    let arrow = if look.unicode { "→" } else { "->" };
    let effect = if changed.narrowing {
        "only takes autonomy away"
    } else {
        "allows more to happen by itself"
    };
    let mut lines = vec![format!("{wanted} in {file} ({effect}):")];
    let members = changed.before.iter().zip(changed.after.values());
    lines.extend(members.map(|((path, before), after)| {
        format!("  {path}: {} {arrow} {}", shown(before), shown(after))
    }));
    if let Some(deadline) = &changed.review_lapsed {
        lines.push(format!(
            "The review deadline has passed ({deadline}): nothing happens by itself until it \
             is renewed."
        ));
    }
    lines.join("\n") + "\n"
}

fn shown(value: &serde_json::Value) -> String {
    if value.is_null() {
        return "nothing".to_owned();
    }
    json::compact(value)
}

fn written(next: &str) -> String {
    format!(
        "Written and audited. It counts from the next dispatch on; to see what it changes:\n  \
         ops-manager fleet-policy {next} --pretty\n"
    )
}

fn say(out: &mut dyn Write, text: &str) -> Result<(), CliError> {
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| output_error(&error))
}
