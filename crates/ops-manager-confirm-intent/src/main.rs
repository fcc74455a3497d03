//! The command `ops-manager-confirm-intent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::confirm_intent::ConfirmIntent>()
}
