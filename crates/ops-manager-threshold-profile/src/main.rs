//! The command `ops-manager-threshold-profile`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::threshold_profile::ThresholdProfile>()
}
