//! `ops-manager horizon`: work that was planned elsewhere, for people.

mod page;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use om_control::{ControlError, SystemClock, Transport};
use om_horizon::Bridge;
use om_horizon::decide::{Approval, Call, Desk, read_queue};
use om_horizon::decision::{self, Author, Entry, Wanted};
use om_model::health::TransportMode;
use om_model::horizon::{EntryStatus, OperatorAction};
use om_model::{TraceId, json};
use om_store::RepoLayout;
use serde_json::{Value, json};

use super::control::{Control, Prepared, tell_diagnostics};
use super::horizon_bridge::path;
use crate::args::{environment, given, required, resolve_repo};
use crate::command::{CommandLine, Logging, now, output_error, print_document};
use crate::console::confirm;
use crate::console::style::{Look, stdout_is_terminal};
use crate::error::CliError;

/// Arguments of `ops-manager horizon`.
#[derive(Args, Debug)]
pub struct Horizon {
    #[command(subcommand)]
    action: Action,
}

/// What can be done about work that was planned elsewhere.
#[derive(Subcommand, Debug)]
enum Action {
    /// Show the envelopes that wait for a person, or decide about one
    #[command(before_help = ABOUT, after_help = DETAILS)]
    Queue(Queue),
}

const ABOUT: &str = "Show the envelopes that ops-manager-horizon-bridge has queued, and decide \
about them. Nothing in the queue ever runs by itself.";

const DETAILS: &str = "\
An entry is named by its packet id, its intent id, or <packetId>::<traceId>.

approve executes what you say on the loop that you name, with ops-manager
control: an envelope does not say which loop it is about, you do. It takes the
flags of control; the idempotency key is horizon-<packetId>-<traceId>. The
entry becomes executed, execution_ambiguous or execution_failed. The decision
is recorded before anything is executed: if this process dies, the entry is
ambiguous, and nothing is executed again by itself. --again executes an entry
that is ambiguous or failed once more, under a key of its own.

reject makes it rejected_by_operator. Both are final and append a row
(horizon_bridge_operator) to the bridge's journal.

On a terminal: a table, and a question before anything is executed. With
--json, or into a pipe or file: JSON, and no question.

Files, under .superloop/ops-manager/fleet/: horizon-bridge-queue.json,
telemetry/horizon-bridge.jsonl.

Examples:
  ops-manager horizon queue --repo .
  ops-manager horizon queue approve pk-77 --repo . --loop nightly --intent cancel
  ops-manager horizon queue reject pk-78 --repo . --note 'not this week'

Exit codes: 0 done; of approve also 2 ambiguous and 1 failed; 1 not done
(error: line on stderr).";

/// Arguments of `ops-manager horizon queue`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
struct Queue {
    #[command(subcommand)]
    decision: Option<Decision>,
    #[command(flatten)]
    list: List,
}

/// What can be done about an entry.
#[derive(Subcommand, Debug)]
enum Decision {
    /// Execute an entry on a loop, and record what came of it
    Approve(Box<Approve>),
    /// Mark an entry as unwanted, for good
    Reject(Reject),
}

/// Where the queue is.
#[derive(Args, Debug)]
struct Place {
    /// Queue [default: <fleet>/horizon-bridge-queue.json]
    #[arg(long, value_name = "FILE")]
    queue_file: Option<String>,
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct List {
    /// Repository whose .superloop/ tree is read [default: the current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Show what has been decided too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    logging: Logging,
}

#[derive(Args, Debug)]
struct Approve {
    /// Packet id, intent id, or <packetId>::<traceId> [required]
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
    /// Execute an entry once more that is ambiguous or failed
    #[arg(long)]
    again: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
    /// Rows are appended here
    /// [default: <fleet>/telemetry/horizon-bridge.jsonl]
    #[arg(long, value_name = "FILE")]
    telemetry_file: Option<String>,
    #[command(flatten)]
    control: Control,
}

#[derive(Args, Debug)]
struct Reject {
    /// Packet id, intent id, or <packetId>::<traceId> [required]
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
    /// Repository whose .superloop/ tree is read and written [default: the
    /// current folder]
    #[arg(long, value_name = "DIR")]
    repo: Option<String>,
    /// Who decides [default: $USER, else unknown]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Trace id to record [default: the envelope's]
    #[arg(long, value_name = "ID")]
    trace_id: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Rows are appended here
    /// [default: <fleet>/telemetry/horizon-bridge.jsonl]
    #[arg(long, value_name = "FILE")]
    telemetry_file: Option<String>,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Horizon {
    const NAME: &'static str = "ops-manager-horizon";
    const SUMMARY: &'static str = "Show queued envelopes, approve or reject them";
    const ABOUT: &'static str = "Work that was planned elsewhere and arrived as envelopes: what \
        waits for a person, and what a person decided about it.";
    const DETAILS: &'static str = "\
Examples:
  ops-manager horizon queue --repo .
  ops-manager horizon queue approve pk-77 --repo . --loop nightly --intent cancel
  ops-manager horizon queue reject pk-78 --repo . --note 'not this week'

More: ops-manager horizon queue --help. Exit codes: 0 done; 2 ambiguous; 1 not
done.";

    fn log_filter(&self) -> Option<&str> {
        let Action::Queue(queue) = &self.action;
        match &queue.decision {
            None => queue.list.logging.log.as_deref(),
            Some(Decision::Approve(approve)) => approve.control.log_filter(),
            Some(Decision::Reject(reject)) => reject.logging.log.as_deref(),
        }
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let Action::Queue(queue) = &self.action;
        match &queue.decision {
            None => queue.list.run(out),
            Some(Decision::Approve(approve)) => approve.run(out),
            Some(Decision::Reject(reject)) => reject.run(out),
        }
    }
}

/// The current folder, if no repository is given.
fn layout(repo: Option<&String>) -> Result<RepoLayout, CliError> {
    resolve_repo(given(repo).unwrap_or(".")).map(RepoLayout::new)
}

impl Place {
    fn is_for_people(&self) -> bool {
        !self.json && stdout_is_terminal()
    }

    /// The queue and the journal.
    fn files(
        &self,
        layout: &RepoLayout,
        telemetry_file: Option<&String>,
    ) -> Result<(PathBuf, PathBuf), CliError> {
        // Only the places matter of it.
        let unused = TraceId::new("unused").unwrap_or_else(|| unreachable!("it is not empty"));
        let usual = Bridge::new(layout.clone(), unused);
        Ok((
            path(self.queue_file.as_ref(), usual.queue_file)?,
            path(telemetry_file, usual.telemetry_file)?,
        ))
    }
}

impl List {
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let layout = layout(self.repo.as_ref())?;
        let (queue_file, _) = self.place.files(&layout, None)?;
        let queue = read_queue(&layout, &queue_file)?;
        let entries = queue.get("intents").and_then(Value::as_array);
        let shown =
            |entry: &&Value| Entry::read(entry).is_some_and(|entry| self.all || entry.is_pending());
        let shown: Vec<Value> = entries
            .into_iter()
            .flatten()
            .filter(shown)
            .cloned()
            .collect();
        if self.place.is_for_people() {
            let page = page::list(&queue, &shown, layout.repo(), now(), Look::stdout());
            out.write_all(page.as_bytes())
                .map_err(|error| output_error(&error))?;
            return Ok(0);
        }
        let member = |name: &str| queue.get(name).cloned().unwrap_or_default();
        let document = json!({
            "schemaVersion": "v1",
            "queueFile": queue_file.display().to_string(),
            "updatedAt": member("updatedAt"),
            "summary": member("summary"),
            "intents": shown,
        });
        print_document(out, &document, false)?;
        Ok(0)
    }
}

impl Reject {
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let entry = entry_named(self.entry.as_ref())?;
        let layout = layout(self.repo.as_ref())?;
        let (queue_file, telemetry_file) =
            self.place.files(&layout, self.telemetry_file.as_ref())?;
        let by = self.by.clone().or_else(|| environment("USER"));
        let desk = Desk {
            layout,
            queue_file,
            telemetry_file,
            author: Author {
                requested_by: by.unwrap_or_else(|| "unknown".to_owned()),
                note: given(self.note.as_ref()).map(str::to_owned),
            },
            trace_id: given(self.trace_id.as_ref()).and_then(TraceId::new),
        };
        let row = desk.reject(entry, &SystemClock::default())?;
        if self.place.is_for_people() {
            let page = page::decided(&row, &desk, Look::stdout());
            out.write_all(page.as_bytes())
                .map_err(|error| output_error(&error))?;
        } else {
            print_document(out, &row, false)?;
        }
        Ok(0)
    }
}

impl Approve {
    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let wanted = entry_named(self.entry.as_ref())?;
        let mut prepared = self.prepare()?;
        let desk = self.desk(&prepared)?;
        let todo = Wanted {
            loop_id: prepared.request.loop_id.clone(),
            intent: prepared.request.intent,
            transport: match prepared.transport() {
                Transport::Local(_) => TransportMode::Local,
                Transport::Service(_) => TransportMode::SpriteService,
            },
        };
        let is_asked = !self.yes && self.place.is_for_people() && confirm::is_somebody_there();
        if is_asked && !self.is_wanted(wanted, &todo, &desk)? {
            return Err(CliError::new("not executed; nothing was changed"));
        }
        let clock = SystemClock::default();
        let mut act = |call: Call<'_>| {
            prepared.request.trace_id = call.trace_id.clone();
            prepared.request.idempotency_key = Some(call.idempotency_key.to_owned());
            om_control::run(&prepared.request, prepared.transport(), &clock, &mut |_| {})
        };
        let approval = desk.approve(wanted, &todo, self.again, &clock, &mut act)?;
        self.finish(&approval, &desk, out)
    }

    /// Control's own checks, in its order.
    fn prepare(&self) -> Result<Prepared, CliError> {
        let mut control = self.control.clone();
        if given(control.idempotency_key.as_ref()).is_some() {
            let text = "--idempotency-key follows from the entry here; leave it out";
            return Err(CliError::new(text));
        }
        control.target.repo.get_or_insert_with(|| ".".to_owned());
        control.prepare()
    }

    fn desk(&self, prepared: &Prepared) -> Result<Desk, CliError> {
        let request = &prepared.request;
        let layout = request.layout.clone();
        let (queue_file, telemetry_file) =
            self.place.files(&layout, self.telemetry_file.as_ref())?;
        Ok(Desk {
            layout,
            queue_file,
            telemetry_file,
            author: Author {
                requested_by: request.requested_by.clone(),
                note: request.note.clone(),
            },
            trace_id: given(self.control.trace_id.as_ref()).and_then(TraceId::new),
        })
    }

    /// Shows what will run, and asks.
    fn is_wanted(&self, wanted: &str, todo: &Wanted, desk: &Desk) -> Result<bool, CliError> {
        let queue = read_queue(&desk.layout, &desk.queue_file)?;
        let entry = decision::find(&queue, wanted, &desk.queue_file)?;
        decision::check(&entry, OperatorAction::Approve, self.again)?;
        let question = page::question(&queue, &entry, todo, Look::stdout());
        confirm::ask(&question)
    }

    fn finish(
        &self,
        approval: &Approval,
        desk: &Desk,
        out: &mut dyn Write,
    ) -> Result<u8, CliError> {
        match &approval.control {
            Ok(outcome) => tell_diagnostics(outcome),
            Err(error @ ControlError::Unrecorded { .. }) => {
                return Err(CliError::new(format!(
                    "{error}; the entry is {}",
                    approval.row.status.as_str()
                )));
            }
            Err(error) => {
                return Err(CliError::new(format!(
                    "{error}; the entry is execution_failed"
                )));
            }
        }
        if self.place.is_for_people() {
            let page = page::decided(&approval.row, desk, Look::stdout());
            out.write_all(page.as_bytes())
                .map_err(|error| output_error(&error))?;
        } else {
            print_document(out, &json::to_value(&approval.row), false)?;
        }
        Ok(match approval.row.status {
            EntryStatus::Executed => 0,
            EntryStatus::ExecutionAmbiguous => 2,
            _ => 1,
        })
    }
}

fn entry_named(entry: Option<&String>) -> Result<&str, CliError> {
    required("ENTRY", entry)
}
