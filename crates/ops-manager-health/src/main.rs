//! The command `ops-manager-health`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::health::Health>()
}
