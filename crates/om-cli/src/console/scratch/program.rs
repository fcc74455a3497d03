//! This very program, as processes of its own.

use std::process::{Command, Stdio};

use om_model::json;
use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;
use crate::stop::StopRequest;

/// The variables that reach a child; every other one could be a setting, a
/// hook, a proxy or a secret.
const KEPT: [&str; 9] = [
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ",
];

/// Runs subcommands of this program in an environment of their own.
#[derive(Debug)]
pub(in crate::console) struct Program {
    settings: Vec<(&'static str, String)>,
    stop: StopRequest,
}

/// What a subcommand said.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::console) struct Answer {
    /// As it was typed, so to say.
    pub(in crate::console) command: String,
    /// `None`: it was ended by a signal.
    pub(in crate::console) exit_code: Option<i32>,
    /// The document, or the text if it is none.
    pub(in crate::console) stdout: Value,
    pub(in crate::console) stderr: String,
}

impl Program {
    /// With these variables and no other setting; ends early if `stop` says
    /// so.
    pub(in crate::console) fn new(
        settings: Vec<(&'static str, String)>,
        stop: StopRequest,
    ) -> Self {
        Self { settings, stop }
    }

    /// A subcommand, to be started.
    pub(super) fn command(&self, arguments: &[&str]) -> Result<Command, CliError> {
        if let Some(exit_code) = self.stop.exit_code() {
            let message = "interrupted; what is there so far is kept, nothing was recorded";
            return Err(CliError {
                exit_code,
                ..CliError::new(message)
            });
        }
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::null()).env_clear();
        for name in KEPT {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs a subcommand to its end.
    pub(in crate::console) fn ask(&self, arguments: &[&str]) -> Result<Answer, CliError> {
        let output = self.command(arguments)?.output()?;
        let text = || Value::from(String::from_utf8_lossy(&output.stdout));
        Ok(Answer {
            command: format!("ops-manager {}", arguments.join(" ")),
            exit_code: output.status.code(),
            stdout: json::parse(&output.stdout).unwrap_or_else(|_| text()),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Answer {
    /// What it printed, if it went well.
    pub(in crate::console) fn good(self) -> Result<Value, CliError> {
        if self.exit_code == Some(0) {
            return Ok(self.stdout);
        }
        let said = self.stderr.trim().trim_start_matches("error: ");
        Err(CliError::new(format!("{}: {said}", self.command)))
    }
}
