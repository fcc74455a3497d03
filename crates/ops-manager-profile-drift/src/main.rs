//! The command `ops-manager-profile-drift`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::profile_drift::ProfileDrift>()
}
