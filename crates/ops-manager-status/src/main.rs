//! The command `ops-manager-status`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::status::Status>()
}
