//! One control intent from beginning to end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use om_http::{Secret, Secrets};
use om_model::control::{ConfirmVerdict, ControlRequestSettings, Intent, IntentRow, PendingIntent};
use om_model::health::TransportMode;
use om_model::{LoopId, Timestamp, TraceId, json};
use om_stage::{Hook, Keep, RunOptions, Streams};
use om_store::{Commit, RepoLayout, Scope};
use om_transport::ServiceClient;

use crate::clock::Clock;
use crate::confirm::{self, ConfirmRequest, Observation};
use crate::error::ControlError;
use crate::ledger::Ledger;
use crate::outcome::{self, Confirmation, Outcome};
use crate::owner::{self, InProgress, Owner};
use crate::rows::{Author, Rows};
use crate::runtime::{Runtime, RuntimeCall};
use crate::service;
use crate::target;

/// What somebody wants of a loop.
#[derive(Clone, Debug)]
pub struct ControlRequest {
    /// Where the loop is recorded.
    pub layout: RepoLayout,
    /// Which loop.
    pub loop_id: LoopId,
    /// What is wanted.
    pub intent: Intent,
    /// Who wants it; may be empty.
    pub requested_by: String,
    /// Why; `None` rather than empty.
    pub note: Option<String>,
    /// Links all that is recorded.
    pub trace_id: TraceId,
    /// Makes a repetition recognisable; made up if not given.
    pub idempotency_key: Option<String>,
    /// Confirmation, retries, limits.
    pub settings: ControlRequestSettings,
}

/// How the loop is reached.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// The runtime of this machine.
    Local(&'a LocalControl),
    /// The service beside the runtime.
    Service(&'a ServiceClient),
}

impl Transport<'_> {
    fn mode(&self) -> TransportMode {
        match self {
            Self::Local(_) => TransportMode::Local,
            Self::Service(_) => TransportMode::SpriteService,
        }
    }
}

/// What a local control runs.
#[derive(Clone, Debug)]
pub struct LocalControl {
    /// The loop runtime.
    pub runtime: Runtime,
    /// `OPS_MANAGER_CONFIRM_SCRIPT`, which decides then.
    pub confirm_hook: Option<Hook>,
    /// `OPS_MANAGER_SNAPSHOT_SCRIPT`, for the built-in confirmation.
    pub snapshot_hook: Option<Hook>,
    /// For the confirm hook.
    pub typed: TypedNumbers,
    /// Removed from whatever runtime and hooks print (decision D6).
    pub secrets: Secrets,
}

/// Numbers as somebody typed them: that is how a hook is told (common rules).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedNumbers {
    /// `--timeout-seconds`
    pub timeout_seconds: Option<String>,
    /// `--interval-seconds`
    pub interval_seconds: Option<String>,
}

impl LocalControl {
    /// As the environment says, for loops of the repository of `layout`.
    pub fn from_env(layout: &RepoLayout) -> Self {
        Self {
            runtime: Runtime::from_env(layout.repo()),
            confirm_hook: Hook::from_env("OPS_MANAGER_CONFIRM_SCRIPT"),
            snapshot_hook: Hook::from_env("OPS_MANAGER_SNAPSHOT_SCRIPT"),
            typed: TypedNumbers::default(),
            secrets: Secrets::new(service_token()),
        }
    }
}

/// The service's token in this process's environment, which runtime and hooks
/// inherit.
pub fn service_token() -> Option<Secret> {
    let token = std::env::var("OPS_MANAGER_SERVICE_TOKEN").ok();
    token.filter(|token| !token.is_empty()).map(Secret::new)
}

/// What else is recorded of an intent, in the same commits.
///
/// Each is asked for again if somebody else changed a file meanwhile, so it
/// reads what it replaces, and says so ([`om_store::Expect::found`]).
pub trait Record {
    /// Together with the intent, before anything is executed. `None`: nothing
    /// is recorded and nothing executed ([`ControlError::Withheld`]).
    fn begun(&self, entry: &PendingIntent) -> Option<Commit>;
    /// Together with the outcome, made from its row.
    fn ended(&self, row: &IntentRow) -> Commit;
}

/// Nothing else.
impl Record for () {
    fn begun(&self, _: &PendingIntent) -> Option<Commit> {
        Some(Commit::new())
    }

    fn ended(&self, _: &IntentRow) -> Commit {
        Commit::new()
    }
}

/// How far a control run has come.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// Earlier intents whose process had died were recorded as ambiguous.
    Recovered(&'a [IntentRow]),
    /// The intent is recorded; `command` is executed next.
    Begun {
        /// The command line or request.
        command: &'a str,
    },
    /// The command has ended, and the effect is looked for.
    Executed,
    /// The effect was looked for once more.
    Looked {
        /// How often, counted from 1.
        attempt: u64,
        /// What was seen last.
        observed: &'a Observation,
    },
    /// All that is left is to record the outcome.
    Decided,
}

/// How a control run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlOutcome {
    /// The row of `intents.jsonl`, and of stdout.
    pub row: IntentRow,
    /// What the service client said, if it failed; for stderr.
    pub diagnostics: Option<String>,
}

impl ControlOutcome {
    /// The exit code of the command: 0, 2 for ambiguous, else 1.
    pub fn exit_code(&self) -> u8 {
        self.row.status.exit_code()
    }
}

/// Records the intent, acts, confirms, and records the outcome.
///
/// Blocks until that is done: for the runtime's limit, the confirmation's time
/// and a few seconds at most. No lock is held meanwhile; any number of
/// controls of one loop may run at once. Whatever happens to the command or
/// the service is an outcome; an error means that nothing was executed, but
/// for [`ControlError::Unrecorded`].
pub fn run(
    request: &ControlRequest,
    transport: Transport<'_>,
    clock: &dyn Clock,
    told: &mut dyn FnMut(Progress<'_>),
) -> Result<ControlOutcome, ControlError> {
    run_with(request, transport, clock, told, &())
}

/// [`run`], with more in its commits.
pub fn run_with(
    request: &ControlRequest,
    transport: Transport<'_>,
    clock: &dyn Clock,
    told: &mut dyn FnMut(Progress<'_>),
    record: &dyn Record,
) -> Result<ControlOutcome, ControlError> {
    let files = request.layout.loop_files(&request.loop_id);
    let scope = Scope::open(files.scope_dir())?;
    scope.recover()?;
    let ledger = Ledger {
        scope: &scope,
        files: &files,
    };
    let recovered = ledger.recover(clock.now(), &owner::is_alive)?;
    if !recovered.is_empty() {
        told(Progress::Recovered(&recovered));
    }
    let entry = request.entry(transport, clock.now());
    let _in_progress = InProgress::begin(&entry.control_id);
    ledger.begin(&entry, record)?;
    told(Progress::Begun {
        command: &entry.command,
    });
    let (outcome, diagnostics) = match transport {
        Transport::Local(local) => (request.act_locally(&entry, local, clock, told), None),
        Transport::Service(client) => service::act(client, &entry),
    };
    told(Progress::Decided);
    let rows = Rows::new(&entry, &outcome, clock.now(), Author::Actor);
    match ledger.finish_in_the_end(&entry, &rows, record, clock) {
        Ok(()) => Ok(ControlOutcome {
            row: rows.intent,
            diagnostics,
        }),
        Err(cause) => Err(ControlError::Unrecorded {
            row: Box::new(rows.intent),
            cause: Box::new(cause),
        }),
    }
}

impl ControlRequest {
    /// The intent as it is recorded before anything is done.
    fn entry(&self, transport: Transport<'_>, started_at: Timestamp) -> PendingIntent {
        let owner = Owner::current();
        PendingIntent {
            control_id: uuid::Uuid::new_v4().to_string(),
            started_at,
            loop_id: self.loop_id.clone(),
            intent: self.intent,
            transport: transport.mode(),
            trace_id: self.trace_id.clone(),
            idempotency_key: self
                .idempotency_key
                .clone()
                .unwrap_or_else(|| fresh_key(self.intent, started_at)),
            requested_by: self.requested_by.clone(),
            note: self.note.clone().filter(|note| !note.is_empty()),
            request: self.settings.clone(),
            command: match transport {
                Transport::Local(local) => local.runtime.command(&self.call(&self.repo())),
                Transport::Service(client) => service::command(client),
            },
            host: owner.host.clone(),
            boot_id: owner.boot_id.clone(),
            pid: owner.pid,
            process_start: owner.process_start,
            ended: false,
        }
    }

    fn repo(&self) -> String {
        self.layout.repo().to_string_lossy().into_owned()
    }

    fn call<'a>(&'a self, repo: &'a str) -> RuntimeCall<'a> {
        RuntimeCall {
            intent: self.intent,
            repo,
            loop_id: &self.loop_id,
            by: &self.requested_by,
            note: self.note.as_deref().filter(|note| !note.is_empty()),
        }
    }

    /// §3.1.4 A.
    fn act_locally(
        &self,
        entry: &PendingIntent,
        local: &LocalControl,
        clock: &dyn Clock,
        told: &mut dyn FnMut(Progress<'_>),
    ) -> Outcome {
        let mismatch = self.mismatch(clock);
        if let Some(mismatch) = mismatch.as_ref().filter(|_| !self.settings.force_target) {
            return Outcome::refused(mismatch);
        }
        let limit = self.settings.runtime_timeout_seconds;
        let limit = limit
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs);
        let repo = self.repo();
        let secrets = &local.secrets;
        let call = self.call(&repo);
        let (ended, output) = local.runtime.run(&call, &entry.trace_id, limit, secrets);
        let wanted = self.settings.do_confirm && ended.may_have_acted();
        let confirmation = wanted.then(|| {
            told(Progress::Executed);
            let mut confirmation = self.confirm(local, clock, told);
            if let Some(document) = &mut confirmation.document {
                secrets.redact_document(document);
            }
            confirmation
        });
        Outcome {
            forced_target: mismatch.is_some(),
            ..outcome::local(ended, output, confirmation)
        }
    }

    /// Why a `cancel` may hit another loop (decision D23).
    fn mismatch(&self, clock: &dyn Clock) -> Option<target::TargetMismatch> {
        if self.intent != Intent::Cancel {
            return None;
        }
        let runtime = self.layout.runtime(&self.loop_id);
        target::mismatch(
            &self.loop_id,
            &target::read(&runtime.active_run(), clock),
            &target::read(&runtime.state(), clock),
        )
    }

    fn confirm(
        &self,
        local: &LocalControl,
        clock: &dyn Clock,
        told: &mut dyn FnMut(Progress<'_>),
    ) -> Confirmation {
        if let Some(hook) = &local.confirm_hook {
            return self.confirm_by(hook, &local.typed);
        }
        let request = ConfirmRequest {
            layout: self.layout.clone(),
            loop_id: self.loop_id.clone(),
            intent: self.intent,
            timeout_seconds: self.settings.timeout_seconds,
            interval_seconds: self.settings.interval_seconds,
            snapshot_hook: local.snapshot_hook.clone(),
        };
        let verdict = confirm::confirm(&request, clock, &mut |attempt, observed| {
            told(Progress::Looked { attempt, observed });
        });
        Confirmation {
            exit_code: confirm_exit_code(&verdict),
            document: Some(json::to_value(&verdict)),
        }
    }

    /// The confirm stage by hook (§3.1.6): its exit code decides, its output
    /// is recorded if it is one document.
    fn confirm_by(&self, hook: &Hook, typed: &TypedNumbers) -> Confirmation {
        let repo = self.repo();
        let as_typed =
            |text: &Option<String>, number: u64| text.clone().unwrap_or_else(|| number.to_string());
        let timeout = as_typed(&typed.timeout_seconds, self.settings.timeout_seconds);
        let interval = as_typed(&typed.interval_seconds, self.settings.interval_seconds);
        let arguments = [
            "--repo",
            &repo,
            "--loop",
            self.loop_id.as_str(),
            "--intent",
            self.intent.as_str(),
            "--timeout-seconds",
            &timeout,
            "--interval-seconds",
            &interval,
        ];
        let limit = service::confirmation_time(&self.settings).saturating_add(service::SLACK);
        let options = RunOptions {
            streams: Streams::Merged,
            keep: Keep::Last,
            time_limit: Some(Duration::from_secs(limit)),
            ..RunOptions::default()
        };
        let output = hook.run(&arguments, &options);
        Confirmation {
            exit_code: i64::from(output.exit_code),
            document: json::parse(&output.stdout).ok().filter(|d| !d.is_null()),
        }
    }
}

/// Exit code of `ops-manager-confirm-intent`.
fn confirm_exit_code(verdict: &ConfirmVerdict) -> i64 {
    i64::from(!verdict.confirmed)
}

/// `<intent>-<unix seconds>-<process id>`, with a count where one process
/// makes several.
fn fresh_key(intent: Intent, now: Timestamp) -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let key = format!(
        "{}-{}-{}",
        intent.as_str(),
        now.epoch_seconds(),
        std::process::id()
    );
    match MADE.fetch_add(1, Ordering::Relaxed) {
        0 => key,
        earlier => format!("{key}-{earlier}"),
    }
}
