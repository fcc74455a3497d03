//! `ops-manager-control` (chapter 03 §3.1), and its page for people.

mod page;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use om_control::{
    ControlOutcome, ControlRequest, LocalControl, Progress, SystemClock, Transport, TypedNumbers,
    service, service_token,
};
use om_http::{Secret, Secrets};
use om_model::LoopId;
use om_model::control::{ControlRequestSettings, Intent};
use om_model::health::TransportMode;
use om_model::json;
use om_stage::Hook;
use om_store::RepoLayout;
use om_transport::service_client::{HOOK_VARIABLE, ServiceClient, TypedRetry};

use self::page::ControlView;
use super::confirm_intent::{parsed_intent, patience};
use crate::args::{self, Target, at_least_one, environment, given, non_negative};
use crate::command::{CommandLine, Logging, print_document};
use crate::console::style::{Look, printable, stdout_is_terminal};
use crate::error::CliError;

/// Default of `--runtime-timeout-seconds`.
const DEFAULT_RUNTIME_TIMEOUT: u64 = 120;
/// Its greatest value, that of the service too (decision D13).
const MAX_RUNTIME_TIMEOUT: u64 = 3_600;

/// Arguments of `ops-manager-control`.
#[derive(Args, Clone, Debug)]
pub struct Control {
    #[command(flatten)]
    pub(super) target: Target,
    /// What to do: cancel, approve or reject [required]
    #[arg(long, value_name = "INTENT")]
    intent: Option<String>,
    /// How to reach the loop: local or sprite_service [default: local]
    #[arg(long, value_name = "MODE")]
    transport: Option<String>,
    /// Look for the effect for this long, 0 for once [default: 30]
    #[arg(long, value_name = "N")]
    timeout_seconds: Option<String>,
    /// Pause between two looks; 0 acts as 1 [default: 2]
    #[arg(long, value_name = "N")]
    interval_seconds: Option<String>,
    /// Requests per service call, at least 1 [default: 3]
    #[arg(long, value_name = "N")]
    retry_attempts: Option<String>,
    /// Seconds between them [default: 1]
    #[arg(long, value_name = "N")]
    retry_backoff_seconds: Option<String>,
    /// End the runtime's command after this long: 0 to 3600, 0 for no limit
    /// [default: 120]
    #[arg(long, value_name = "N")]
    runtime_timeout_seconds: Option<String>,
    /// Where the service is; required for sprite_service
    #[arg(long, value_name = "URL")]
    service_base_url: Option<String>,
    /// The service's token; visible to whoever can list processes
    /// [default: $OPS_MANAGER_SERVICE_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    service_token: Option<String>,
    /// Makes a repetition recognisable to the service
    /// [default: <intent>-<time>-<process>]
    #[arg(long, value_name = "KEY")]
    pub(super) idempotency_key: Option<String>,
    /// Trace id to record [default: $OPS_MANAGER_TRACE_ID, else random]
    #[arg(long, value_name = "ID")]
    pub(super) trace_id: Option<String>,
    /// Who asks [default: $USER, else unknown]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Do not look for the effect
    #[arg(long)]
    no_confirm: bool,
    /// Cancel even if another loop runs in the repository; recorded
    #[arg(long)]
    force_target: bool,
    #[command(flatten)]
    logging: Logging,
}

impl CommandLine for Control {
    const NAME: &'static str = "ops-manager-control";
    const SUMMARY: &'static str = "Cancel, approve or reject a loop, and confirm it";
    const ABOUT: &'static str = "Execute one control intent on a loop, through the loop runtime \
        of this machine or a sprite service, look for its effect, and record everything in the \
        loop's audit trail.";
    const DETAILS: &'static str = "\
The intent is recorded before it is executed and its outcome after. If this
process dies in between, the next control or reconcile records the outcome as
ambiguous; nothing is ever executed again by itself. Repeat an intent only
after ambiguous or failed_command, and after ambiguous look at the runtime
first.

The runtime is $SUPERLOOP_BIN, else <repo>/superloop.sh, else superloop.sh or
superloop on PATH. Its cancel stops whatever runs in the repository; a cancel
of a loop is refused while another loop runs there.

Hooks, each an executable that replaces a stage:
  OPS_MANAGER_CONFIRM_SCRIPT, OPS_MANAGER_SNAPSHOT_SCRIPT (local),
  OPS_MANAGER_SERVICE_CLIENT_SCRIPT (sprite_service)

Files, under .superloop/ops-manager/<loop>/: a row each in intents.jsonl (also
printed), telemetry/control.jsonl and telemetry/control-invocations.jsonl.

Examples:
  ops-manager-control --repo . --loop nightly --intent cancel --note 'runs wild'
  ops-manager-control --repo . --loop nightly --intent approve \\
    --transport sprite_service --service-base-url http://127.0.0.1:8787

Exit codes: 0 confirmed, or executed with --no-confirm; 2 ambiguous; 1 failed,
or a flag is invalid (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.logging.log.as_deref()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        let prepared = self.prepare()?;
        let outcome = prepared.run(&mut |_| {})?;
        tell_diagnostics(&outcome);
        print_document(out, &outcome.row, false)?;
        Ok(outcome.exit_code())
    }
}

/// Arguments of `ops-manager control`: a page on a terminal.
#[derive(Args, Debug)]
pub struct ControlPage {
    /// Print JSON, as when the output is not a terminal
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    control: Control,
}

impl CommandLine for ControlPage {
    const NAME: &'static str = "ops-manager control";
    const SUMMARY: &'static str = Control::SUMMARY;
    const ABOUT: &'static str = Control::ABOUT;
    const DETAILS: &'static str = "\
On a terminal: says what it is about to do, shows that it waits, and ends with
a sentence and the evidence. With --json, or into a pipe or file: the recorded
row as JSON.

Examples:
  ops-manager control --repo . --loop nightly --intent cancel
  ops-manager control --repo . --loop nightly --intent reject --json | jq .status

Hooks and files: see ops-manager-control --help.

Exit codes: 0 confirmed, or executed with --no-confirm; 2 ambiguous; 1 failed,
or a flag is invalid (error: line on stderr).";

    fn log_filter(&self) -> Option<&str> {
        self.control.log_filter()
    }

    fn run(&self, out: &mut dyn Write) -> Result<u8, CliError> {
        if self.json || !stdout_is_terminal() {
            return self.control.run(out);
        }
        let prepared = self.control.prepare()?;
        let mut view = ControlView::new(&prepared.request, Look::stdout(), out);
        let outcome = prepared.run(&mut |progress| view.update(progress))?;
        view.finish(&outcome)?;
        Ok(outcome.exit_code())
    }
}

/// The client's own error line; the row on stdout is the result all the same.
pub(super) fn tell_diagnostics(outcome: &ControlOutcome) {
    if let Some(text) = outcome
        .diagnostics
        .as_deref()
        .filter(|text| !text.is_empty())
    {
        // Nobody is left to tell if stderr is gone too.
        let _ = writeln!(io::stderr(), "{}", on_stderr(text));
    }
}

/// An `error:` line is one line, whatever a server said; a hook's own words
/// keep theirs.
fn on_stderr(text: &str) -> String {
    let text = text.trim_end();
    let lines: Vec<String> = text.lines().map(printable).collect();
    lines.join(if text.starts_with("error:") {
        "; "
    } else {
        "\n"
    })
}

/// A checked command line.
pub(super) struct Prepared {
    pub(super) request: ControlRequest,
    means: Means,
}

enum Means {
    Local(LocalControl),
    Service(ServiceClient),
}

impl Prepared {
    fn run(&self, told: &mut dyn FnMut(Progress<'_>)) -> Result<ControlOutcome, CliError> {
        let clock = SystemClock::default();
        Ok(om_control::run(
            &self.request,
            self.transport(),
            &clock,
            told,
        )?)
    }

    pub(super) fn transport(&self) -> Transport<'_> {
        match &self.means {
            Means::Local(local) => Transport::Local(local),
            Means::Service(client) => Transport::Service(client),
        }
    }
}

impl Control {
    /// Checks in the order of §3.1.2.
    pub(super) fn prepare(&self) -> Result<Prepared, CliError> {
        self.target.check_given()?;
        let intent = parsed_intent(self.intent.as_ref())?;
        let transport = TransportMode::parse(self.transport.as_deref().unwrap_or("local"))
            .ok_or_else(|| CliError::new("--transport must be local or sprite_service"))?;
        let settings = self.settings()?;
        let (repo, loop_id) = self.target.resolve()?;
        let request = self.request(repo, loop_id, intent, settings);
        let means = match transport {
            TransportMode::Local => Means::Local(self.local(&request.layout)),
            TransportMode::SpriteService => Means::Service(self.client(&request)?),
        };
        Ok(Prepared { request, means })
    }

    fn settings(&self) -> Result<ControlRequestSettings, CliError> {
        let (timeout_seconds, interval_seconds) = patience(
            self.timeout_seconds.as_ref(),
            self.interval_seconds.as_ref(),
        )?;
        Ok(ControlRequestSettings {
            do_confirm: !self.no_confirm,
            timeout_seconds,
            interval_seconds,
            retry_attempts: at_least_one("--retry-attempts", self.retry_attempts.as_ref(), 3)?,
            retry_backoff_seconds: non_negative(
                "--retry-backoff-seconds",
                self.retry_backoff_seconds.as_ref(),
                1,
            )?,
            runtime_timeout_seconds: Some(self.runtime_timeout()?),
            force_target: self.force_target,
        })
    }

    fn runtime_timeout(&self) -> Result<u64, CliError> {
        let Some(text) = &self.runtime_timeout_seconds else {
            return Ok(DEFAULT_RUNTIME_TIMEOUT);
        };
        json::digits_text(text)
            .filter(|seconds| *seconds <= MAX_RUNTIME_TIMEOUT)
            .ok_or_else(|| {
                CliError::new(format!(
                    "--runtime-timeout-seconds must be an integer from 0 to {MAX_RUNTIME_TIMEOUT}"
                ))
            })
    }

    fn request(
        &self,
        repo: PathBuf,
        loop_id: LoopId,
        intent: Intent,
        settings: ControlRequestSettings,
    ) -> ControlRequest {
        // An empty name is kept if somebody gave it (common rules).
        let by = self.by.clone().or_else(|| environment("USER"));
        ControlRequest {
            layout: RepoLayout::new(repo),
            loop_id,
            intent,
            requested_by: by.unwrap_or_else(|| "unknown".to_owned()),
            note: given(self.note.as_ref()).map(str::to_owned),
            trace_id: args::trace_id(self.trace_id.as_ref()),
            idempotency_key: given(self.idempotency_key.as_ref()).map(str::to_owned),
            settings,
        }
    }

    fn local(&self, layout: &RepoLayout) -> LocalControl {
        // Runtime and hooks inherit the one and may know of the other.
        let flag = given(self.service_token.as_ref()).map(Secret::new);
        LocalControl {
            secrets: Secrets::new(flag.into_iter().chain(service_token())),
            typed: TypedNumbers {
                timeout_seconds: self.timeout_seconds.clone(),
                interval_seconds: self.interval_seconds.clone(),
            },
            ..LocalControl::from_env(layout)
        }
    }

    fn client(&self, request: &ControlRequest) -> Result<ServiceClient, CliError> {
        // They are there whatever becomes of the rest (§3.1.2).
        let folder = request.layout.loop_files(&request.loop_id).telemetry_dir();
        std::fs::create_dir_all(&folder).map_err(|error| CliError::at(&folder, error))?;
        let base_url = given(self.service_base_url.as_ref()).ok_or_else(|| {
            CliError::new("--service-base-url is required when --transport sprite_service")
        })?;
        let flag = given(self.service_token.as_ref()).map(Secret::new);
        let client = service::client(
            Secret::new(base_url),
            flag.or_else(service_token),
            &request.settings,
            Hook::from_env(HOOK_VARIABLE),
        )?;
        Ok(client.with_typed(TypedRetry {
            attempts: self.retry_attempts.clone(),
            seconds: self.retry_backoff_seconds.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Parsed, parse};
    use crate::command::describe;

    /// The message that this command line is refused with.
    fn refusal(argv: &[&str]) -> String {
        let argv = std::iter::once(&Control::NAME).chain(argv).map(Into::into);
        match parse::<Control>(describe::<Control>(Control::NAME), argv) {
            Ok(Parsed::Run(control)) => match control.prepare() {
                Ok(_) => panic!("is accepted"),
                Err(error) => error.message,
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_error_line_is_one_line_and_moves_no_cursor() {
        for (text, shown) in [
            ("error: code=500): a\r\nb\n\n", "error: code=500): a; b"),
            ("error: \u{1b}[2Jx\ty", "error: \\u{1b}[2Jx\\u{9}y"),
            ("first\nsecond\u{7}\n", "first\nsecond\\u{7}"),
        ] {
            assert_eq!(on_stderr(text), shown);
        }
    }

    #[test]
    fn flags_are_checked_in_the_contracts_order() {
        // Every line repairs what the one before it was refused for.
        let flaws = [
            ("--repo", "", "/nowhere/at/all", "--repo is required"),
            ("--loop", "", "nightly", "--loop is required"),
            ("--intent", "", "CANCEL", "--intent is required"),
            (
                "--intent",
                "CANCEL",
                "cancel",
                "intent must be one of: cancel, approve, reject",
            ),
            (
                "--transport",
                "ssh",
                "sprite_service",
                "--transport must be local or sprite_service",
            ),
            (
                "--timeout-seconds",
                "-1",
                "0",
                "timeout and interval must be non-negative integers",
            ),
            (
                "--interval-seconds",
                "",
                "0",
                "timeout and interval must be non-negative integers",
            ),
            (
                "--retry-attempts",
                "0",
                "1",
                "--retry-attempts must be an integer >= 1",
            ),
            (
                "--retry-backoff-seconds",
                "x",
                "0",
                "--retry-backoff-seconds must be a non-negative integer",
            ),
            (
                "--runtime-timeout-seconds",
                "3601",
                "3600",
                "--runtime-timeout-seconds must be an integer from 0 to 3600",
            ),
            (
                "--service-base-url",
                "",
                "",
                "--repo /nowhere/at/all: No such file or directory",
            ),
        ];
        let mut argv: Vec<&str> = flaws
            .iter()
            .flat_map(|(flag, bad, ..)| [*flag, bad])
            .collect();
        // The flag that occurs twice is right only at its second repair.
        for (flag, bad, repaired, message) in flaws {
            argv.extend([flag, bad]);
            assert_eq!(refusal(&argv), message, "{argv:?}");
            argv.extend([flag, repaired]);
        }
        argv.extend(["--repo", env!("CARGO_MANIFEST_DIR")]);
        assert_eq!(
            refusal(&argv),
            "--service-base-url is required when --transport sprite_service"
        );
    }
}
