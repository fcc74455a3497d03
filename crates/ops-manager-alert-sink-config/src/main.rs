//! The command `ops-manager-alert-sink-config`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::alert_sink_config::AlertSinkConfig>()
}
