//! The command `ops-manager-reconcile`.

use std::process::ExitCode;

fn main() -> ExitCode {
    om_cli::command::main::<om_cli::commands::reconcile::Reconcile>()
}
