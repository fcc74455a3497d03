//! The command `ops-manager-control`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::control::Control>()
}
