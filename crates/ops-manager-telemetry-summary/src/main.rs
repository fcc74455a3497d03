//! The command `ops-manager-telemetry-summary`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::telemetry_summary::TelemetrySummary>()
}
